//! What to do to answer a question about a relation, cheapest first.

use super::{
    question::Subject,
    reach::{Kind, Reach},
    recursion::{Recursion, recursions},
    unions::Unions,
    ways::Ways,
};
use crate::{
    access::RelationName,
    policy::{
        graph::EdgeId,
        model::{Model, Relation, RelationId, Restriction, Rewrite, Shape},
    },
};

/// A way from an object to another one: the tuples of an edge, then a relation of the objects that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) edge: EdgeId,
    pub(super) target: RelationId,
}

/// A rewrite, flattened and numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Tuples that name the user itself or its wildcard.
    Exact(Box<[(EdgeId, Restriction)]>),
    /// Another relation of the object.
    Computed(RelationId),
    /// Tuples that name usersets.
    Usersets(Box<[Hop]>),
    /// Tuples that name other objects which have the computed relation.
    Tupleset(Box<[Hop]>),
    Any(Box<[Self]>),
    All(Box<[Self]>),
    Except(Box<[Self; 2]>),
}

impl Plan {
    fn new(model: &Model, relation: &Relation, rewrite: &Rewrite<RelationName>) -> Self {
        let each = |operands: &[Rewrite<RelationName>]| -> Vec<Self> {
            operands.iter().map(|operand| Self::new(model, relation, operand)).collect()
        };
        match rewrite {
            Rewrite::Direct => Self::direct(relation),
            Rewrite::Computed(name) => {
                let target = model.relation_id(relation.object_type(), name.as_str());
                target.map_or(Self::Any(Box::default()), Self::Computed)
            }
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = model.relation_id(relation.object_type(), tupleset.as_str());
                let edges = tupleset.and_then(|id| model.relation(id)).into_iter().flat_map(Relation::edges);
                // A type without the computed relation is skipped (OpenFGA).
                let hops = edges.filter_map(|(edge, restriction)| {
                    let target = model.relation_id(restriction.user_type, computed.as_str())?;
                    Some(Hop { edge, target })
                });
                Self::Tupleset(hops.collect())
            }
            Rewrite::Union(operands) => Self::any(each(operands)),
            Rewrite::Intersection(operands) => Self::all(each(operands)),
            Rewrite::Exclusion { base, subtract } => {
                Self::Except(Box::new([Self::new(model, relation, base), Self::new(model, relation, subtract)]))
            }
        }
    }

    fn direct(relation: &Relation) -> Self {
        let mut exact = Vec::new();
        let mut hops = Vec::new();
        for (edge, restriction) in relation.edges() {
            match restriction.shape {
                Shape::Plain | Shape::Wildcard => exact.push((edge, restriction)),
                Shape::Userset(target) => hops.push(Hop { edge, target }),
            }
        }
        match (exact.is_empty(), hops.is_empty()) {
            (_, true) => Self::Exact(exact.into()),
            (true, false) => Self::Usersets(hops.into()),
            (false, false) => Self::any(vec![Self::Exact(exact.into()), Self::Usersets(hops.into())]),
        }
    }

    fn any(operands: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for operand in operands {
            match operand {
                Self::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat.sort_by_key(Self::cost);
        Self::Any(flat.into())
    }

    fn all(operands: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for operand in operands {
            match operand {
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat.sort_by_key(Self::cost);
        Self::All(flat.into())
    }

    // The order of operands never changes an answer, see `Verdict`.
    fn cost(&self) -> u32 {
        match self {
            Self::Exact(_) => 0,
            Self::Computed(_) => 1,
            Self::Usersets(_) => 10,
            Self::Tupleset(_) => 11,
            Self::Any(operands) | Self::All(operands) => operands.iter().map(Self::cost).max().unwrap_or(0) + 1,
            Self::Except(pair) => pair.iter().map(Self::cost).max().unwrap_or(0) + 1,
        }
    }
}

/// The plan of one relation.
#[derive(Debug)]
pub(super) struct RelationPlan {
    pub(super) root: Plan,
    pub(super) recursion: Recursion,
}

impl RelationPlan {
    /// The tuples that give the relation by themselves, whatever else the plan holds.
    pub(super) fn sufficient(&self) -> &[(EdgeId, Restriction)] {
        let first = match &self.root {
            Plan::Any(operands) => operands.first(),
            root => Some(root),
        };
        match first {
            Some(Plan::Exact(edges)) => edges,
            Some(_) | None => &[],
        }
    }

    /// Whether nothing but those tuples gives the relation.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.root, Plan::Exact(_))
    }
}

/// The plans of all relations of a model, and who can reach them.
#[derive(Debug)]
pub(in crate::policy) struct Plans {
    plans: Box<[RelationPlan]>,
    reach: Reach,
    ways: Ways,
    unions: Unions,
}

impl Plans {
    /// Compiles a model.
    pub(in crate::policy) fn new(model: &Model) -> Self {
        let plans = model.all_relations().zip(recursions(model)).map(|((_, relation), recursion)| RelationPlan {
            root: Plan::new(model, relation, relation.rewrite()),
            recursion,
        });
        let plans: Box<[RelationPlan]> = plans.collect();
        Self { ways: Ways::new(&plans), unions: Unions::new(&plans), plans, reach: Reach::new(model) }
    }

    pub(super) fn plan(&self, id: RelationId) -> Option<&RelationPlan> {
        self.plans.get(id.index())
    }

    pub(super) fn reaches(&self, id: RelationId, kind: Kind) -> bool {
        self.reach.has(id, kind)
    }

    /// The plans read backwards.
    pub(in crate::policy) fn ways(&self) -> &Ways {
        &self.ways
    }

    pub(super) fn unions(&self) -> &Unions {
        &self.unions
    }

    /// The kind of a user.
    pub(super) fn kind(&self, subject: Subject) -> Kind {
        match subject {
            Subject::Object { user_type, .. } => self.reach.object(user_type),
            Subject::Wildcard { user_type } => self.reach.wildcard(user_type),
            Subject::Userset { relation, .. } => self.reach.userset(relation),
        }
    }

    /// Whether such a user could have the relation on any object.
    pub(in crate::policy) fn may_have(&self, id: RelationId, subject: Subject) -> bool {
        self.reaches(id, self.kind(subject))
    }
}
