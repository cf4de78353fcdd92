//! How many of the requests in flight one sender may have: one agent that runs away does not take them all.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::access::{Entity, Principal};

/// The requests in flight of everybody who has some, counted over all workers.
#[derive(Debug, Default)]
pub struct Shares(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    senders: HashMap<Entity, Weak<AtomicUsize>>,
    // With more than so many, those that nobody counts for any more are forgotten.
    many: usize,
}

/// The requests in flight of one sender.
#[derive(Debug, Clone, Default)]
pub(super) struct Share(Arc<AtomicUsize>);

/// The place of one request among those of its sender, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Shares {
    /// What is counted for a chain: the requests of its current actor, or of its subject if there is none.
    pub(super) fn of(&self, principal: &Principal) -> Share {
        let sender = principal.current_actor().unwrap_or(principal.subject());
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counted.senders.get(sender).and_then(Weak::upgrade) {
            return Share(count);
        }
        if counted.senders.len() >= counted.many {
            counted.senders.retain(|_, count| count.strong_count() > 0);
            counted.many = counted.senders.len() * 2 + 64;
        }
        let share = Share::default();
        counted.senders.insert(sender.clone(), Arc::downgrade(&share.0));
        share
    }
}

impl Share {
    /// The place of one more request, if there are not so many already.
    pub(super) fn enter(&self, most: usize) -> Option<Place> {
        // Relaxed: the number stands for itself. The place gives back what was taken in any case.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.0));
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
}
