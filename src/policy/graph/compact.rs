//! A graph with its changes folded into packed rows.

use super::{
    builder::user_count,
    condition::Conditions,
    names::Interner,
    pairs::{self, high, low, pair},
    store::{Edge, Graph, Number, Statistics},
};
use crate::policy::model::{Restriction, Shape, TypeId};

/// So many changes do not slow down readers in the least.
const FEW_CHANGES: usize = 1000;

impl Graph {
    /// Whether so much has changed that readers gain from [`compacted`](Self::compacted).
    pub fn needs_compaction(&self) -> bool {
        self.changes > FEW_CHANGES + self.statistics.tuples / 100
    }

    /// The same tuples without changes laid over them. What no tuple names any more is forgotten.
    ///
    /// Takes time and memory by the size of the graph. Changes that are made in the meantime have to be made to the
    /// compacted graph too.
    pub fn compacted(&self) -> Self {
        let renumberings = self.renumberings();
        let interners: Box<[Interner]> = self.interners.iter().zip(&renumberings).map(renumbered).collect();
        let mut edges: Vec<Edge> = Vec::with_capacity(self.edges.len());
        for (restriction, object_type, edge) in self.all_edges() {
            let of = |of: TypeId| renumberings.get(of.index()).and_then(Option::as_deref);
            let users = if restriction.shape == Shape::Wildcard { None } else { of(restriction.user_type) };
            let numbers = Numbers { objects: of(object_type), users };
            let names = interners.get(object_type.index());
            if edge.is_packed() && numbers.are_the_same() {
                let mut edge = edge.clone();
                if let Some((names, before)) = names.zip(self.interners.get(object_type.index()))
                    && !names.has_places_of(before)
                {
                    edge.users.place(names);
                }
                edges.push(edge);
                continue;
            }
            let object_count = interners.get(object_type.index()).map_or(0, Interner::len);
            let mut packed = Edge::new(&numbers.pairs_of(edge), object_count, user_count(&interners, restriction));
            // New numbers are in the order of the old ones, so what was sorted still is.
            let conditions = edge.conditions.iter();
            packed.conditions = Conditions::from_sorted(
                conditions.map(|(key, condition)| (numbers.pair(high(key), low(key)), condition.clone())),
            );
            if let Some(names) = names {
                packed.users.place(names);
            }
            edges.push(packed);
        }
        let bytes = interners.iter().map(Interner::bytes).chain(edges.iter().map(Edge::bytes)).sum();
        let statistics = Statistics { objects: interners.iter().map(Interner::len).sum(), bytes, ..self.statistics };
        Self { interners, edges: edges.into(), statistics, changes: 0, ..self.clone() }
    }

    /// For each type in which some object has no tuple any more, the new numbers of those that have one.
    fn renumberings(&self) -> Vec<Option<Vec<Number>>> {
        let mut used: Vec<Vec<bool>> = self.interners.iter().map(|interner| vec![false; interner.len()]).collect();
        let mut mark = |of: TypeId, numbers: &mut dyn Iterator<Item = Number>| {
            let Some(used) = used.get_mut(of.index()) else { return };
            numbers.for_each(|number| used.get_mut(number as usize).into_iter().for_each(|used| *used = true));
        };
        for (restriction, object_type, edge) in self.all_edges() {
            mark(object_type, &mut edge.users.keys());
            if restriction.shape != Shape::Wildcard {
                mark(restriction.user_type, &mut edge.objects.keys());
            }
        }
        let numbered = |used: Vec<bool>| {
            let mut next = 0;
            let number = |used: &bool| {
                let own = next;
                next += u32::from(*used);
                if *used { own } else { GONE }
            };
            (!used.iter().all(|used| *used)).then(|| used.iter().map(number).collect())
        };
        used.into_iter().map(numbered).collect()
    }

    fn all_edges(&self) -> impl Iterator<Item = (Restriction, TypeId, &Edge)> {
        let restrictions = self.model.all_relations().flat_map(|(_, relation)| {
            relation.restrictions().iter().map(|restriction| (*restriction, relation.object_type()))
        });
        restrictions.zip(&self.edges).map(|((restriction, object_type), edge)| (restriction, object_type, edge))
    }
}

/// In place of the new number of an object that has none.
const GONE: Number = Number::MAX;

fn renumbered((interner, renumbering): (&Interner, &Option<Vec<Number>>)) -> Interner {
    match renumbering {
        None => interner.compacted(),
        Some(numbers) => {
            let kept = (0..).zip(numbers).filter(|(_, new)| **new != GONE).map(|(old, _)| old);
            interner.only(kept)
        }
    }
}

/// The new numbers of an edge's objects and users; `None` if they keep theirs.
#[derive(Debug, Clone, Copy)]
struct Numbers<'a> {
    objects: Option<&'a [Number]>,
    users: Option<&'a [Number]>,
}

impl Numbers<'_> {
    fn are_the_same(self) -> bool {
        self.objects.is_none() && self.users.is_none()
    }

    fn pair(self, object: Number, user: Number) -> u64 {
        let new = |numbers: Option<&[Number]>, old: Number| match numbers {
            Some(numbers) => numbers.get(old as usize).copied().unwrap_or(GONE),
            None => old,
        };
        pair(new(self.objects, object), new(self.users, user))
    }

    fn pairs_of(self, edge: &Edge) -> Vec<u64> {
        let mut pairs = Vec::with_capacity(edge.users.packed_len());
        for object in edge.users.keys() {
            pairs.extend(edge.users.row(object).iter().map(|user| self.pair(object, user)));
        }
        pairs::sort(&mut pairs);
        pairs
    }
}
