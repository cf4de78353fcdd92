//! A request on its way to an upstream: to which endpoint, and whether it is tried again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use http::{Request, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::{OutboundBody, UpstreamBody},
    choice::choose,
    client::{Client, ClientError, Failed, Fate},
    endpoint::{Answers, Endpoint, Fault},
    endpoints::{Endpoints, Room, TRIED},
    retries::copy,
    switched::switch,
    target::{HttpVersion, Target, TargetUrl, Times},
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
    tried: Vec<Arc<Endpoint>>,
    // How often it was sent, and how often that could not be for want of a connection.
    sent: u32,
    // What would be sent again, if it may be.
    copy: Option<Outbound>,
}

impl Endpoints {
    /// Sends the request to one of the endpoints, now, and waits for the head of the answer.
    ///
    /// A request of which not one byte was sent goes to another endpoint if there is one. One that the upstream may have
    /// seen is sent again only by [`RetryRules`](super::RetryRules), if the connection broke before one byte of an answer
    /// came, and never if its method is not idempotent, its body is not here whole, or the gate of that does not let it pass.
    pub async fn send(self: &Arc<Self>, client: &Client, mut request: Outbound, now: Instant) -> Answered {
        let room = self.enter()?;
        let mut chosen = self.first(now);
        if chosen.is_none() {
            Box::pin(self.until_known()).await?;
            chosen = self.first(now);
        }
        let (endpoint, times, of_several) = chosen.ok_or_else(|| ClientError::Unresolved("no endpoint".into()))?;
        let place = Place::take(room, of_several.then(|| Arc::clone(&endpoint)));
        let copy = self.retries.as_ref().and_then(|budget| budget.note(&mut request));
        request.body().attempted();
        match client.try_send(&endpoint.target, times, request, now).await {
            Ok(mut response) => {
                self.note(&endpoint, &mut response, place);
                Ok(response)
            }
            // Rare and large: in a box of its own, so that it does not make every request's future larger.
            Err(failed) => {
                let trying = Trying { begun: now, tried: vec![endpoint], sent: 0, copy };
                Box::pin(self.try_others(client, trying, failed, place)).await
            }
        }
    }

    /// Sends the request to this place, whatever the endpoints are.
    pub async fn send_to(
        self: &Arc<Self>,
        url: Arc<TargetUrl>,
        client: &Client,
        request: Outbound,
        now: Instant,
    ) -> Answered {
        let place = Place::take(self.enter()?, None);
        let target = self.target_at(url);
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
        url: Option<Arc<TargetUrl>>,
        request: Outbound,
    ) -> Result<(Response<UpstreamBody>, Box<Place>), ClientError> {
        let (room, now) = (self.enter()?, Instant::now());
        let (endpoint, target) = match url {
            Some(url) => (None, self.target_at(url)),
            None => {
                if self.list().endpoints.is_empty() {
                    self.until_known().await?;
                }
                let (endpoint, _, _) = self.first(now).ok_or_else(|| ClientError::Unresolved("no endpoint".into()))?;
                let target = endpoint.target.clone();
                (Some(endpoint), target)
            }
        };
        if let Some(endpoint) = &endpoint {
            endpoint.enter();
        }
        let mut place = Box::new(Place { _room: room, endpoint: endpoint.clone(), _slot: None });
        request.body().attempted();
        let sent = switch(&target, request).await;
        match (sent, endpoint) {
            (Ok((response, slot)), endpoint) => {
                if let Some(endpoint) = endpoint {
                    self.answered(&endpoint);
                }
                place._slot = slot;
                Ok((response, place))
            }
            (Err(error), endpoint) => {
                if let (Some(endpoint), Some(fault)) = (endpoint, fault(&error)) {
                    self.failed(&endpoint, fault, Instant::now());
                }
                Err(error)
            }
        }
    }

    /// A place that is none of its endpoints.
    fn target_at(&self, url: Arc<TargetUrl>) -> Target {
        let (tls, version) = match (url.is_tls(), self.rules.version) {
            (true, version) => (self.rules.tls.clone(), version),
            // In the clear nobody can be asked what he speaks.
            (false, HttpVersion::Negotiated) => (None, HttpVersion::Http1),
            (false, version) => (None, version),
        };
        Target { url, tls, version, times: self.rules.times, terms: self.terms.clone() }
    }

    /// An endpoint, the times of one attempt, and whether there are several.
    fn first(&self, now: Instant) -> Option<(Arc<Endpoint>, Times, bool)> {
        if let Some(only) = &self.only {
            return Some((Arc::clone(only), self.rules.times, false));
        }
        let listed = self.list();
        let endpoint = choose(&listed.endpoints, &[], &self.rules.ejection, now)?;
        let several = listed.endpoints.len().min(TRIED);
        Some((endpoint, self.times(several), several > 1))
    }

    /// Whoever is tried when others could not be connected to leaves them some of the time.
    fn times(&self, several: usize) -> Times {
        let times = self.rules.times;
        let among = u32::try_from(several.max(1)).unwrap_or(1);
        Times { connect: times.connect / among, ..times }
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
            if let (Some(endpoint), Some(fault)) = (trying.tried.last(), fault(&failed.error)) {
                self.failed(endpoint, fault, now);
            }
            let Some((endpoint, times, request)) = self.next(&mut trying, failed.fate, now) else {
                return Err(failed.error);
            };
            if let Some(place) = place.as_mut() {
                place.move_to(&endpoint);
            }
            request.body().attempted();
            trying.tried.push(Arc::clone(&endpoint));
            match client.try_send(&endpoint.target, times, request, now).await {
                Ok(mut response) => {
                    self.note(&endpoint, &mut response, place);
                    return Ok(response);
                }
                Err(again) => failed = again,
            }
        }
    }

    /// Where the request goes next, if it goes anywhere.
    fn next(&self, trying: &mut Trying, fate: Fate, now: Instant) -> Option<(Arc<Endpoint>, Times, Outbound)> {
        let listed = self.list();
        let times = self.times(listed.endpoints.len().min(TRIED));
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
