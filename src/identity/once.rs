//! What is good once: proofs and nonces that were seen.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;

use crate::access::{Entity, Timestamp};

/// How many are remembered at one time.
const MOST: usize = 100_000;

/// How often those whose time is over are looked for, once there is no room.
const PAUSE: Duration = Duration::from_secs(1);

/// Why something that is good once is not good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotFirst {
    /// It was seen before.
    Replayed,
    /// It could not be remembered, so that nobody could tell whether it comes twice.
    NoRoom,
}

/// What was seen not long ago, each good once, in bounded memory. Half of it is kept for senders who have not had their
/// shares; whoever needs more takes of the other half, so that nobody leaves others without room. What may still be good
/// is never forgotten to make some. It outlives its authenticator.
#[derive(Debug, Default)]
pub(super) struct SeenOnce(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    // Until when, and whose. INVARIANT: never more than `MOST`.
    digests: HashMap<[u8; 32], (Timestamp, Entity), RandomState>,
    // INVARIANT: how many of the digests are each sender's.
    counts: HashMap<Entity, usize, RandomState>,
    looked: Option<Timestamp>,
}

impl SeenOnce {
    /// The share of each sender, of so many.
    pub(super) const fn share_of(senders: usize) -> usize {
        if senders > 1 { MOST / 2 / senders } else { MOST }
    }

    /// Remembers what has this digest until then, if there is room for its sender, who has this share; refuses what is
    /// remembered, whoever sent it, or could not be.
    pub(super) fn first(
        &self,
        digest: [u8; 32],
        (sender, share): (&Entity, usize),
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), NotFirst> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.digests.contains_key(&digest) {
            return Err(NotFirst::Replayed);
        }
        if !seen.has_room(sender, share) {
            seen.forget(now);
        }
        if !seen.has_room(sender, share) {
            return Err(NotFirst::NoRoom);
        }
        seen.digests.insert(digest, (until, sender.clone()));
        *seen.counts.entry(sender.clone()).or_default() += 1;
        Ok(())
    }
}

impl Seen {
    fn has_room(&self, sender: &Entity, share: usize) -> bool {
        let has_share = self.counts.get(sender).is_none_or(|count| *count < share);
        self.digests.len() < if has_share { MOST } else { MOST / 2 }
    }

    /// Forgets what is over, but not each time that somebody has no room.
    fn forget(&mut self, now: Timestamp) {
        if self.looked.is_some_and(|looked| now >= looked && now.since(looked) < PAUSE) {
            return;
        }
        self.looked = Some(now);
        self.digests.retain(|_, (until, _)| now <= *until);
        self.counts.clear();
        for (_, sender) in self.digests.values() {
            *self.counts.entry(sender.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::digest::sha256, *};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn digest(number: usize) -> [u8; 32] {
        sha256(&number.to_be_bytes())
    }

    #[test]
    fn what_is_good_once_is_remembered_until_it_is_too_old() {
        let (seen, sender) = (SeenOnce::default(), "agent:reader".parse().unwrap());
        let first =
            |number: usize, until: i64, now: i64| seen.first(digest(number), (&sender, MOST), at(until), at(now));
        for number in 0..MOST {
            assert_eq!(first(number, 160, 100), Ok(()));
        }
        assert_eq!(first(MOST, 160, 160), Err(NotFirst::NoRoom));
        assert_eq!(first(0, 160, 160), Err(NotFirst::Replayed));
        assert_eq!(first(MOST, 221, 161), Ok(()));
        assert_eq!(first(MOST, 221, 161), Err(NotFirst::Replayed));
    }

    #[test]
    fn a_sender_has_a_share_and_takes_no_others() {
        let seen = SeenOnce::default();
        let first = |sender: &str, number: usize, now: i64| {
            seen.first(digest(number), (&sender.parse().unwrap(), 10), at(160), at(now))
        };
        assert!((0..MOST / 2).all(|number| first("agent:a", number, 100).is_ok()), "half of it is anybody's");
        assert_eq!(first("agent:a", MOST, 100), Err(NotFirst::NoRoom));
        assert!((MOST..MOST + 10).all(|number| first("agent:b", number, 100).is_ok()), "each has a share of the other");
        assert_eq!(first("agent:b", MOST + 10, 100), Err(NotFirst::NoRoom));
        assert_eq!(first("agent:b", 0, 100), Err(NotFirst::Replayed), "whoever sent it");
        // Looking for what is over loses count of nothing.
        assert_eq!(first("agent:b", MOST + 10, 150), Err(NotFirst::NoRoom));
        assert_eq!(first("agent:c", MOST + 10, 150), Ok(()));
        assert_eq!(first("agent:a", MOST + 11, 161), Ok(()));
        assert_eq!(seen.0.lock().unwrap().counts.len(), 1);
    }

    #[test]
    fn shares_together_are_never_more_than_their_half() {
        for senders in [0, 1, 2, 3, 1000, MOST] {
            assert!(SeenOnce::share_of(senders) * senders <= if senders > 1 { MOST / 2 } else { MOST }, "{senders}");
        }
    }
}
