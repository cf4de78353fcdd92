//! What was written to a store and deleted from it, in order.

use std::{collections::VecDeque, sync::Arc};

use thiserror::Error;

use super::tuples::{Page, TupleKey};
use crate::{access::Timestamp, policy::TupleCondition};

/// So many of the latest changes are kept.
const MOST_KEPT: usize = 1_000_000;

/// What became of a tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was written, with the condition that it carries.
    Write(Option<TupleCondition>),
    /// It was deleted.
    Delete,
}

/// One change of one tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which tuple.
    pub key: Arc<TupleKey>,
    /// What became of it.
    pub kind: ChangeKind,
    /// When.
    pub at: Timestamp,
}

/// Which changes are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesQuery {
    /// Of the objects of which type; of all without it.
    pub object_type: Option<String>,
    /// From when on, if not after another page.
    pub since: Option<Timestamp>,
    /// After the change with this number.
    pub after: Option<u64>,
}

/// The changes that were asked for are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the changes after this page are not kept any more")]
pub struct Forgotten;

#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    kept: VecDeque<Change>,
    // How many older ones are not kept any more. The number of a change is one more than those before it.
    forgotten: u64,
}

impl ChangeLog {
    pub(super) fn add(&mut self, change: Change) {
        if self.kept.len() == MOST_KEPT {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back(change);
    }

    /// The changes that are asked for, and the number of the last one; `None` if there are none.
    pub(super) fn page(&self, query: &ChangesQuery, limit: usize) -> Result<Page<Change, u64>, Forgotten> {
        let skipped = match query.after {
            Some(after) => after.checked_sub(self.forgotten).ok_or(Forgotten)?,
            None => 0,
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.kept.len());
        let since = query.since.filter(|_| query.after.is_none());
        let is_asked = |change: &Change| {
            since.is_none_or(|since| change.at >= since)
                && query.object_type.as_deref().is_none_or(|name| {
                    change.key.object.split_once(':').is_some_and(|(object_type, _)| object_type == name)
                })
        };
        let found: Vec<(u64, Change)> = (self.forgotten + 1..)
            .zip(&self.kept)
            .skip(skipped)
            .filter(|(_, change)| is_asked(change))
            .take(limit)
            .map(|(number, change)| (number, change.clone()))
            .collect();
        let next = found.last().map(|(number, _)| *number);
        Ok(Page { entries: found.into_iter().map(|(_, change)| change).collect(), next })
    }
}
