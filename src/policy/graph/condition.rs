//! The conditions that some tuples carry.

use std::sync::Arc;

use super::{pairs::pair, persistent::PersistentMap, store::Number};
use crate::policy::condition::ConditionName;

/// What a tuple asks for before it counts: a condition, and what the tuple itself tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TupleCondition {
    /// The condition.
    pub name: ConditionName,
    /// Its context as JSON, empty if the tuple brings none.
    pub context: Arc<str>,
}

/// The conditions of one edge's tuples, for the few that carry one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    // By object and user. `None` if no tuple of the edge carries a condition.
    by_pair: Option<PersistentMap<u64, Arc<TupleCondition>>>,
}

impl Conditions {
    /// Of entries sorted by `object << 32 | user`.
    pub(super) fn from_sorted(entries: impl IntoIterator<Item = (u64, Arc<TupleCondition>)>) -> Self {
        let by_pair = PersistentMap::from_sorted(entries);
        Self { by_pair: (by_pair.len() > 0).then_some(by_pair) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_pair.is_none()
    }

    /// The condition of a tuple.
    pub(super) fn get(&self, object: Number, user: Number) -> Option<&TupleCondition> {
        self.by_pair.as_ref()?.get(pair(object, user)).map(|condition| &**condition)
    }

    /// Gives a tuple this condition or none, whatever it had before.
    pub(super) fn set(&mut self, object: Number, user: Number, condition: Option<&Arc<TupleCondition>>) {
        match (condition, &mut self.by_pair) {
            (Some(condition), by_pair) => {
                by_pair.get_or_insert_default().insert(pair(object, user), Arc::clone(condition));
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
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<TupleCondition>)> {
        self.by_pair.iter().flat_map(PersistentMap::iter)
    }

    /// About how many bytes this takes, the conditions themselves aside: many tuples may share one.
    pub(super) fn bytes(&self) -> usize {
        self.by_pair.as_ref().map_or(0, |by_pair| by_pair.len() * size_of::<(u64, Arc<TupleCondition>)>())
    }
}
