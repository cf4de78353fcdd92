//! A request on its way to an upstream: to which endpoint, and whether it is tried again.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::{OutboundBody, Progress, UpstreamBody},
    choice::choose,
    client::{Client, ClientError, Failed, Fate},
    endpoint::{Answers, Endpoint, EndpointState, Fault},
    endpoints::{Endpoints, Room, TRIED},
    race::race,
    retries::copy,
    switched::Alone,
    target::{Destination, HttpVersion, Origin, Target, Times},
};

type Outbound = Box<Request<OutboundBody>>;
type Answered = Result<Response<UpstreamBody>, ClientError>;

/// What a request takes up at its upstream until its answer has ended: a place among all requests, and one at its endpoint.
#[derive(Debug)]
pub struct Place {
    _room: Option<Room>,
    endpoint: Option<Arc<Endpoint>>,
    // Of a connection that no other request gets.
    _slot: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// In a box, because it moves through many hands; none if nothing is counted.
    fn take(room: Option<Room>, endpoint: Option<Arc<Endpoint>>) -> Option<Box<Self>> {
        if let Some(endpoint) = &endpoint {
            endpoint.enter();
        }
        (room.is_some() || endpoint.is_some()).then(|| Box::new(Self { _room: room, endpoint, _slot: None }))
    }

    /// Goes to another endpoint.
    fn move_to(&mut self, endpoint: &Arc<Endpoint>) {
        if let Some(left) = self.endpoint.replace(Arc::clone(endpoint)) {
            left.leave();
        }
        endpoint.enter();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.leave();
        }
    }
}

/// A request that may have to be tried again.
#[derive(Debug)]
struct Trying {
    begun: Instant,
    // To whom it was sent last.
    last: Arc<Endpoint>,
    // Who was connected to, or sent to.
    tried: Vec<Arc<Endpoint>>,
    // How often it was sent, and how often that could not be for want of a connection.
    sent: u32,
    // What would be sent again, if it may be.
    copy: Option<Outbound>,
}

impl Endpoints {
    /// Sends the request to one of the endpoints, now, and waits for the head of the answer.
    ///
    /// Where there is no connection to the one that is chosen, connections to it and to others race, and the first one is
    /// used (RFC 8305, section 5). A request of which not one byte was sent goes to another endpoint if there is one. One
    /// that the upstream may have seen is sent again by [`RetryRules`](super::RetryRules), if the connection broke
    /// before one byte of an answer came, and never if its method is not idempotent, its body is not here whole, or the
    /// gate of that does not let it pass.
    pub async fn send(self: &Arc<Self>, client: &Client, mut request: Outbound, now: Instant) -> Answered {
        let room = self.enter()?;
        let mut chosen = self.first(now);
        if chosen.is_none() {
            Box::pin(self.until_known()).await?;
            chosen = self.first(now);
        }
        let (endpoint, times, of_several) = chosen.ok_or_else(|| ClientError::Unresolved("no endpoint".into()))?;
        let mut place = Place::take(room, of_several.then(|| Arc::clone(endpoint.as_ref())));
        let copy = self.retries.as_ref().and_then(|budget| budget.note(&mut request));
        let (mut endpoint, mut tried, mut begun) = (endpoint, Vec::new(), now);
        if of_several && !client.is_connected(&endpoint.target, now) {
            // Rare and large: in a box of its own, so that it does not make every request's future larger.
            let progress = request.body().progress();
            let chosen = (endpoint.into_owned(), &mut tried);
            let connecting = self.connected(client, chosen, &progress, self.rules.times.connect);
            (endpoint, begun) = (Cow::Owned(Box::pin(connecting).await?), Instant::now());
            if let Some(place) = place.as_mut() {
                place.move_to(&endpoint);
            }
        } else {
            request.body().attempted();
        }
        match client.try_send(&endpoint.target, times, request, begun).await {
            Ok(mut response) => {
                self.note(&endpoint, &mut response, place);
                Ok(response)
            }
            // The same.
            Err(failed) => {
                let trying = Trying { begun: now, last: endpoint.into_owned(), tried, sent: 0, copy };
                Box::pin(self.try_others(client, trying, failed, place)).await
            }
        }
    }

    /// Sends the request to this place, whatever the endpoints are.
    pub async fn send_to(
        self: &Arc<Self>,
        to: Destination,
        client: &Client,
        request: Outbound,
        now: Instant,
    ) -> Answered {
        let place = Place::take(self.enter()?, None);
        let target = self.target_at(to);
        request.body().attempted();
        let mut response = client.send(&target, request, now).await?;
        if let Some(place) = place {
            response.body_mut().take_up(place);
        }
        Ok(response)
    }

    /// Sends a request that asks for another protocol, on a connection of its own to this place, or else to one of the
    /// endpoints. What it takes up there is released with what is returned beside the answer.
    pub async fn switch(
        self: &Arc<Self>,
        to: Option<Destination>,
        request: Outbound,
    ) -> Result<(Response<UpstreamBody>, Box<Place>), ClientError> {
        let (room, progress) = (self.enter()?, request.body().progress());
        let (endpoint, mut connection) = match to {
            Some(to) => {
                progress.attempted();
                (None, Alone::connect(&self.target_at(to), self.rules.times.connect).await?)
            }
            None => {
                if self.list().endpoints.is_empty() {
                    self.until_known().await?;
                }
                let first = self.first(Instant::now());
                let (chosen, _, _) = first.ok_or_else(|| ClientError::Unresolved("no endpoint".into()))?;
                let connect =
                    |endpoint: Arc<Endpoint>, limit| async move { Alone::connect(&endpoint.target, limit).await };
                let (mut tried, limit) = (Vec::new(), self.rules.times.connect);
                let chosen = (chosen.into_owned(), &mut tried);
                let (endpoint, connection) = self.race(chosen, &progress, limit, connect).await?;
                (Some(endpoint), connection)
            }
        };
        if let Some(endpoint) = &endpoint {
            endpoint.enter();
        }
        let place = Place { _room: room, endpoint: endpoint.clone(), _slot: connection.slot.take() };
        let answered = connection.send(request, self.rules.times.response).await;
        match (answered, endpoint) {
            (Ok(response), endpoint) => {
                if let Some(endpoint) = endpoint {
                    self.answered(&endpoint);
                }
                Ok((response, Box::new(place)))
            }
            (Err(error), endpoint) => {
                if let (Some(endpoint), Some(fault)) = (endpoint, fault(&error)) {
                    self.failed(&endpoint, fault, Instant::now());
                }
                Err(error)
            }
        }
    }

    /// The first of the endpoints to which there is a connection: the next request finds it there.
    async fn connected(
        &self,
        client: &Client,
        trying: (Arc<Endpoint>, &mut Vec<Arc<Endpoint>>),
        progress: &Progress,
        limit: Duration,
    ) -> Result<Arc<Endpoint>, ClientError> {
        let connect = |endpoint: Arc<Endpoint>, limit| async move { client.connect(&endpoint.target, limit).await };
        self.race(trying, progress, limit, connect).await.map(|(endpoint, ())| endpoint)
    }

    /// Connects to the chosen endpoint; to another one too if that fails or takes long, within one time for all. One that
    /// has begun earlier and is overtaken counts as one that cannot be connected to.
    async fn race<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        (chosen, tried): (Arc<Endpoint>, &mut Vec<Arc<Endpoint>>),
        progress: &Progress,
        limit: Duration,
        connect: impl Fn(Arc<Endpoint>, Duration) -> F,
    ) -> Result<(Arc<Endpoint>, T), ClientError> {
        let (deadline, mut chosen) = (Instant::now() + limit, Some(chosen));
        let next = || {
            let now = Instant::now();
            let endpoint = chosen.take().or_else(|| self.another(tried, now).filter(|_| now < deadline))?;
            progress.begin_again();
            progress.attempted();
            tried.push(Arc::clone(&endpoint));
            Some(endpoint)
        };
        // Where connections are bounded one that leads nowhere may be in the way of the next.
        let several = self.list().endpoints.len();
        let each = if self.terms.slots.is_some() { shared(self.rules.times, several).connect } else { limit };
        let connect = |endpoint| connect(endpoint, each.min(deadline.saturating_duration_since(Instant::now())));
        let failed = |endpoint: &Arc<Endpoint>, error: &ClientError| {
            if let Some(fault) = fault(error) {
                self.failed(endpoint, fault, Instant::now());
            }
        };
        let ended = race(next, connect, failed).await;
        let won = ended.unwrap_or_else(|| Err(ClientError::Unresolved("no endpoint".into())))?;
        won.overtaken.iter().for_each(|endpoint| self.failed(endpoint, Fault::Connection, Instant::now()));
        Ok((won.winner, won.made))
    }

    /// Whom to connect to beside those that were tried: somebody of the other family first, if that is in service. One
    /// family as a whole may lead nowhere (RFC 8305, section 4).
    fn another(&self, tried: &[Arc<Endpoint>], now: Instant) -> Option<Arc<Endpoint>> {
        if tried.len() >= TRIED {
            return None;
        }
        let (listed, ejection) = (self.list(), &self.rules.ejection);
        let last = tried.last().and_then(|endpoint| endpoint.target.origin.url.is_ipv4());
        let is_other = |endpoint: &&Arc<Endpoint>| {
            endpoint.target.origin.url.is_ipv4() != last && endpoint.state() == EndpointState::Up
        };
        let others: Vec<_> = listed.endpoints.iter().filter(is_other).cloned().collect();
        choose(&others, tried, ejection, now).or_else(|| choose(&listed.endpoints, tried, ejection, now))
    }

    /// A place that is none of its endpoints.
    fn target_at(&self, to: Destination) -> Target {
        let Destination { url, lookups } = to;
        let (tls, version) = match (url.is_tls(), self.rules.version) {
            (true, version) => (self.rules.tls.clone(), version),
            // In the clear nobody can be asked what he speaks.
            (false, HttpVersion::Negotiated) => (None, HttpVersion::Http1),
            (false, version) => (None, version),
        };
        Target { origin: Origin { url, tls }, version, times: self.rules.times, terms: self.terms.clone(), lookups }
    }

    /// An endpoint, the times of one attempt, and whether there are several.
    fn first(&self, now: Instant) -> Option<(Cow<'_, Arc<Endpoint>>, Times, bool)> {
        if let Some(only) = &self.only {
            return Some((Cow::Borrowed(only), self.rules.times, false));
        }
        let listed = self.list();
        let endpoint = choose(&listed.endpoints, &[], &self.rules.ejection, now)?;
        let several = listed.endpoints.len();
        Some((Cow::Owned(endpoint), shared(self.rules.times, several), several > 1))
    }

    /// Notes an answer, which keeps the place until its end.
    fn note(&self, endpoint: &Endpoint, response: &mut Response<UpstreamBody>, place: Option<Box<Place>>) {
        match self.rules.ejection.answers {
            Answers::GatewayErrorsFail if is_gateway_error(response.status()) => {
                self.failed(endpoint, Fault::Answer, Instant::now());
            }
            Answers::GatewayErrorsFail | Answers::AllAnswer => self.answered(endpoint),
        }
        if let Some(place) = place {
            response.body_mut().take_up(place);
        }
    }

    async fn try_others(
        &self,
        client: &Client,
        mut trying: Trying,
        mut failed: Box<Failed>,
        mut place: Option<Box<Place>>,
    ) -> Answered {
        loop {
            let now = Instant::now();
            if let Some(fault) = fault(&failed.error) {
                self.failed(&trying.last, fault, now);
            }
            if !trying.tried.iter().any(|tried| Arc::ptr_eq(tried, &trying.last)) {
                trying.tried.push(Arc::clone(&trying.last));
            }
            let Some((endpoint, times, request)) = self.next(&mut trying, failed.fate, now) else {
                return Err(failed.error);
            };
            let endpoint = if client.is_connected(&endpoint.target, now) {
                request.body().attempted();
                endpoint
            } else {
                let progress = request.body().progress();
                self.connected(client, (endpoint, &mut trying.tried), &progress, times.connect).await?
            };
            if let Some(place) = place.as_mut() {
                place.move_to(&endpoint);
            }
            trying.last = Arc::clone(&endpoint);
            let times = shared(times, self.list().endpoints.len());
            match client.try_send(&endpoint.target, times, request, Instant::now()).await {
                Ok(mut response) => {
                    self.note(&endpoint, &mut response, place);
                    return Ok(response);
                }
                Err(again) => failed = again,
            }
        }
    }

    /// Where the request goes next, if it goes anywhere, and how long all of that may take.
    fn next(&self, trying: &mut Trying, fate: Fate, now: Instant) -> Option<(Arc<Endpoint>, Times, Outbound)> {
        let (listed, times) = (self.list(), self.rules.times);
        let choose = |tried: &[Arc<Endpoint>]| choose(&listed.endpoints, tried, &self.rules.ejection, now);
        match fate {
            Fate::Unsent(request) if trying.tried.len() < TRIED => {
                let times = trying.left(times, now)?;
                Some((choose(&trying.tried)?, times, request))
            }
            Fate::Unsent(_) | Fate::Over => None,
            Fate::Unanswered => {
                trying.sent += 1;
                let budget = self.retries.as_ref().filter(|budget| trying.sent < budget.attempts())?;
                let times = trying.left(times, now)?;
                let mut request = trying.copy.take()?;
                if !request.body_mut().may_pass() {
                    return None;
                }
                if !budget.spend() {
                    self.happened.retries_over_budget.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                self.happened.retries.fetch_add(1, Ordering::Relaxed);
                trying.copy = copy(&mut request);
                Some((choose(&trying.tried).or_else(|| choose(&[]))?, times, request))
            }
        }
    }
}

impl Trying {
    /// All attempts to be answered have the time of one.
    fn left(&self, times: Times, now: Instant) -> Option<Times> {
        if self.sent == 0 {
            return Some(times);
        }
        let left = times.response.saturating_sub(now.saturating_duration_since(self.begun));
        (!left.is_zero()).then_some(Times { connect: times.connect.min(left), response: left })
    }
}

/// The times of one of several endpoints: it leaves the next some of the time for connecting.
fn shared(times: Times, several: usize) -> Times {
    let among = u32::try_from(several.clamp(1, TRIED)).unwrap_or(1);
    Times { connect: times.connect / among, ..times }
}

/// What an endpoint is to blame for.
fn fault(error: &ClientError) -> Option<Fault> {
    match error {
        ClientError::Connect(_) | ClientError::ConnectTimeout => Some(Fault::Connection),
        ClientError::Broken(_) | ClientError::Malformed(_) | ClientError::ResponseTimeout => Some(Fault::Answer),
        ClientError::RequestBroken | ClientError::Unresolved(_) | ClientError::Saturated => None,
    }
}

fn is_gateway_error(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
