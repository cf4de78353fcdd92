//! The one way by which a snapshot follows from the one before it.

use std::sync::Arc;

use thiserror::Error;

use super::{
    authority::{StoredModel, TupleKey},
    build::{Surroundings, mapped_against_model, routes_against_model},
    cell::SnapshotCell,
    snapshot::Snapshot,
};
use crate::{
    access::{Diagnostic, Timestamp},
    policy::{InvalidTuple, Policy, TupleChange, TupleCondition},
};

/// What is different from the current snapshot; all else stays as it is at the moment of the change.
#[derive(Debug)]
pub enum Delta<'a> {
    /// Tuples are written and deleted, one after the other.
    Tuples(&'a [TupleChange<'a>]),
    /// Another model, with all tuples that go with it. The settings of the policy stay.
    Policy(Arc<StoredModel>, Policy),
    /// All but model and tuples.
    Surroundings(Surroundings),
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// There is no snapshot that could be changed.
    #[error("there is no snapshot yet")]
    Missing,
    /// A tuple cannot be held.
    #[error(transparent)]
    Tuple(#[from] InvalidTuple),
    /// The routes ask for what the model does not have.
    #[error("the routes do not fit the model: {}", shown(.0))]
    Unfit(Vec<Diagnostic>),
}

fn shown(problems: &[Diagnostic]) -> String {
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    shown.join("; ")
}

/// A change of a tuple that outlives its text.
#[derive(Debug)]
pub(super) enum KeptChange {
    Write(TupleKey, Option<TupleCondition>),
    Delete(TupleKey),
}

impl KeptChange {
    fn of(change: TupleChange<'_>) -> Self {
        match change {
            TupleChange::Write(tuple, condition) => Self::Write(tuple.into(), condition.cloned()),
            TupleChange::Delete(tuple) => Self::Delete(tuple.into()),
        }
    }

    pub(super) fn borrowed(&self) -> TupleChange<'_> {
        match self {
            Self::Write(key, condition) => TupleChange::Write(key.text(), condition.as_ref()),
            Self::Delete(key) => TupleChange::Delete(key.text()),
        }
    }
}

impl SnapshotCell {
    /// Publishes the snapshot that the delta makes of the current one, with the next revision, and returns it.
    ///
    /// It is decided and published under the one writer's lock: no other change is lost, and none is made to an older
    /// snapshot. When this returns, the next request is decided by the new snapshot. A change of tuples takes time by
    /// their number, and hardly by the size of the policy. On an error nothing has changed.
    pub fn change(&self, delta: Delta<'_>, now: Timestamp) -> Result<Arc<Snapshot>, ChangeError> {
        let mut writer = self.writer();
        let current = self.load().ok_or(ChangeError::Missing)?;
        let snapshot = match delta {
            Delta::Tuples(changes) => {
                let (policy, _) = current.policy.with_changes(changes.iter().copied())?;
                if let Some(since) = &mut writer.since_begun {
                    since.extend(changes.iter().copied().map(KeptChange::of));
                }
                Snapshot { policy: policy.into(), ..Snapshot::clone(&current) }
            }
            Delta::Policy(model, policy) => {
                let policy = policy.with_settings(current.policy.settings().clone());
                let snapshot = Snapshot { model, policy: policy.into(), ..Snapshot::clone(&current) };
                let mut problems =
                    routes_against_model(&snapshot.routes_file, &snapshot.routes, &snapshot.upstreams, &snapshot.model);
                problems.extend(mapped_against_model(&snapshot.routes_file, &snapshot.mapped, &snapshot.policy));
                if !problems.is_empty() {
                    return Err(ChangeError::Unfit(problems));
                }
                // A compaction of the policy before would come too late.
                writer.since_begun = None;
                snapshot
            }
            Delta::Surroundings(surroundings) => {
                let model = Arc::clone(&current.model);
                surroundings.around(model, &current.policy, current.revision, now).map_err(ChangeError::Unfit)?
            }
        };
        let snapshot = Snapshot { revision: current.revision.next(), built_at: now, ..snapshot };
        let is_long = snapshot.policy.needs_compaction();
        let snapshot = self.replace(snapshot);
        drop(writer);
        if is_long {
            self.want_compaction();
        }
        Ok(snapshot)
    }
}
