//! Which kinds of users could have which relation at all.

use crate::{
    access::RelationName,
    policy::model::{Model, Relation, RelationId, Restriction, Rewrite, Shape, TypeId},
};

/// For each relation a set of kinds of users: objects of a type, the wildcard of a type, or a userset.
///
/// A kind reaches a union by any operand, an intersection by all of them and an exclusion by its base. Where a kind
/// cannot reach, the answer is false before anything is evaluated.
#[derive(Debug)]
pub(in crate::policy) struct Reach {
    words: usize,
    types: usize,
    bits: Vec<u64>,
}

/// The number of a kind of user.
pub(super) type Kind = usize;

impl Reach {
    /// Least fixed point, in both directions in turn so that long chains need few rounds.
    pub(super) fn new(model: &Model) -> Self {
        let (types, relations) = (model.type_count(), model.relation_count());
        let words = (2 * types + relations).div_ceil(64);
        let mut reach = Self { words, types, bits: vec![0; words * relations] };
        let mut set = vec![0; words];
        let mut changed = true;
        while changed {
            changed = false;
            for (id, relation) in model.all_relations() {
                changed |= reach.grow(model, id, relation, &mut set);
            }
            for (id, relation) in model.all_relations().rev() {
                changed |= reach.grow(model, id, relation, &mut set);
            }
        }
        reach
    }

    /// Whether users of this kind could have the relation.
    pub(super) fn has(&self, id: RelationId, kind: Kind) -> bool {
        self.row(id).get(kind / 64).is_some_and(|word| word >> (kind % 64) & 1 == 1)
    }

    pub(super) fn object(&self, user_type: TypeId) -> Kind {
        user_type.index()
    }

    pub(super) fn wildcard(&self, user_type: TypeId) -> Kind {
        self.types + user_type.index()
    }

    pub(super) fn userset(&self, relation: RelationId) -> Kind {
        2 * self.types + relation.index()
    }

    fn row(&self, id: RelationId) -> &[u64] {
        let start = id.index() * self.words;
        self.bits.get(start..start + self.words).unwrap_or_default()
    }

    fn grow(&mut self, model: &Model, id: RelationId, relation: &Relation, set: &mut [u64]) -> bool {
        set.fill(0);
        self.collect(model, relation, relation.rewrite(), set);
        // A userset has its own relation on its own object.
        insert(set, self.userset(id));
        let start = id.index() * self.words;
        let mut changed = false;
        for (word, new) in self.bits.get_mut(start..start + self.words).unwrap_or_default().iter_mut().zip(set) {
            changed |= *new & !*word != 0;
            *word |= *new;
        }
        changed
    }

    fn collect(&self, model: &Model, relation: &Relation, rewrite: &Rewrite<RelationName>, set: &mut [u64]) {
        let sibling = |name: &RelationName| model.relation_id(relation.object_type(), name.as_str());
        match rewrite {
            Rewrite::Direct => relation.restrictions().iter().for_each(|known| self.collect_direct(*known, set)),
            Rewrite::Computed(name) => unite(set, sibling(name).map_or(&[], |target| self.row(target))),
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = sibling(tupleset).and_then(|id| model.relation(id));
                for restriction in tupleset.into_iter().flat_map(Relation::restrictions) {
                    let target = model.relation_id(restriction.user_type, computed.as_str());
                    unite(set, target.map_or(&[], |target| self.row(target)));
                }
            }
            Rewrite::Union(operands) => operands.iter().for_each(|operand| self.collect(model, relation, operand, set)),
            Rewrite::Intersection(operands) => {
                let mut all = vec![u64::MAX; self.words];
                for operand in operands {
                    let mut one = vec![0; self.words];
                    self.collect(model, relation, operand, &mut one);
                    all.iter_mut().zip(&one).for_each(|(all, one)| *all &= one);
                }
                unite(set, &all);
            }
            Rewrite::Exclusion { base, subtract: _ } => self.collect(model, relation, base, set),
        }
    }

    fn collect_direct(&self, restriction: Restriction, set: &mut [u64]) {
        match restriction.shape {
            Shape::Plain => insert(set, self.object(restriction.user_type)),
            Shape::Wildcard => {
                insert(set, self.object(restriction.user_type));
                insert(set, self.wildcard(restriction.user_type));
            }
            Shape::Userset(target) => unite(set, self.row(target)),
        }
    }
}

fn insert(set: &mut [u64], kind: Kind) {
    if let Some(word) = set.get_mut(kind / 64) {
        *word |= 1 << (kind % 64);
    }
}

fn unite(set: &mut [u64], other: &[u64]) {
    set.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
}
