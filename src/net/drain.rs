//! Shutdown in order: new work stops, work in flight ends, then the deadline.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// The side that orders the drain and waits for it.
#[derive(Debug)]
pub struct Drain {
    order: watch::Sender<bool>,
    alive: mpsc::Receiver<()>,
}

/// The side of those who work: it tells when to stop, and holds the drain open while it lives.
#[derive(Debug, Clone)]
pub struct DrainSignal {
    ordered: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    /// A drain that is not yet ordered, and its signal.
    pub fn new() -> (Self, DrainSignal) {
        let (order, ordered) = watch::channel(false);
        let (holder, alive) = mpsc::channel(1);
        (Self { order, alive }, DrainSignal { ordered, _alive: holder })
    }

    /// Orders everybody to stop.
    pub fn order(&self) {
        self.order.send_replace(true);
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
        let _ = self.ordered.wait_for(|ordered| *ordered).await;
    }

    /// Whether the drain has been ordered.
    pub fn is_ordered(&self) -> bool {
        *self.ordered.borrow()
    }
}
