//! How many bytes may still pass, shared by all that count together.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use thiserror::Error;

/// No more bytes may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no more bytes may pass")]
pub struct Spent;

/// What one exchange may still pass of bytes that it shares with others. Its clones are of the same exchange.
#[derive(Debug, Clone)]
pub struct Allowance {
    // By all that share them.
    spent: Arc<AtomicU64>,
    most: u64,
    // Whether something of this exchange did not pass.
    cut: Arc<AtomicBool>,
}

impl Allowance {
    /// The allowance of one exchange: together with all that share `spent`, at most so many bytes.
    pub fn new(spent: Arc<AtomicU64>, most: u64) -> Self {
        Self { spent, most, cut: Arc::default() }
    }

    /// Spends so many bytes that are to pass now. If there are not so many left, none may pass, and what was left counts
    /// as spent: who was cut once begins nothing new.
    pub fn spend(&self, bytes: usize) -> Result<(), Spent> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = |spent: u64| spent.checked_add(bytes).filter(|after| *after <= self.most);
        // Relaxed: the number stands for itself, and is changed in one step.
        let next = |spent: u64| Some(fits(spent).unwrap_or(self.most.max(spent)));
        let before = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if before.is_ok_and(|spent| fits(spent).is_some()) {
            return Ok(());
        }
        self.cut.store(true, Ordering::Relaxed);
        Err(Spent)
    }

    /// Gives back so many bytes that were spent and will not pass.
    pub fn give_back(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let _ =
            self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| Some(spent.saturating_sub(bytes)));
    }

    /// Whether so many bytes could pass now. If not, nothing is spent.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.spent.load(Ordering::Relaxed).checked_add(bytes).is_some_and(|after| after <= self.most)
    }

    /// Whether something of this exchange did not pass.
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn so_many_bytes_pass_and_no_more() {
        let spent = Arc::default();
        let one = Allowance::new(Arc::clone(&spent), 10);
        assert_eq!((one.spend(4), one.spend(6), one.spend(0)), (Ok(()), Ok(()), Ok(())));
        assert!(!one.was_cut() && one.has_room_for(0) && !one.has_room_for(1));
        let other = Allowance::new(Arc::clone(&spent), 10);
        assert_eq!(other.spend(1), Err(Spent));
        assert!(other.clone().was_cut() && !one.was_cut(), "each exchange knows of itself");
        // A new configuration counts what was spent before.
        assert_eq!((Allowance::new(Arc::clone(&spent), 12).spend(2), one.spend(1)), (Ok(()), Err(Spent)));
        assert_eq!(spent.load(Ordering::Relaxed), 12, "what was spent by a wider one is not given back");
        one.give_back(5);
        assert_eq!((one.spend(3), one.spend(1)), (Ok(()), Err(Spent)));
        assert_eq!(Allowance::new(spent, u64::MAX).spend(usize::MAX), Err(Spent), "it does not come round");
    }

    #[test]
    fn what_is_left_when_somebody_is_cut_counts_as_spent() {
        let one = Allowance::new(Arc::default(), 10);
        assert_eq!((one.spend(8), one.spend(3), one.spend(1)), (Ok(()), Err(Spent), Err(Spent)));
    }

    #[test]
    fn many_at_one_time_pass_no_more_than_one() {
        let spent = Arc::<AtomicU64>::default();
        let passed: usize = thread::scope(|scope| {
            let one = |_| {
                let allowance = Allowance::new(Arc::clone(&spent), 100_000);
                scope.spawn(move || (0..10_000).filter(|_| allowance.spend(7).is_ok()).count() * 7)
            };
            let threads: Vec<_> = (0..8).map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 99_995);
    }
}
