//! All endpoints of one upstream: which there are, how they are, and how many requests may be on their way.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::watch;

use super::{
    client::ClientError,
    endpoint::{Ejection, Endpoint, EndpointState, Fault},
    health::HealthRules,
    lookups::Lookups,
    retries::{RetryBudget, RetryRules},
    target::{HttpVersion, Origin, Target, TargetUrl, Times},
    terms::{CONNECTION_AGE, Gone, Slots, Terms},
    tls::ClientTls,
};

/// Of the addresses of one name, no more are used.
const ADDRESSES: usize = 64;
/// So long a name keeps its addresses that cannot be resolved any more.
const KEPT: Duration = Duration::from_secs(3600);
/// At most so many endpoints are tried for one request until one takes it.
pub(super) const TRIED: usize = 3;

/// How an upstream is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointRules {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it is. None: every request says so itself.
    pub urls: Vec<Arc<TargetUrl>>,
    /// The roots for its certificate, if the URLs are `https`.
    pub tls: Option<ClientTls>,
    /// What is spoken there.
    pub version: HttpVersion,
    /// How long it may take: to connect, with all endpoints that are tried, and to answer, with all attempts.
    pub times: Times,
    /// How often names are resolved.
    pub refresh: Duration,
    /// How long a connection takes new requests.
    pub connection_age: Duration,
    /// How many requests may be on their way to it, over all workers.
    pub in_flight: Option<usize>,
    /// How many connections there may be to it, over all workers.
    pub connections: Option<usize>,
    /// When an endpoint that fails is left alone.
    pub ejection: Ejection,
    /// How endpoints are asked whether they are well, if they are.
    pub health: Option<HealthRules>,
    /// Which requests are sent again that the upstream may have seen. Without it none is.
    pub retries: Option<RetryRules>,
}

impl EndpointRules {
    /// An upstream of this name at these places, with the defaults of all else.
    pub fn new(name: &str, urls: Vec<Arc<TargetUrl>>, tls: Option<ClientTls>, times: Times) -> Self {
        Self {
            name: name.into(),
            urls,
            tls,
            version: HttpVersion::Http1,
            times,
            refresh: Duration::from_secs(10),
            connection_age: CONNECTION_AGE,
            in_flight: None,
            connections: None,
            ejection: Ejection::default(),
            health: None,
            retries: None,
        }
    }
}

/// The endpoints that there are now.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    // When each URL was last known to be somewhere.
    known_at: Vec<Option<Instant>>,
    /// Why there are none, or not those of some URL.
    problem: Option<Arc<str>>,
}

/// How often something happened.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) ejections: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) retries_over_budget: AtomicU64,
    pub(super) unresolved: AtomicU64,
}

/// The endpoints of one upstream. What is known of them is the same for all workers, and outlives reloads that leave the
/// upstream as it was.
#[derive(Debug)]
pub struct Endpoints {
    pub(super) rules: EndpointRules,
    // What a place is connected to by that no endpoint is made for.
    pub(super) terms: Terms,
    listed: ArcSwap<Listed>,
    // INVARIANT: the one of `listed`, if it is one address that never changes.
    pub(super) only: Option<Arc<Endpoint>>,
    resolved: watch::Sender<bool>,
    pub(super) retries: Option<RetryBudget>,
    in_flight: AtomicUsize,
    // Whoever ejects looks at all others.
    ejecting: Mutex<()>,
    pub(super) happened: Happened,
}

impl Endpoints {
    /// The endpoints by these rules. Names are resolved by [`look_after`](super::look_after) alone; until then nothing is
    /// known of them.
    pub fn new(rules: EndpointRules) -> Self {
        let slots = rules.connections.map(Slots::new);
        let sends_again = rules.retries.is_none();
        let terms = Terms { age: rules.connection_age, slots, gone: Gone::default(), sends_again };
        let retries = rules.retries.map(RetryBudget::new);
        let known_at = vec![None; rules.urls.len()];
        let mut endpoints = Self {
            rules,
            terms,
            only: None,
            listed: ArcSwap::from_pointee(Listed { known_at, ..Listed::default() }),
            resolved: watch::Sender::new(false),
            retries,
            in_flight: AtomicUsize::new(0),
            ejecting: Mutex::default(),
            happened: Happened::default(),
        };
        if endpoints.rules.urls.iter().all(|url| url.name().is_none()) {
            endpoints.learn(&[], Instant::now());
            let listed = endpoints.listed.load_full();
            endpoints.only = if let [only] = listed.endpoints.as_slice() { Some(Arc::clone(only)) } else { None };
        }
        endpoints
    }

    /// By which rules.
    pub fn rules(&self) -> &EndpointRules {
        &self.rules
    }

    /// The value of `Host` for this upstream: that of its first URL.
    pub fn authority(&self) -> Option<&HeaderValue> {
        self.rules.urls.first().map(|url| url.authority())
    }

    pub(super) fn list(&self) -> arc_swap::Guard<Arc<Listed>> {
        self.listed.load()
    }

    /// Waits until names were resolved once; why there is no endpoint all the same.
    pub(super) async fn until_known(&self) -> Result<(), ClientError> {
        let mut resolved = self.resolved.subscribe();
        if tokio::time::timeout(self.rules.times.connect, resolved.wait_for(|resolved| *resolved)).await.is_err() {
            return Err(ClientError::Unresolved("its name is not resolved in time".into()));
        }
        let listed = self.list();
        if !listed.endpoints.is_empty() {
            return Ok(());
        }
        Err(ClientError::Unresolved(listed.problem.clone().unwrap_or_else(|| "it has no addresses".into())))
    }

    /// Takes note of what the names among its URLs were resolved to, by the index of their URL. One that could not be
    /// resolved keeps its addresses of before, for an hour.
    pub(super) fn learn(&self, found: &[(usize, io::Result<Vec<SocketAddr>>)], now: Instant) {
        let before = self.listed.load_full();
        let (mut endpoints, mut known_at, mut problem) = (Vec::new(), before.known_at.clone(), None);
        let mut add = |url: Arc<TargetUrl>, index| {
            if !endpoints.iter().any(|added: &Arc<Endpoint>| added.target.origin.url == url) {
                let known = before.endpoints.iter().find(|known| known.target.origin.url == url);
                endpoints.push(known.cloned().unwrap_or_else(|| Arc::new(self.endpoint(url, index, now))));
            }
        };
        for (index, (url, known_at)) in self.rules.urls.iter().zip(&mut known_at).enumerate() {
            match found.iter().find(|(of, _)| *of == index).map(|(_, found)| found) {
                None => add(Arc::clone(url), index),
                Some(Ok(addresses)) => {
                    *known_at = Some(now);
                    addresses.iter().take(ADDRESSES).for_each(|address| add(Arc::new(url.at(*address)), index));
                }
                Some(Err(error)) => {
                    if known_at.is_some_and(|at| now.saturating_duration_since(at) <= KEPT) {
                        let kept = before.endpoints.iter().filter(|known| known.url == index);
                        kept.for_each(|known| add(Arc::clone(&known.target.origin.url), index));
                    }
                    problem = Some(format!("`{}` cannot be resolved: {error}", url.host).into());
                    self.happened.unresolved.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let listed = Listed { endpoints, known_at, problem };
        self.tell(&before, &listed);
        let gone = |old: &&Arc<Endpoint>| !listed.endpoints.iter().any(|new| Arc::ptr_eq(old, new));
        before.endpoints.iter().filter(gone).for_each(|old| old.retire());
        self.listed.store(Arc::new(listed));
        self.resolved.send_replace(true);
    }

    fn endpoint(&self, url: Arc<TargetUrl>, index: usize, now: Instant) -> Endpoint {
        let terms = Terms { gone: Gone::default(), ..self.terms.clone() };
        let Self { rules, .. } = self;
        let (tls, lookups) = (rules.tls.clone(), Lookups::default());
        let target = Target { origin: Origin { url, tls }, version: rules.version, times: rules.times, terms, lookups };
        Endpoint::new(target, index, now)
    }

    fn tell(&self, before: &Listed, after: &Listed) {
        let upstream = self.rules.name.as_ref();
        match (&before.problem, &after.problem) {
            (None, Some(problem)) => {
                let kept = after.endpoints.len();
                tracing::warn!(upstream, %problem, endpoints = kept, "an upstream's name cannot be resolved");
            }
            (Some(_), None) => tracing::info!(upstream, "an upstream's names are resolved again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let places =
            |listed: &Listed| listed.endpoints.iter().map(|one| one.target.origin.url.place()).collect::<Vec<_>>();
        let (old, new) = (places(before), places(after));
        let is_known = *self.resolved.borrow();
        if is_known && (old.len() != new.len() || old.iter().any(|place| !new.contains(place))) {
            tracing::info!(upstream, endpoints = %new.join(" "), "an upstream's endpoints have changed");
        }
    }

    /// Notes an answer of an endpoint.
    pub(super) fn answered(&self, endpoint: &Endpoint) {
        if endpoint.answered() {
            let (upstream, place) = (self.rules.name.as_ref(), endpoint.target.origin.url.place());
            tracing::info!(upstream, endpoint = %place, "an endpoint answers again");
        }
    }

    /// Notes a failure of an endpoint, which is ejected if it was one too many and enough others are left.
    pub(super) fn failed(&self, endpoint: &Endpoint, fault: Fault, now: Instant) {
        if !endpoint.failed(fault, &self.rules.ejection) {
            return;
        }
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = self.list();
        let out = listed.endpoints.iter().filter(|one| one.state() != EndpointState::Up).count();
        let most = listed.endpoints.len() * usize::from(self.rules.ejection.at_most) / 100;
        if endpoint.state() != EndpointState::Up || out >= most {
            return;
        }
        endpoint.eject(&self.rules.ejection, now);
        self.happened.ejections.fetch_add(1, Ordering::Relaxed);
        let (upstream, place) = (self.rules.name.as_ref(), endpoint.target.origin.url.place());
        tracing::warn!(upstream, endpoint = %place, "an endpoint fails and is left alone for a while");
    }

    /// Counts a request in, if there is room for it.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Option<Room>, ClientError> {
        let Some(limit) = self.rules.in_flight else { return Ok(None) };
        // Counted in first, so that together they are never more.
        let room = Room(Arc::clone(self));
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(Some(room));
        }
        drop(room);
        Err(ClientError::Saturated)
    }

    /// What can be said of it now.
    pub fn report(&self) -> Report {
        let listed = self.list();
        let of = |state| listed.endpoints.iter().filter(|endpoint| endpoint.state() == state).count();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            endpoints: EndpointState::ALL.iter().map(|state| (*state, of(*state))).collect(),
            ejections: count(&self.happened.ejections),
            retries: count(&self.happened.retries),
            retries_over_budget: count(&self.happened.retries_over_budget),
            unresolved: count(&self.happened.unresolved),
            in_flight: self.rules.in_flight.map(|_| self.in_flight.load(Ordering::Relaxed)),
        }
    }
}

/// The state of an upstream, and what has happened since it is known.
#[derive(Debug)]
pub struct Report {
    /// How many endpoints are in which state.
    pub endpoints: Vec<(EndpointState, usize)>,
    /// How often an endpoint was ejected.
    pub ejections: u64,
    /// How often a request was sent again.
    pub retries: u64,
    /// How often one was not, because too many were.
    pub retries_over_budget: u64,
    /// How often a name could not be resolved.
    pub unresolved: u64,
    /// How many requests are on their way, if that is bounded.
    pub in_flight: Option<usize>,
}

/// The room that one request takes until its answer has ended.
#[derive(Debug)]
pub(super) struct Room(Arc<Endpoints>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(urls: &[&str]) -> Endpoints {
        let times = Times { connect: Duration::from_secs(1), response: Duration::from_secs(1) };
        let urls = urls.iter().map(|url| Arc::new(url.parse().unwrap())).collect();
        Endpoints::new(EndpointRules::new("crm", urls, None, times))
    }

    fn places(endpoints: &Endpoints) -> Vec<String> {
        endpoints.list().endpoints.iter().map(|endpoint| endpoint.target.origin.url.place()).collect()
    }

    fn found(addresses: &[&str]) -> Vec<(usize, io::Result<Vec<SocketAddr>>)> {
        vec![(1, Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()))]
    }

    fn nothing() -> Vec<(usize, io::Result<Vec<SocketAddr>>)> {
        vec![(1, Err(io::Error::other("no resolver")))]
    }

    #[test]
    fn addresses_are_known_at_once_and_names_when_they_are_resolved() {
        let endpoints = endpoints(&["http://10.0.0.1:80", "http://crm.example:80"]);
        assert!(places(&endpoints).is_empty(), "all are waited for, so that no endpoint gets what is for all");
        let now = Instant::now();
        endpoints.learn(&found(&["10.0.0.2:80", "[fd00::2]:80"]), now);
        assert_eq!(places(&endpoints), ["http://10.0.0.1:80", "10.0.0.2:80", "[fd00::2]:80"]);
        let list = endpoints.list();
        // The host that is asked for, and verified, stays the name.
        assert_eq!(
            (list.endpoints[1].target.origin.url.host.as_ref(), list.endpoints[1].target.origin.url.port),
            ("crm.example", 80)
        );
        assert_eq!(list.endpoints[1].target.origin.url.authority(), "crm.example:80");
    }

    #[test]
    fn an_address_that_stays_keeps_what_is_known_of_it_and_one_that_goes_is_told() {
        let (endpoints, now) = (endpoints(&["http://10.0.0.1:80", "http://crm.example:80"]), Instant::now());
        endpoints.learn(&found(&["10.0.0.2:80", "10.0.0.3:80"]), now);
        let before = endpoints.list().endpoints.clone();
        endpoints.learn(&found(&["10.0.0.3:80", "10.0.0.4:80"]), now);
        assert_eq!(places(&endpoints), ["http://10.0.0.1:80", "10.0.0.3:80", "10.0.0.4:80"]);
        assert!(Arc::ptr_eq(&endpoints.list().endpoints[1], &before[2]));
        let gone: Vec<bool> = before.iter().map(|endpoint| endpoint.target.terms.gone.is_set()).collect();
        assert_eq!(gone, [false, true, false]);
    }

    #[test]
    fn a_name_that_cannot_be_resolved_keeps_its_addresses_for_an_hour() {
        let (endpoints, now) = (endpoints(&["http://10.0.0.1:80", "http://crm.example:80"]), Instant::now());
        endpoints.learn(&found(&["10.0.0.2:80"]), now);
        endpoints.learn(&nothing(), now + KEPT);
        assert_eq!(places(&endpoints).len(), 2);
        endpoints.learn(&nothing(), now + KEPT + Duration::from_secs(1));
        assert_eq!(places(&endpoints), ["http://10.0.0.1:80"]);
        assert_eq!(endpoints.report().unresolved, 2);
    }

    #[test]
    fn so_many_addresses_are_used_and_no_more() {
        let (endpoints, now) = (endpoints(&["http://10.0.0.1:80", "http://crm.example:80"]), Instant::now());
        let many: Vec<String> = (0..1000).map(|number| format!("10.1.{}.{}:80", number / 250, number % 250)).collect();
        endpoints.learn(&found(&many.iter().map(String::as_str).collect::<Vec<_>>()), now);
        assert_eq!(places(&endpoints).len(), 1 + ADDRESSES);
    }

    #[tokio::test]
    async fn what_is_nowhere_says_why() {
        let endpoints = endpoints(&["http://10.0.0.1:80", "http://crm.example:80"]);
        assert!(matches!(endpoints.until_known().await, Err(ClientError::Unresolved(_))), "not resolved in time");
        let name_only = super::tests::endpoints(&["http://crm.example:80"]);
        name_only.learn(&[(0, Err(io::Error::other("no such host")))], Instant::now());
        let problem = name_only.until_known().await.unwrap_err().to_string();
        assert_eq!(problem, "no address: `crm.example` cannot be resolved: no such host");
    }

    #[test]
    fn no_more_are_on_their_way_than_there_is_room_for() {
        let rules = EndpointRules { in_flight: Some(2), ..endpoints(&["http://10.0.0.1:80"]).rules.clone() };
        let endpoints = Arc::new(Endpoints::new(rules));
        let (one, other) = (endpoints.enter().unwrap(), endpoints.enter().unwrap());
        for _ in 0..10 {
            assert!(matches!(endpoints.enter(), Err(ClientError::Saturated)));
        }
        drop(one);
        drop((endpoints.enter().unwrap(), other));
        assert_eq!(endpoints.report().in_flight, Some(0));
    }
}
