//! Names are looked up once for all who ask at one time, and only so many: by all together, and for one client.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::lookup_host,
    sync::{Semaphore, SemaphorePermit, watch},
    time::Instant,
};

/// So many names are looked up at one time: half of the threads that wait for such things. A lookup cannot be ended, and those
/// that nobody waits for any more would be in the way of all others.
const ALL: usize = 256;
/// So many of them for one client: names that nobody answers for leave the others room.
const EACH: usize = ALL / 4;

/// Who asks for a name that is looked up for longer has it looked up once more: a question may have been lost.
const JOINED: Duration = Duration::from_millis(500);

static PLACES: Semaphore = Semaphore::const_new(ALL);
/// The names that are looked up at this moment.
static LOOKING: Mutex<BTreeMap<String, Looking>> = Mutex::new(BTreeMap::new());

/// What came of a lookup, for all who waited for it.
type Found = Result<Arc<[IpAddr]>, (io::ErrorKind, Arc<str>)>;

#[derive(Debug, Clone)]
struct Looking {
    since: Instant,
    told: watch::Receiver<Option<Found>>,
}

/// The names that are looked up for one client, over all workers. Its clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct Lookups(Arc<AtomicUsize>);

/// The place of one lookup, until it is dropped.
#[derive(Debug)]
struct Lookup {
    of: Lookups,
    _place: SemaphorePermit<'static>,
}

impl Lookups {
    /// Whether there are some at this moment.
    pub fn are_some(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// The addresses of this name. Its place is taken until the lookup has ended, whoever still waits for it; those who ask
    /// for a name that is looked up already take none.
    pub(super) async fn addresses(&self, name: String) -> io::Result<Arc<[IpAddr]>> {
        let mut told = self.look_up(name)?;
        // One that ends without a word has failed.
        let ended = told.wait_for(Option::is_some).await.map_err(io::Error::other)?.clone();
        let found = ended.ok_or_else(|| io::Error::other("the lookup has failed"))?;
        found.map_err(|(kind, message)| io::Error::new(kind, message.to_string()))
    }

    fn look_up(&self, name: String) -> io::Result<watch::Receiver<Option<Found>>> {
        let (now, mut all) = (Instant::now(), LOOKING.lock().unwrap_or_else(PoisonError::into_inner));
        let is_young = |looking: &&Looking| now.saturating_duration_since(looking.since) < JOINED;
        let is_awaited = |looking: &&Looking| looking.told.has_changed().is_ok();
        if let Some(looking) = all.get(&name).filter(is_young).filter(is_awaited) {
            return Ok(looking.told.clone());
        }
        let place = self.enter()?;
        let (tell, told) = watch::channel(None);
        all.insert(name.clone(), Looking { since: now, told: told.clone() });
        let own = told.clone();
        tokio::spawn(async move {
            let found = lookup_host((name.as_str(), 0)).await;
            let found = found.map(|found| found.map(|address| address.ip()).collect());
            let mut all = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
            // Another one may have taken its place.
            if all.get(&name).is_some_and(|looking| looking.told.same_channel(&own)) {
                all.remove(&name);
            }
            drop((all, place));
            tell.send_replace(Some(found.map_err(|error| (error.kind(), error.to_string().into()))));
        });
        Ok(told)
    }

    /// The place of one more, if neither it nor all together have as many already.
    fn enter(&self) -> io::Result<Lookup> {
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
