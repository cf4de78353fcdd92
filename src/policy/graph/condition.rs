//! The conditions that some tuples carry.

use std::sync::Arc;

use super::{pairs::pair, persistent::PersistentMap, placement::SetAsideReason, store::Number};
use crate::policy::{
    condition::{BoundContext, ConditionName, ContextMap},
    model::Model,
};

/// What a tuple asks for before it counts: a condition, and what the tuple itself tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TupleCondition {
    /// The condition.
    pub name: ConditionName,
    /// Its context as JSON, empty if the tuple brings none.
    pub context: Arc<str>,
}

/// A tuple's condition, ready to be evaluated.
#[derive(Debug)]
pub(in crate::policy) struct Carried {
    pub(super) written: TupleCondition,
    /// The number of the condition among those of the model.
    pub(in crate::policy) number: u32,
    /// The tuple's context as values of the condition's parameters.
    pub(in crate::policy) bound: BoundContext,
}

impl Carried {
    /// Binds a condition that a tuple carries. Refuses one that the model does not have, and a context with values that
    /// it does not declare: OpenFGA takes no such tuple for valid.
    pub(super) fn new(model: &Model, written: &TupleCondition) -> Result<Self, SetAsideReason> {
        let conditions = model.conditions();
        let number = conditions.number(written.name.as_str()).ok_or(SetAsideReason::ConditionNotAllowed)?;
        let condition = conditions.at(number).ok_or(SetAsideReason::ConditionNotAllowed)?;
        let context = if written.context.is_empty() {
            ContextMap::default()
        } else {
            written.context.parse().map_err(|_| SetAsideReason::UndeclaredContext)?
        };
        let bound = condition.bind(&context).map_err(|_| SetAsideReason::UndeclaredContext)?;
        Ok(Self { written: written.clone(), number, bound })
    }

    /// The condition as it was written.
    pub(in crate::policy) fn written(&self) -> &TupleCondition {
        &self.written
    }
}

/// The conditions of one edge's tuples, for the few that carry one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    // By object and user. `None` if no tuple of the edge carries a condition.
    by_pair: Option<PersistentMap<u64, Arc<Carried>>>,
}

impl Conditions {
    /// Of entries sorted by `object << 32 | user`.
    pub(super) fn from_sorted(entries: impl IntoIterator<Item = (u64, Arc<Carried>)>) -> Self {
        let by_pair = PersistentMap::from_sorted(entries);
        Self { by_pair: (by_pair.len() > 0).then_some(by_pair) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_pair.is_none()
    }

    /// The condition of a tuple.
    pub(super) fn get(&self, object: Number, user: Number) -> Option<&Carried> {
        self.by_pair.as_ref()?.get(pair(object, user)).map(|condition| &**condition)
    }

    /// Gives a tuple this condition or none, whatever it had before.
    pub(super) fn set(&mut self, object: Number, user: Number, condition: Option<Arc<Carried>>) {
        match (condition, &mut self.by_pair) {
            (Some(condition), by_pair) => {
                by_pair.get_or_insert_default().insert(pair(object, user), condition);
            }
            (None, Some(known)) => {
                known.remove(pair(object, user));
                if known.len() == 0 {
                    self.by_pair = None;
                }
            }
            (None, None) => {}
        }
    }

    /// All conditions, by object and user.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Carried>)> {
        self.by_pair.iter().flat_map(PersistentMap::iter)
    }

    /// About how many bytes this takes, the conditions themselves aside: many tuples may share one.
    pub(super) fn bytes(&self) -> usize {
        self.by_pair.as_ref().map_or(0, |by_pair| by_pair.len() * size_of::<(u64, Arc<Carried>)>())
    }
}
