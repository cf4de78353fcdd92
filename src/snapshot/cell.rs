//! The one place where the current snapshot is.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use thiserror::Error;

use crate::access::{Reason, Revision, Timestamp};

use super::{change::KeptChange, snapshot::Snapshot};

/// A snapshot was published whose revision is not above the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("revision {offered} is not above the current revision {current}")]
pub struct NotNewer {
    offered: Revision,
    current: Revision,
}

/// Why nothing can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// There is no snapshot yet.
    #[error("there is no snapshot yet")]
    Missing,
    /// The source was last confirmed too long ago.
    #[error("the snapshot was last confirmed {0} s ago")]
    Stale(u64),
}

impl Unusable {
    /// The reason of the denial.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::NoSnapshot,
            Self::Stale(_) => Reason::StaleSnapshot,
        }
    }
}

/// The cell that readers load from, without waiting, and one writer publishes to.
#[derive(Debug, Default)]
pub struct SnapshotCell {
    current: ArcSwapOption<Snapshot>,
    // When the source last said that `current` is what it holds, in microseconds since 1970.
    confirmed: AtomicI64,
    // INVARIANT: held while a snapshot is decided on and published, so that revisions only go up and no change is lost.
    writer: Mutex<Writer>,
    // Told when a compaction may be due, or when the cell is closed.
    due: Condvar,
}

/// What only the one writer touches.
#[derive(Debug, Default)]
pub(super) struct Writer {
    // INVARIANT: what was changed since the compaction under way began; `None` if none is, or if it comes to nothing.
    pub(super) since_begun: Option<Vec<KeptChange>>,
    closed: bool,
}

impl SnapshotCell {
    /// The snapshot to decide by at this time.
    pub fn usable(&self, now: Timestamp) -> Result<Arc<Snapshot>, Unusable> {
        let snapshot = self.current.load_full().ok_or(Unusable::Missing)?;
        if self.is_stale(&snapshot, now) { Err(Unusable::Stale(self.age(now).as_secs())) } else { Ok(snapshot) }
    }

    /// Whether the current snapshot is too old to decide by.
    pub fn is_stale(&self, snapshot: &Snapshot, now: Timestamp) -> bool {
        snapshot.max_staleness.is_some_and(|bound| self.age(now) > bound)
    }

    /// The current snapshot, however old.
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Makes the snapshot the current one. Refuses a revision that is not above the current one.
    pub fn publish(&self, snapshot: Snapshot) -> Result<(), NotNewer> {
        let mut writer = self.writer();
        let current = self.current.load().as_ref().map_or(Revision::default(), |snapshot| snapshot.revision);
        if snapshot.revision <= current {
            return Err(NotNewer { offered: snapshot.revision, current });
        }
        // A compaction of the policy before would come too late.
        writer.since_begun = None;
        self.confirmed.store(snapshot.built_at.microseconds(), Ordering::Relaxed);
        self.replace(snapshot);
        Ok(())
    }

    /// The one writer, until the guard is dropped.
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the snapshot the current one. Only the writer may.
    pub(super) fn replace(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        // What was made of another snapshot's policy is not this one's.
        let snapshot = Arc::new(Snapshot { overlays: Arc::default(), ..snapshot });
        self.current.store(Some(Arc::clone(&snapshot)));
        snapshot
    }

    /// Wakes the compaction.
    pub(super) fn want_compaction(&self) {
        self.due.notify_all();
    }

    /// Waits until so much has changed that a compaction is due, and returns what it is to compact; `None` once the
    /// cell is closed. From here on changes are kept, to be made again at the end of the compaction.
    pub(super) fn begin_compaction(&self) -> Option<Arc<Snapshot>> {
        let is_due = || self.current.load().as_ref().is_some_and(|snapshot| snapshot.policy.needs_compaction());
        let waited = self.due.wait_while(self.writer(), |writer| !writer.closed && !is_due());
        let mut writer = waited.unwrap_or_else(PoisonError::into_inner);
        if writer.closed {
            return None;
        }
        writer.since_begun = Some(Vec::new());
        self.load()
    }

    /// Ends the compaction, for good.
    pub fn close(&self) {
        self.writer().closed = true;
        self.due.notify_all();
    }

    /// Notes that the source still holds what the current snapshot was built from.
    pub fn confirm(&self, now: Timestamp) {
        self.confirmed.store(now.microseconds(), Ordering::Relaxed);
    }

    /// Notes that the clock was set back by so much: what was confirmed before does not become younger by that.
    pub fn clock_set_back(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        // Whoever confirms at this moment, by the clock of now, wins or is repeated soon.
        let _ = self.confirmed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_sub(by)));
    }

    /// The time since the source last confirmed the current snapshot.
    pub fn age(&self, now: Timestamp) -> Duration {
        let age = now.microseconds().saturating_sub(self.confirmed.load(Ordering::Relaxed));
        Duration::from_micros(u64::try_from(age).unwrap_or(0))
    }
}
