//! Where snapshots come from.

use std::future::Future;

use crate::{
    access::{Diagnostic, Revision},
    snapshot::{Snapshot, Surroundings},
};

/// What a source noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was reached, and holds what it held when it was last loaded.
    Confirmed,
    /// It may hold something else.
    Changed,
}

/// What came of loading a source.
#[derive(Debug)]
pub enum Loaded {
    /// A snapshot with the revision that was asked for.
    Built(Box<Snapshot>),
    /// All but the policy, which is changed by others: it stays as it is when this is published.
    Around(Box<Surroundings>),
    /// What it holds is no snapshot: every problem.
    Refused(Vec<Diagnostic>),
    /// Something is not there yet; the source will report a change when it is.
    Waiting(String),
}

/// A place that snapshots are loaded from.
pub trait Source: Send + 'static {
    /// Waits until there is something to tell. Cancelling it loses nothing.
    fn changed(&mut self) -> impl Future<Output = Change> + Send;

    /// Loads what the source holds now, as a snapshot of this revision.
    fn load(&mut self, revision: Revision) -> impl Future<Output = Loaded> + Send;

    /// What was loaded last is in force.
    fn published(&mut self) {}
}
