//! What is remembered for a time, in bounded memory.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, time::Duration};

use foldhash::fast::RandomState;

use super::timestamp::Timestamp;

/// How many entries are remembered at one time.
const MOST: usize = 100_000;

/// How often those whose time is over are looked for, once there is no room.
const PAUSE: Duration = Duration::from_secs(1);

/// Entries that count for a time. One that still counts is never forgotten to make room for another: nobody gains by
/// making many.
#[derive(Debug)]
pub struct Bounded<K, V> {
    // INVARIANT: never more than `MOST`.
    entries: HashMap<K, V, RandomState>,
    looked: Option<Timestamp>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::default(), looked: None }
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// The most entries that are remembered at one time.
    pub const MOST: usize = MOST;

    /// What is remembered of the key.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    /// Whether there is no room for one more, unless something is over.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    /// Remembers one more, if there is room for it now that what `is_over` is forgotten. False, and nothing is
    /// remembered, if there is none.
    pub fn insert(&mut self, key: K, value: V, now: Timestamp, is_over: impl Fn(&V) -> bool) -> bool {
        self.insert_within(MOST, key, value, now, is_over)
    }

    /// The same with room for `share` entries, if that is less.
    pub fn insert_within(
        &mut self,
        share: usize,
        key: K,
        value: V,
        now: Timestamp,
        is_over: impl Fn(&V) -> bool,
    ) -> bool {
        let most = share.min(MOST);
        let may_look = self.looked.is_none_or(|looked| now < looked || now.since(looked) >= PAUSE);
        if self.entries.len() >= most && may_look {
            self.entries.retain(|_, value| !is_over(value));
            self.looked = Some(now);
        }
        let has_room = self.entries.len() < most;
        if has_room {
            self.entries.insert(key, value);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_not_forgotten_to_make_room() {
        let mut bounded = Bounded::default();
        let mut insert = |key: usize, until: i64, now: i64| {
            let now = Timestamp::from_seconds(now);
            bounded.insert(key, Timestamp::from_seconds(until), now, |until| *until < now)
        };
        assert!((0..MOST).all(|key| insert(key, if key == 7 { 500 } else { 160 }, 100)));
        assert!(!insert(MOST, 200, 160));
        assert!(!insert(MOST, 200, 160), "it is not looked for room each time");
        assert!(insert(MOST, 200, 161));
        assert!(bounded.get_mut(&7).is_some() && bounded.get_mut(&8).is_none());
        assert_eq!(bounded.entries.len(), 2);
    }
}
