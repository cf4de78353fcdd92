//! Pauses that differ between replicas.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The pause after the first attempt that failed. It doubles up to [`LONGEST_RETRY`].
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The pause after many attempts that failed.
pub const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Nine tenths of the time up to the whole, by chance: replicas that started together do not ask together.
pub fn jittered(pause: Duration) -> Duration {
    // Each state is made anew of the system's randomness.
    let chance = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or(0);
    pause.saturating_sub(pause / 10_000 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_longer_and_hardly_shorter_than_it_was_said() {
        let pause = Duration::from_secs(300);
        let pauses: std::collections::BTreeSet<_> = (0..100).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|jittered| (Duration::from_secs(270)..=pause).contains(jittered)));
        assert!(pauses.len() > 1, "not always the same");
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
