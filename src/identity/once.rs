//! What is good once: proofs and nonces that were seen.

use std::sync::{Mutex, PoisonError};

use crate::access::{Bounded, Timestamp};

/// Why something that is good once is not good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotFirst {
    /// It was seen before.
    Replayed,
    /// It could not be remembered, so that nobody could tell whether it comes twice.
    NoRoom,
}

/// What was seen not long ago, each good once. It outlives its authenticator.
#[derive(Debug, Default)]
pub(super) struct SeenOnce(Mutex<Bounded<[u8; 32], Timestamp>>);

impl SeenOnce {
    /// Remembers what has this digest until then; refuses what is remembered, or could not be.
    pub(super) fn first(&self, digest: [u8; 32], until: Timestamp, now: Timestamp) -> Result<(), NotFirst> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.get_mut(&digest).is_some() {
            return Err(NotFirst::Replayed);
        }
        let is_remembered = remembered.insert(digest, until, now, |until| now > *until);
        if is_remembered { Ok(()) } else { Err(NotFirst::NoRoom) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::digest::sha256, *};

    #[test]
    fn what_is_good_once_is_remembered_until_it_is_too_old() {
        let seen = SeenOnce::default();
        let at = Timestamp::from_seconds;
        let digest = |number: usize| sha256(&number.to_be_bytes());
        let most = Bounded::<[u8; 32], Timestamp>::MOST;
        for number in 0..most {
            assert_eq!(seen.first(digest(number), at(160), at(100)), Ok(()));
        }
        assert_eq!(seen.first(digest(most), at(160), at(160)), Err(NotFirst::NoRoom));
        assert_eq!(seen.first(digest(0), at(160), at(160)), Err(NotFirst::Replayed));
        assert_eq!(seen.first(digest(most), at(221), at(161)), Ok(()));
        assert_eq!(seen.first(digest(most), at(221), at(161)), Err(NotFirst::Replayed));
    }
}
