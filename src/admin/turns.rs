//! Turns at work that keeps a processor busy.

use std::{sync::Arc, thread, time::Duration};

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

/// The turns of an interface: short answers do not wait for long ones.
#[derive(Debug)]
pub(super) struct AnswerTurns {
    short: Turns,
    long: Turns,
}

impl AnswerTurns {
    /// A request that has waited this long for its turn is refused.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Those of an interface beside a proxy: long answers leave half of the processors to it.
    pub(super) fn beside_a_proxy() -> Self {
        Self::of((processors() / 2).max(1))
    }

    /// Those of an interface that has the machine for itself.
    pub(super) fn alone() -> Self {
        Self::of(processors().max(2))
    }

    fn of(long: usize) -> Self {
        Self { short: Turns::new(processors().max(2), Self::PATIENCE), long: Turns::new(long, Self::PATIENCE) }
    }

    /// A turn; `None` if none was free in time.
    pub(super) async fn take(&self, is_long: bool) -> Option<Turn> {
        let turns = if is_long { &self.long } else { &self.short };
        turns.take().await
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
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

    #[tokio::test]
    async fn short_answers_do_not_wait_for_long_ones() {
        let turns = AnswerTurns { short: Turns::new(1, Duration::ZERO), long: Turns::new(1, Duration::ZERO) };
        let long = turns.take(true).await;
        assert!(long.is_some() && turns.take(true).await.is_none());
        assert!(turns.take(false).await.is_some());
    }
}
