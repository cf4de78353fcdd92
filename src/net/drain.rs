//! Shutdown in order: new work stops, work in flight ends, then the deadline.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::{Poll, Waker},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Sleep, timeout},
};

/// What those who work are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// To go on.
    Work,
    /// To end in order: what has just come is still served.
    Leave,
    /// The same, and nobody is waited for.
    LeaveAtOnce,
}

/// Why work has to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It was ordered to.
    Ordered,
    /// It has gone on for as long as it may.
    TermOver,
}

/// The side that orders the drain and waits for it.
#[derive(Debug)]
pub struct Drain {
    order: watch::Sender<Order>,
    alive: mpsc::Receiver<()>,
}

/// The side of those who work: it tells when to stop, and holds the drain open while it lives.
#[derive(Debug, Clone)]
pub struct DrainSignal {
    ordered: watch::Receiver<Order>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    /// A drain that is not yet ordered, and its signal.
    pub fn new() -> (Self, DrainSignal) {
        let (order, ordered) = watch::channel(Order::Work);
        let (holder, alive) = mpsc::channel(1);
        (Self { order, alive }, DrainSignal { ordered, _alive: holder })
    }

    /// Orders everybody to stop.
    pub fn order(&self) {
        self.order.send_replace(Order::Leave);
    }

    /// The same, without waiting for those who might still have something to say: they must not be heard.
    pub(super) fn order_at_once(&self) {
        self.order.send_replace(Order::LeaveAtOnce);
    }

    /// Waits until all signals are dropped.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the end of the channel is the news.
        self.alive.recv().await;
    }

    /// Waits until all signals are dropped, at most this long. True if all work ended by itself.
    pub async fn ended_within(&mut self, limit: Duration) -> bool {
        timeout(limit, self.ended()).await.is_ok()
    }
}

impl DrainSignal {
    /// Waits for the order.
    pub async fn ordered(&mut self) {
        // An error means that nobody can order any more: that is an order too.
        let _ = self.ordered.wait_for(|ordered| *ordered != Order::Work).await;
    }

    /// Waits until who is idle has to leave: so long after the order, because what was sent before it was known is still
    /// on its way, or at once if that was ordered.
    pub(super) async fn left_for(&mut self, linger: Duration) {
        self.ordered().await;
        let at_once = async {
            if self.ordered.wait_for(|ordered| *ordered == Order::LeaveAtOnce).await.is_err() {
                // Nobody can order that any more.
                pending::<()>().await;
            }
        };
        // Either is the end of the wait.
        let _ = timeout(linger, at_once).await;
    }

    /// The outcome of the work, or why it has to leave: then the work can be told, and waited for.
    ///
    /// The work is polled for every request. The order and the end of the term come once in a life, so their watch is set
    /// once: they are not polled again as long as the one who waits is the same.
    pub(super) async fn unless_ordered<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
        mut term: Option<Pin<&mut Sleep>>,
    ) -> Result<T, Leave> {
        let watched = self.ordered.clone();
        let mut ordered = pin!(self.ordered());
        let mut waiting: Option<Waker> = None;
        poll_fn(|cx| {
            // Before the work goes on: what it says from now on is said by one that leaves.
            if waiting.is_some() && watched.has_changed().unwrap_or(true) {
                return Poll::Ready(Err(Leave::Ordered));
            }
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(outcome));
            }
            let is_watched = waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_watched && !term.as_ref().is_some_and(|term| term.is_elapsed()) {
                return Poll::Pending;
            }
            waiting = Some(cx.waker().clone());
            if ordered.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Leave::Ordered));
            }
            let over = term.as_mut().map_or(Poll::Pending, |term| term.as_mut().poll(cx));
            over.map(|()| Err(Leave::TermOver))
        })
        .await
    }

    /// Whether the drain has been ordered.
    pub fn is_ordered(&self) -> bool {
        *self.ordered.borrow() != Order::Work
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::{pending, ready},
        time::Instant,
    };

    use tokio::{sync::Notify, task::yield_now, time::sleep};

    use super::*;

    #[tokio::test]
    async fn work_ends_or_is_told_of_the_order() {
        let (drain, mut signal) = Drain::new();
        assert_eq!(signal.unless_ordered(pin!(ready(1)), None).await, Ok(1));
        let step = Notify::new();
        // It is polled several times before the order, and the order alone wakes it then.
        let mut stepping = pin!(async {
            step.notified().await;
            step.notified().await;
            pending::<()>().await;
        });
        let ordering = async {
            for _ in 0..2 {
                yield_now().await;
                step.notify_one();
            }
            yield_now().await;
            drain.order();
        };
        let (told, ()) = tokio::join!(signal.unless_ordered(stepping.as_mut(), None), ordering);
        assert_eq!(told, Err(Leave::Ordered));
        // An order that was there before is seen, but work that is done is done.
        let told = signal.clone().unless_ordered(pin!(pending::<()>()), None).await;
        assert_eq!(told, Err(Leave::Ordered));
        assert_eq!(signal.unless_ordered(pin!(ready(2)), None).await, Ok(2));
    }

    #[tokio::test]
    async fn work_that_goes_on_after_the_order_is_told_first() {
        let (drain, mut signal) = Drain::new();
        let step = Notify::new();
        let mut work = pin!(step.notified());
        let both = async {
            yield_now().await;
            drain.order();
            step.notify_one();
        };
        let (told, ()) = tokio::join!(signal.unless_ordered(work.as_mut(), None), both);
        assert_eq!(told, Err(Leave::Ordered));
        work.await;
    }

    #[tokio::test]
    async fn nobody_left_to_order_is_an_order() {
        let (drain, mut signal) = Drain::new();
        let waiting = tokio::spawn(async move { signal.unless_ordered(pin!(pending::<()>()), None).await });
        yield_now().await;
        drop(drain);
        assert_eq!(waiting.await.unwrap(), Err(Leave::Ordered));
    }

    #[tokio::test]
    async fn work_leaves_when_its_term_is_over() {
        let (_drain, mut signal) = Drain::new();
        let (step, steps) = (Notify::new(), Cell::new(0));
        // It is polled again before that, by others than the term.
        let mut stepping = pin!(async {
            loop {
                step.notified().await;
                steps.set(steps.get() + 1);
            }
        });
        let mut term = pin!(sleep(Duration::from_millis(20)));
        let leaving = signal.unless_ordered(stepping.as_mut(), Some(term.as_mut()));
        let others = async {
            for _ in 0..3 {
                step.notify_one();
                yield_now().await;
            }
        };
        let (left, ()) = tokio::join!(leaving, others);
        assert_eq!((left, steps.get()), (Err::<(), _>(Leave::TermOver), 3));
    }

    #[tokio::test]
    async fn who_is_idle_stays_for_a_while_unless_it_must_not() {
        let long = Duration::from_secs(600);
        let (drain, mut signal) = Drain::new();
        assert!(timeout(Duration::from_millis(5), signal.left_for(Duration::ZERO)).await.is_err(), "no order yet");
        drain.order();
        assert!(signal.is_ordered());
        let begun = Instant::now();
        signal.left_for(Duration::from_millis(20)).await;
        assert!(begun.elapsed() >= Duration::from_millis(20));
        // The end of the one who orders is no order to go at once.
        let mut other = signal.clone();
        assert!(timeout(Duration::from_millis(5), other.left_for(long)).await.is_err());
        drain.order_at_once();
        signal.left_for(long).await;
        let (drain, mut signal) = Drain::new();
        drop(drain);
        assert!(timeout(Duration::from_millis(5), signal.left_for(long)).await.is_err());
        assert!(signal.is_ordered() || timeout(long, signal.ordered()).await.is_ok());
    }
}
