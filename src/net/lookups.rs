//! How many names are looked up at one time: by all together, and for one client.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many names are looked up at one time: half of the threads that wait for such things. A lookup cannot be ended, and those
/// that nobody waits for any more would be in the way of all others.
const ALL: usize = 256;
/// So many of them for one client: names that nobody answers for leave the others room.
const EACH: usize = ALL / 4;

static PLACES: Semaphore = Semaphore::const_new(ALL);

/// The names that are looked up for one client, over all workers. Its clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct Lookups(Arc<AtomicUsize>);

/// The place of one lookup, until it is dropped.
#[derive(Debug)]
pub(super) struct Lookup {
    of: Lookups,
    _place: SemaphorePermit<'static>,
}

impl Lookups {
    /// Whether there are some at this moment.
    pub fn are_some(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// The place of one more, if neither it nor all together have as many already.
    pub(super) fn enter(&self) -> io::Result<Lookup> {
        let busy = |message| io::Error::new(io::ErrorKind::ResourceBusy, message);
        // Relaxed: the number stands for itself.
        let next = |count: usize| (count < EACH).then_some(count + 1);
        let entered = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        entered.map_err(|_| busy("too many names are being looked up for this sender"))?;
        let place = PLACES.try_acquire().map_err(|_| {
            self.leave();
            busy("too many names are being looked up")
        })?;
        Ok(Lookup { of: self.clone(), _place: place })
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.of.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_the_others_room() {
        let (one, other) = (Lookups::default(), Lookups::default());
        let mut taken: Vec<_> = (0..EACH).map(|_| one.enter().unwrap()).collect();
        assert!(one.clone().enter().is_err() && one.are_some());
        let beside = other.enter().unwrap();
        taken.pop();
        assert!(one.enter().is_ok());
        drop((taken, beside));
        assert!(!one.are_some() && !other.are_some());
        // All together have no more than there are.
        let many: Vec<_> = (0..ALL).map(|_| Lookups::default().enter().unwrap()).collect();
        let late = Lookups::default();
        assert!(late.enter().is_err() && !late.are_some());
        drop(many);
        assert!(late.enter().is_ok());
    }
}
