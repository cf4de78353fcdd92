//! Deadlines that are almost never reached: where many follow each other, one timer is for all of them. It is set anew when it
//! goes off too early, and not for every request.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    task::coop::has_budget_remaining,
    time::{Instant, Sleep, sleep_until},
};

/// A timer for one deadline at a time.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    // Whom it wakes when it goes off.
    wakes: Option<Waker>,
}

/// The timer of one connection, for those who have its deadlines.
#[derive(Debug, Clone)]
pub(super) struct ConnectionTimer(Arc<Mutex<Alarm>>);

/// Ends when its time has come.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: ConnectionTimer,
    at: Instant,
}

impl Alarm {
    /// A timer that is not set yet. Only within a runtime.
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())), wakes: None }
    }

    /// The outcome, if it is there before the time is over.
    pub(super) async fn before<T>(&mut self, at: Instant, mut doing: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match doing.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => self.poll_until(at, cx).map(|()| None),
        })
        .await
    }

    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Self { sleep, wakes } = self;
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
            *wakes = None;
        }
        // It will wake this task already: most requests find it so.
        if !sleep.is_elapsed() && wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        *wakes = None;
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                // Without budget left it has not looked at who asks.
                *wakes = has_budget_remaining().then(|| cx.waker().clone());
                return Poll::Pending;
            }
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            // It was set for an earlier request.
            sleep.as_mut().reset(at);
        }
    }
}

impl ConnectionTimer {
    /// A timer that is not set yet. Only within a runtime.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Alarm::new())))
    }

    pub(super) fn until(&self, at: Instant) -> Deadline {
        Deadline { timer: self.clone(), at }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.0.lock().unwrap_or_else(PoisonError::into_inner).poll_until(self.at, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin, time::Duration};

    use super::*;

    #[tokio::test]
    async fn no_deadline_is_early_and_each_ends() {
        let timer = ConnectionTimer::new();
        let begun = Instant::now();
        let after = |milliseconds: u64| begun + Duration::from_millis(milliseconds);
        // Set, and given up before its time.
        let mut alarm = Alarm::new();
        assert_eq!(alarm.before(after(600_000), pin!(async { 7 })).await, Some(7));
        // Later and earlier ones than the timer was set to, one of them over already.
        for at in [5, 20, 21, 3, 30] {
            timer.until(after(at)).await;
            assert!(Instant::now() >= after(at));
        }
        let given_up = tokio::time::timeout(Duration::from_millis(1), timer.until(after(600_000))).await;
        assert!(given_up.is_err());
        let never: Option<()> = alarm.before(Instant::now() + Duration::from_millis(4), pin!(pending())).await;
        assert_eq!(never, None);
    }
}
