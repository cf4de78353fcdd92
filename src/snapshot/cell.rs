//! The one place where the current snapshot is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::ArcSwapOption;
use thiserror::Error;

use crate::access::{Reason, Revision, Timestamp};

use super::snapshot::Snapshot;

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
    // INVARIANT: held while a snapshot is compared and published, so that revisions only go up.
    publishing: Mutex<()>,
}

impl SnapshotCell {
    /// The snapshot to decide by at this time.
    pub fn usable(&self, now: Timestamp) -> Result<Arc<Snapshot>, Unusable> {
        let snapshot = self.current.load_full().ok_or(Unusable::Missing)?;
        match snapshot.max_staleness {
            Some(bound) if self.age(now) > bound => Err(Unusable::Stale(self.age(now).as_secs())),
            Some(_) | None => Ok(snapshot),
        }
    }

    /// The current snapshot, however old.
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Makes the snapshot the current one. Refuses a revision that is not above the current one.
    pub fn publish(&self, snapshot: Snapshot) -> Result<(), NotNewer> {
        let _one_writer = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load().as_ref().map_or(Revision::default(), |snapshot| snapshot.revision);
        if snapshot.revision <= current {
            return Err(NotNewer { offered: snapshot.revision, current });
        }
        self.confirmed.store(snapshot.built_at.microseconds(), Ordering::Relaxed);
        self.current.store(Some(Arc::new(snapshot)));
        Ok(())
    }

    /// Notes that the source still holds what the current snapshot was built from.
    pub fn confirm(&self, now: Timestamp) {
        self.confirmed.store(now.microseconds(), Ordering::Relaxed);
    }

    /// The time since the source last confirmed the current snapshot.
    pub fn age(&self, now: Timestamp) -> std::time::Duration {
        let age = now.microseconds().saturating_sub(self.confirmed.load(Ordering::Relaxed));
        std::time::Duration::from_micros(u64::try_from(age).unwrap_or(0))
    }
}
