//! Runs many random trials on all processors, and makes what differs small.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How many worlds are tried, and from which seed on. `PORTCULLIS_SEED` and `PORTCULLIS_WORLDS` choose otherwise.
pub(crate) struct Trials {
    begin: u64,
    end: u64,
}

/// What was compared, added up over all worlds.
pub(crate) trait Tally: Default + Send + std::fmt::Debug {
    fn add(&mut self, other: Self);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Trials {
    pub(crate) fn of(worlds: u64) -> Self {
        let begin = number("PORTCULLIS_SEED").unwrap_or(1);
        Self { begin, end: begin + number("PORTCULLIS_WORLDS").unwrap_or(worlds) }
    }

    /// Whether they are the worlds that every run of the suite tries, whose tally is known.
    pub(crate) fn are_chosen(&self) -> bool {
        number("PORTCULLIS_SEED").is_some() || number("PORTCULLIS_WORLDS").is_some()
    }

    /// Tries every seed. A trial that fails ends all of them.
    pub(crate) fn run<T: Tally>(&self, trial: impl Fn(u64, &mut T) + Sync) -> T {
        let next = AtomicU64::new(self.begin);
        let started = Instant::now();
        let work = |is_first: bool| {
            let mut tally = T::default();
            let mut told = Instant::now();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.end {
                    return tally;
                }
                let unfinished = Unfinished { next: &next, end: self.end };
                trial(seed, &mut tally);
                std::mem::forget(unfinished);
                if is_first && told.elapsed() > Duration::from_secs(10) {
                    told = Instant::now();
                    println!("{} of {} worlds, {:?}", seed - self.begin, self.end - self.begin, started.elapsed());
                }
            }
        };
        let tally = thread::scope(|scope| {
            let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
                .map(|worker| scope.spawn(move || work(worker == 0)))
                .collect();
            workers.into_iter().fold(T::default(), |mut all, worker| {
                all.add(worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
                all
            })
        });
        println!("{tally:?} by the seeds {} to {} in {:?}", self.begin, self.end - 1, started.elapsed());
        tally
    }
}

/// Lets no other trial begin if this one panics.
struct Unfinished<'a> {
    next: &'a AtomicU64,
    end: u64,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.next.store(self.end, Ordering::Relaxed);
    }
}

/// The smallest world that still differs and is found by taking one thing away after the other.
pub(crate) fn minimised<W>(mut world: W, smaller: impl Fn(&W) -> Vec<W>, differs: impl Fn(&W) -> bool) -> W {
    while let Some(next) = smaller(&world).into_iter().find(&differs) {
        world = next;
    }
    world
}
