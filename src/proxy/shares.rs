//! How much of what all share one sender may have: one agent that runs away does not take everything.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use prometheus::IntGauge;

use crate::{
    access::{Entity, Principal},
    net::Lookups,
};

/// What everybody has who has something, counted over all workers.
#[derive(Debug, Default)]
pub struct Shares(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    senders: HashMap<Entity, Known>,
    // With more than so many, those that nobody counts for any more are forgotten.
    many: usize,
}

#[derive(Debug)]
struct Known {
    counts: Weak<Counts>,
    // They go on when nobody waits for them any more.
    lookups: Lookups,
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    tunnels: AtomicUsize,
    lookups: Lookups,
}

/// What one sender has: its requests in flight, its open tunnels, and the names that are looked up for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Share(Arc<Counts>);

/// The place of one request among those of its sender, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Counts>);

/// The place of one tunnel among those of its sender, until it is dropped.
#[derive(Debug)]
pub(super) struct TunnelPlace {
    of: Arc<Counts>,
    // Of all senders together.
    open: IntGauge,
}

impl Known {
    fn is_of_use(&self) -> bool {
        self.counts.strong_count() > 0 || self.lookups.are_some()
    }
}

impl Shares {
    /// What is counted for a chain: what its current actor has, or its subject if there is none.
    pub(super) fn of(&self, principal: &Principal) -> Share {
        let sender = principal.current_actor().unwrap_or(principal.subject());
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counted.senders.get(sender);
        if let Some(counts) = known.and_then(|known| known.counts.upgrade()) {
            return Share(counts);
        }
        let lookups = known.map(|known| known.lookups.clone()).unwrap_or_default();
        if counted.senders.len() >= counted.many {
            counted.senders.retain(|_, known| known.is_of_use());
            counted.many = counted.senders.len() * 2 + 64;
        }
        let share = Share(Arc::new(Counts { lookups: lookups.clone(), ..Counts::default() }));
        counted.senders.insert(sender.clone(), Known { counts: Arc::downgrade(&share.0), lookups });
        share
    }
}

impl Share {
    /// The place of one more request, if there are not so many already.
    pub(super) fn enter(&self, most: usize) -> Option<Place> {
        // Relaxed: the number stands for itself. The place gives back what was taken in any case.
        let before = self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.0));
        (before < most).then_some(place)
    }

    /// The place of one more tunnel, if there are not so many already.
    pub(super) fn enter_tunnel(&self, most: usize, open: &IntGauge) -> Option<TunnelPlace> {
        // The same.
        let before = self.0.tunnels.fetch_add(1, Ordering::Relaxed);
        open.inc();
        let place = TunnelPlace { of: Arc::clone(&self.0), open: open.clone() };
        (before < most).then_some(place)
    }

    /// Among which the names are that are looked up for it.
    pub(super) fn lookups(&self) -> Lookups {
        self.0.lookups.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        self.of.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ActorMode;

    fn chain(subject: &str, actors: &[&str]) -> Principal {
        let actors = actors.iter().map(|actor| actor.parse().unwrap()).collect();
        Principal::new(subject.parse().unwrap(), actors, None, ActorMode::All)
    }

    #[test]
    fn the_requests_of_one_sender_are_counted_together() {
        let shares = Shares::default();
        let (erin, frank) = (chain("user:erin", &["agent:reader"]), chain("user:frank", &["agent:reader"]));
        let first = shares.of(&erin).enter(2).unwrap();
        let second = shares.of(&frank).enter(2).unwrap();
        assert!(shares.of(&erin).enter(2).is_none(), "whoever it acts for");
        assert!(shares.of(&chain("user:erin", &[])).enter(2).is_some(), "its user is somebody else");
        drop(first);
        let third = shares.of(&erin).enter(2).unwrap();
        assert!(shares.of(&frank).enter(2).is_none());
        drop((second, third));
        assert!(shares.of(&frank).enter(1).is_some());
    }

    #[test]
    fn who_has_none_is_forgotten() {
        let shares = Shares::default();
        let kept = shares.of(&chain("user:kept", &[])).enter(1).unwrap();
        for number in 0..1000 {
            shares.of(&chain(&format!("user:u{number}"), &[])).enter(1).unwrap();
        }
        assert!(shares.0.lock().unwrap().senders.len() < 100);
        assert!(shares.of(&chain("user:kept", &[])).enter(1).is_none());
        drop(kept);
    }

    #[test]
    fn tunnels_are_counted_beside_requests() {
        let (shares, open) = (Shares::default(), IntGauge::new("open", "Open.").unwrap());
        let (erin, frank) = (chain("user:erin", &[]), chain("user:frank", &[]));
        let enter = |chain| shares.of(chain).enter_tunnel(1, &open);
        let tunnel = enter(&erin).unwrap();
        assert!(enter(&erin).is_none() && shares.of(&erin).enter(1).is_some());
        let other = enter(&frank).unwrap();
        assert_eq!(open.get(), 2);
        drop(tunnel);
        assert!(enter(&erin).is_some());
        drop(other);
        assert_eq!(open.get(), 0);
    }
}
