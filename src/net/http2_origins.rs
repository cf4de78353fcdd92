//! What one worker knows of the places that it speaks HTTP/2 to, and for how long.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use foldhash::fast::RandomState;
use futures_util::future::WeakShared;
use tokio::time::Instant;

use super::{
    client::IDLE_TIME,
    http1_client::{IDLE_REQUESTED, SWEEP},
    http2_connection::{Multiplexed, Sender, Stream},
    target::{HttpVersion, Origin},
    terms::{Slots, Terms, WANTED},
};

/// For so long an upstream that chose HTTP/1.1 is not asked again.
const HTTP1_TIME: Duration = Duration::from_secs(300);

/// What is known apart: the same place may be spoken to in two ways.
pub(super) type Key = (Origin, HttpVersion);
/// Somebody who connects.
pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<(), Undialled>> + Send>>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) known: HashMap<Key, Known, RandomState>,
    /// Somebody closes those that are of no more use, and forgets what nobody asks for any more.
    pub(super) is_swept: bool,
}

/// What is known of an origin.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) connections: Vec<Shareable>,
    /// The one who connects, while somebody waits for it.
    pub(super) dialling: Option<WeakShared<Dialling>>,
    pub(super) http1_since: Option<Instant>,
}

/// A connection, and how long it is of use.
#[derive(Debug)]
pub(super) struct Shareable {
    pub(super) connection: Multiplexed,
    pub(super) used: Instant,
    pub(super) terms: Terms,
    /// It takes no requests after that.
    pub(super) until: Instant,
}

/// Why there is no connection, for all who waited for it.
#[derive(Debug, Clone)]
pub(super) enum Undialled {
    Slow,
    Saturated,
    Failed(io::ErrorKind, Arc<str>),
}

impl Origins {
    /// Closes those connections to hosts that clients choose that have rested longest, if more than this rest.
    pub(super) fn keep_at_most(&mut self, most: usize) {
        let requested = || self.known.iter().filter(|((origin, _), _)| origin.is_requested());
        let rested = requested().flat_map(|(_, known)| &known.connections).filter(|one| one.connection.is_idle());
        let mut rested: Vec<Instant> = rested.map(|one| one.used).collect();
        rested.sort_unstable();
        let surplus = rested.len().saturating_sub(most);
        let Some(last) = surplus.checked_sub(1).and_then(|last| rested.get(last)) else { return };
        for (_, known) in self.known.iter_mut().filter(|((origin, _), _)| origin.is_requested()) {
            known.connections.retain(|one| !one.connection.is_idle() || one.used > *last);
        }
    }

    /// Closes the connections that are of no more use, or in the way of others, and forgets what nobody asks for any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.known.retain(|_, known| {
            known.connections.retain(|one| one.is_kept(now) && !one.is_in_the_way());
            known.is_used() || known.speaks_http1(now)
        });
        self.keep_at_most(IDLE_REQUESTED);
    }
}

/// Sweeps until the client ends.
pub(super) async fn sweep(origins: Weak<Mutex<Origins>>) {
    loop {
        // Whoever is told too early or not at all is in time with the next round.
        let _ = tokio::time::timeout(SWEEP, WANTED.notified()).await;
        let Some(origins) = origins.upgrade() else { return };
        origins.lock().unwrap_or_else(PoisonError::into_inner).sweep(Instant::now());
    }
}

impl Known {
    /// A place on the oldest connection that has one: so those that are not needed any more empty.
    pub(super) fn stream(&mut self, now: Instant) -> Option<(Sender, Stream)> {
        self.connections.retain(|shareable| shareable.is_kept(now));
        self.connections.iter_mut().find_map(|shareable| {
            let stream = shareable.connection.stream()?;
            shareable.used = now;
            Some(stream)
        })
    }

    pub(super) fn speaks_http1(&self, now: Instant) -> bool {
        self.http1_since.is_some_and(|since| now.saturating_duration_since(since) < HTTP1_TIME)
    }

    fn is_used(&self) -> bool {
        !self.connections.is_empty() || self.dialling.as_ref().is_some_and(|dial| dial.upgrade().is_some())
    }
}

impl Shareable {
    /// Whether it takes more requests. Those that are on their way go on without it being kept.
    pub(super) fn is_kept(&self, now: Instant) -> bool {
        let is_old = self.connection.is_idle() && now.saturating_duration_since(self.used) > IDLE_TIME;
        !self.connection.is_closed() && !is_old && now < self.until && !self.terms.gone.is_set()
    }

    fn is_in_the_way(&self) -> bool {
        self.connection.is_idle() && self.terms.slots.as_ref().is_some_and(Slots::are_wanted)
    }
}
