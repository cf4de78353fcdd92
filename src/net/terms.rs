//! On what terms connections to an upstream are opened and kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Told when some connection of some upstream is wanted that may not be opened: each worker looks whether one of its own
/// rests that is in the way.
pub(super) static WANTED: Notify = Notify::const_new();

/// A connection is not used for longer, whoever opens it: addresses behind a name or a virtual address change.
pub const CONNECTION_AGE: Duration = Duration::from_secs(600);

/// The terms of one place.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// A connection that is older takes no more requests; by chance up to a tenth less.
    pub(super) age: Duration,
    /// How many connections there may be to the whole upstream, if that is bounded.
    pub(super) slots: Option<Slots>,
    pub(super) gone: Gone,
    /// Whether a connection sends a request once more by itself: there are no rules for that.
    pub(super) sends_again: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { age: CONNECTION_AGE, slots: None, gone: Gone::default(), sends_again: true }
    }
}

/// Whether a place has ceased to be one of its upstream's: connections to it are of no more use.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone(Arc<AtomicBool>);

impl Gone {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The connections that may be open at one time, over all workers.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// One that waits for a connection to end.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))), waiting: Arc::default() }
    }

    /// The place of one connection, until it is dropped; waits until another connection has ended.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(taken) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(taken);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        WANTED.notify_waiters();
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Whether connections that rest are in the way of some that are wanted.
    pub(super) fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}
