//! How often credentials were refused of late: on one connection, and from one source.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::access::{Bounded, Timestamp};

/// So many refused credentials within a second are the last ones of a connection.
const MOST_ON_CONNECTION: u32 = 10;
const CONNECTION_WITHIN: Duration = Duration::from_secs(1);

/// So many refused API keys within ten seconds are the last ones of a source, for the rest of that time.
const MOST_OF_SOURCE: u32 = 30;
const SOURCE_WITHIN: Duration = Duration::from_secs(10);

/// Refusals since a moment.
#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    refused: u32,
}

impl Count {
    /// One more at this time. A clock that goes backwards forgets nothing.
    fn add(count: Option<Self>, now: Timestamp, within: Duration) -> Self {
        match count.filter(|count| !count.is_over(now, within)) {
            Some(count) => Self { refused: count.refused.saturating_add(1), ..count },
            None => Self { since: now, refused: 1 },
        }
    }

    fn is_over(self, now: Timestamp, within: Duration) -> bool {
        now.since(self.since) >= within
    }
}

/// Where a connection comes from, as far as somebody who may choose addresses cannot change it at will: an IPv4
/// address, or the first half of an IPv6 address (RFC 4291, section 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ConnectionSource(Option<IpAddr>);

impl ConnectionSource {
    /// The source of a connection from this address; of all connections over sockets of this machine without one.
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        let half = !u128::from(u64::MAX);
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() & half).into(),
        }))
    }
}

/// The API keys that were refused of late, by source, in bounded memory. It outlives every authenticator.
#[derive(Debug, Default)]
pub struct RefusedKeys {
    // Whether there was ever one, so that nobody waits for the lock as long as there was none.
    any: AtomicBool,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sources: Bounded<ConnectionSource, Count>,
    // Of all sources together that there is no room for.
    others: Option<Count>,
}

impl RefusedKeys {
    /// Whether the source may show a key.
    fn allows(&self, source: ConnectionSource, now: Timestamp) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return true;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.sources.get_mut(&source).copied();
        let count = count.or(counts.others.filter(|_| counts.sources.is_full()));
        count.is_none_or(|count| count.is_over(now, SOURCE_WITHIN) || count.refused < MOST_OF_SOURCE)
    }

    fn refuse(&self, source: ConnectionSource, now: Timestamp) {
        self.any.store(true, Ordering::Relaxed);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.sources.get_mut(&source) {
            *count = Count::add(Some(*count), now, SOURCE_WITHIN);
            return;
        }
        let first = Count::add(None, now, SOURCE_WITHIN);
        if !counts.sources.insert(source, first, now, |count| count.is_over(now, SOURCE_WITHIN)) {
            counts.others = Some(Count::add(counts.others, now, SOURCE_WITHIN));
        }
    }
}

/// What was refused on one connection.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: Mutex<Option<Count>>,
    over: AtomicBool,
    // Who came with a good key once is not somebody who guesses.
    good_key: AtomicBool,
    source: Option<(Arc<RefusedKeys>, ConnectionSource)>,
}

impl Refusals {
    pub(super) fn from(source: ConnectionSource, keys: &Arc<RefusedKeys>) -> Self {
        Self { source: Some((Arc::clone(keys), source)), ..Self::default() }
    }

    /// Whether so much was refused that nothing more is looked at.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A credential was refused.
    pub(super) fn refuse(&self, now: Timestamp) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let more = Count::add(*count, now, CONNECTION_WITHIN);
        *count = Some(more);
        if more.refused >= MOST_ON_CONNECTION {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// Whether an API key is looked at.
    pub(super) fn allows_key(&self, now: Timestamp) -> bool {
        self.good_key.load(Ordering::Relaxed)
            || self.source.as_ref().is_none_or(|(keys, source)| keys.allows(*source, now))
    }

    pub(super) fn accept_key(&self) {
        self.good_key.store(true, Ordering::Relaxed);
    }

    pub(super) fn refuse_key(&self, now: Timestamp) {
        if let Some((keys, source)) = &self.source {
            keys.refuse(*source, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_900_000_000).plus(Duration::from_millis(milliseconds))
    }

    fn source(text: &str) -> ConnectionSource {
        ConnectionSource::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn ten_refusals_within_a_second_are_the_last_of_a_connection() {
        let refused = |times: &[u64]| {
            let refusals = Refusals::default();
            times.iter().for_each(|time| refusals.refuse(at(*time)));
            refusals.is_over()
        };
        assert!(!refused(&[0; 9]) && refused(&[0; 10]));
        assert!(refused(&[0, 100, 200, 300, 400, 500, 600, 700, 800, 999]));
        assert!(!refused(&[0, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000, 2200]));
        assert!(refused(&[5000, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "a clock that goes backwards forgets nothing");
    }

    #[test]
    fn a_source_that_guesses_keys_is_not_heard_for_a_while() {
        let keys = Arc::new(RefusedKeys::default());
        let guessing = || Refusals::from(source("192.0.2.7"), &keys);
        for count in 0..MOST_OF_SOURCE {
            assert!(guessing().allows_key(at(u64::from(count))), "{count}");
            guessing().refuse_key(at(u64::from(count)));
        }
        assert!(!guessing().allows_key(at(30)) && !guessing().allows_key(at(9_999)));
        assert!(Refusals::from(source("192.0.2.8"), &keys).allows_key(at(30)), "another one is");
        assert!(guessing().allows_key(at(10_000)));
        let known = guessing();
        known.accept_key();
        assert!(known.allows_key(at(30)), "so is a connection that had a good key");
    }

    #[test]
    fn a_source_is_an_address_or_a_network_of_one() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("192.0.2.7"), source("192.0.2.8"));
        assert_eq!(source("192.0.2.7"), source("::ffff:192.0.2.7"));
        assert_ne!(ConnectionSource::of(None), source("0.0.0.0"));
    }

    #[test]
    fn sources_beyond_the_room_are_counted_together() {
        let keys = Arc::new(RefusedKeys::default());
        let most = u32::try_from(Bounded::<ConnectionSource, Count>::MOST).unwrap();
        let number = |number: u32| ConnectionSource::of(Some(IpAddr::V4(number.into())));
        (0..most).for_each(|one| keys.refuse(number(one), at(0)));
        for count in 0..MOST_OF_SOURCE {
            assert!(keys.allows(number(most + count), at(1)), "{count}");
            keys.refuse(number(most + count), at(1));
        }
        assert!(!keys.allows(number(most + 1_000_000), at(2)), "nobody gains by coming from many");
        assert!(keys.allows(number(7), at(2)), "who is remembered is counted alone");
        assert!(keys.allows(number(most + 1_000_000), at(10_001)));
    }
}
