//! Plans read backwards: from what a user has to what it may have because of it.

use super::{
    plan::{Hop, Plan, RelationPlan},
    question::Subject,
};
use crate::policy::{
    graph::{EdgeId, Number},
    model::{RelationId, Restriction, Shape},
};

/// From a relation of an object to a relation that may follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Way {
    pub(in crate::policy) to: RelationId,
    /// The tuples that lead to the other object. Without any it is the same object.
    pub(in crate::policy) edge: Option<EdgeId>,
    /// Whether it does follow, if the tuple counts: no intersection or exclusion is in between.
    pub(in crate::policy) is_enough: bool,
}

/// Tuples that name users themselves.
#[derive(Debug, Clone, Copy)]
struct Start {
    way: Way,
    edge: EdgeId,
    restriction: Restriction,
}

/// All ways of a model.
///
/// Whoever has a relation gets there by these ways. Of an intersection's operands one is enough to see that, and of an
/// exclusion the base.
#[derive(Debug, Default)]
pub(in crate::policy) struct Ways {
    starts: Vec<Start>,
    // For each relation the ways from it.
    onward: Vec<Vec<Way>>,
}

impl Ways {
    pub(super) fn new(plans: &[RelationPlan]) -> Self {
        let mut ways = Self { starts: Vec::new(), onward: vec![Vec::new(); plans.len()] };
        for (id, plan) in (0..).map(RelationId).zip(plans) {
            ways.collect(&plan.root, Way { to: id, edge: None, is_enough: true });
        }
        ways
    }

    fn collect(&mut self, plan: &Plan, way: Way) {
        match plan {
            Plan::Exact(edges) => {
                let start =
                    |(edge, restriction): &(EdgeId, Restriction)| Start { way, edge: *edge, restriction: *restriction };
                self.starts.extend(edges.iter().map(start));
            }
            Plan::Computed(from) => self.add(*from, way),
            Plan::Usersets(hops) | Plan::Tupleset(hops) => {
                for Hop { edge, target } in hops {
                    self.add(*target, Way { edge: Some(*edge), ..way });
                }
            }
            Plan::Any(operands) => operands.iter().for_each(|operand| self.collect(operand, way)),
            Plan::All(operands) => {
                // Operands are sorted by cost. One that lets in everyone says little.
                let narrow = operands.iter().find(|operand| !lets_in_everyone(operand));
                if let Some(operand) = narrow.or(operands.first()) {
                    self.collect(operand, Way { is_enough: false, ..way });
                }
            }
            Plan::Except(pair) => {
                let [base, _] = &**pair;
                self.collect(base, Way { is_enough: false, ..way });
            }
        }
    }

    fn add(&mut self, from: RelationId, way: Way) {
        if let Some(ways) = self.onward.get_mut(from.index()) {
            ways.push(way);
        }
    }

    /// The tuples that name the user or its wildcard, as edges and users, and where they lead.
    pub(in crate::policy) fn starts(&self, subject: Subject) -> impl Iterator<Item = (EdgeId, Number, Way)> {
        self.starts.iter().filter_map(move |start| {
            let user = match (subject, start.restriction.shape) {
                (Subject::Object { number, .. }, Shape::Plain) => number,
                (Subject::Object { .. } | Subject::Wildcard { .. }, Shape::Wildcard) => 0,
                (Subject::Object { .. } | Subject::Wildcard { .. } | Subject::Userset { .. }, _) => return None,
            };
            let (Subject::Object { user_type, .. } | Subject::Wildcard { user_type }) = subject else { return None };
            (user_type == start.restriction.user_type).then_some((start.edge, user, start.way))
        })
    }

    /// The ways from a relation.
    pub(in crate::policy) fn from(&self, id: RelationId) -> &[Way] {
        self.onward.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// For each relation whether any ways lead from it to the target.
    pub(in crate::policy) fn leading_to(&self, target: RelationId) -> Vec<bool> {
        let mut leads = vec![false; self.onward.len()];
        let mark =
            |leads: &mut Vec<bool>, id: usize| leads.get_mut(id).is_some_and(|leads| !std::mem::replace(leads, true));
        let mut changed = mark(&mut leads, target.index());
        while changed {
            changed = false;
            for (id, ways) in self.onward.iter().enumerate() {
                if ways.iter().any(|way| leads.get(way.to.index()) == Some(&true)) {
                    changed |= mark(&mut leads, id);
                }
            }
        }
        leads
    }
}

fn lets_in_everyone(plan: &Plan) -> bool {
    match plan {
        Plan::Exact(edges) => edges.iter().any(|(_, restriction)| restriction.shape == Shape::Wildcard),
        Plan::Any(operands) => operands.iter().any(lets_in_everyone),
        Plan::All(operands) => operands.iter().all(lets_in_everyone),
        Plan::Except(pair) => pair.first().is_some_and(lets_in_everyone),
        Plan::Computed(_) | Plan::Usersets(_) | Plan::Tupleset(_) => false,
    }
}
