//! Turns at work that keeps a processor busy.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// So many may work at one time; whoever waits too long for a turn gets none.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    patience: Duration,
}

/// One turn. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// So many turns at one time, each waited for as long as this.
    pub(super) fn new(count: usize, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), patience }
    }

    /// A turn; `None` if none was free in time.
    pub(super) async fn take(&self) -> Option<Turn> {
        let permit = timeout(self.patience, Arc::clone(&self.free).acquire_owned()).await;
        Some(Turn { _permit: permit.ok()?.ok()? })
    }
}

impl Turn {
    /// Does the work on a thread for long work, to its end even if nobody waits for it any more. Until then the turn is
    /// taken; work that goes on elsewhere keeps it.
    pub(super) fn spend<T: Send + 'static>(self, work: impl FnOnce(Self) -> T + Send + 'static) -> JoinHandle<T> {
        spawn_blocking(move || work(self))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_turn_is_taken_as_long_as_its_work_goes_on() {
        let turns = Turns::new(1, Duration::from_millis(10));
        let (finish, told) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let turn = turns.take().await.unwrap();
        let asking = turn.spend(move |_turn| {
            begun.send(()).unwrap();
            let _ = told.recv();
        });
        begins.recv().unwrap();
        // Whoever asked has gone away, and the work goes on.
        drop(asking);
        assert!(turns.take().await.is_none());
        drop(finish);
        while turns.take().await.is_none() {}
    }
}
