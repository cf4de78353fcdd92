//! From bytes to an answer: who asks, by which snapshot, and which interface answers.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::{Instant, SystemTime},
};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use serde_json::json;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{
    access::{CanonicalRequest, Scheme, Timestamp},
    admin::{
        authzen::{self, BaseUrl},
        body, openfga,
    },
    net::{Handler, HeadProblem, Peer, Transport},
    snapshot::{MemoryStore, SnapshotCell},
};

use super::{
    asked::{Asked, Content},
    endpoint::{Endpoint, Interface},
    metrics::DecisionMetrics,
    refusal::Refusal,
};

/// Requests at one time; more are refused.
const MOST_REQUESTS: usize = 1_000;

/// Answers those who may ask, by the snapshot that decides requests.
#[derive(Debug, Clone)]
pub struct DecisionHandler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    snapshots: Arc<SnapshotCell>,
    // What takes writes; `None` if the policy comes from elsewhere.
    memory: Option<Arc<MemoryStore>>,
    metrics: DecisionMetrics,
    // What callers know the listener by.
    base: Option<BaseUrl>,
    // Told when a token names a key that is not there: the key set may be old.
    unknown_key: Arc<Notify>,
    room: Semaphore,
    // Long answers leave the processors to the proxy, and short answers do not wait for them.
    long: Arc<Semaphore>,
    short: Arc<Semaphore>,
}

impl DecisionHandler {
    /// A handler that answers by the current snapshot of the cell, and writes to the store in memory if there is one.
    /// `base` is what callers know the listener by.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        memory: Option<Arc<MemoryStore>>,
        metrics: DecisionMetrics,
        unknown_key: Arc<Notify>,
        base: Option<BaseUrl>,
    ) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            snapshots,
            memory,
            metrics,
            base,
            unknown_key,
            room: Semaphore::new(MOST_REQUESTS),
            long: Arc::new(Semaphore::new((processors / 2).max(1))),
            short: Arc::new(Semaphore::new(processors.max(2))),
        }))
    }
}

impl Shared {
    async fn answer(
        &self,
        interface: Interface,
        endpoint: Endpoint,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Result<Response<Content>, Refusal> {
        let now = Timestamp::from(SystemTime::now());
        let snapshot = self.snapshots.usable(now)?; // One request, one snapshot.
        if interface == Interface::Health {
            return Ok(json_answer(&json!({ "status": "SERVING" })));
        }
        let (parts, body) = request.into_parts();
        let head = CanonicalRequest::parse(parts, scheme(peer))?;
        let authenticated = snapshot.authenticator.authenticate(&head, now).map_err(|error| {
            // A token with a key that is not there may be newer than the keys.
            if error.unknown_key().is_some() {
                self.unknown_key.notify_one();
            }
            Refusal::Unauthenticated(error)
        })?;
        let caller = snapshot.callers.admit(&authenticated.principal)?.clone();
        let _room = self.room.try_acquire().map_err(|_| Refusal::Overloaded)?;
        let body = body::read(body).await?;
        let asked = Asked { snapshot, caller, head, body, now };
        tracing::debug!(caller = %asked.caller, endpoint = endpoint.name, "a caller asks");
        let turns = if endpoint.is_long { &self.long } else { &self.short };
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| Refusal::Internal)?;
        let memory = self.memory.clone();
        // Other connections are not to wait for this answer.
        let answered = spawn_blocking(move || match interface {
            Interface::OpenFga => Ok(openfga::answer_asked(&asked, memory.as_deref())),
            Interface::AuthZen => Ok(authzen::answer_asked(&asked)),
            Interface::Health | Interface::Undefined => Err(Refusal::UndefinedEndpoint),
        });
        let answered = answered.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request for a decision could not be answered");
            Err(Refusal::Internal)
        });
        // A stream is still being found when its answer begins.
        answered.map(|response| response.map(|body| holding(body, turn)))
    }
}

impl Handler for DecisionHandler {
    type Body = Content;

    async fn respond(&self, peer: &Peer, request: Request<Incoming>) -> Response<Content> {
        let begun = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let interface = Interface::of(&path);
        let endpoint = Endpoint::of(interface, &path);
        let request_id = authzen::request_id(request.headers()).filter(|_| interface == Interface::AuthZen);
        let answered = match authzen::metadata(self.0.base.as_ref(), &method, &path) {
            Some(document) => Ok(document),
            None => {
                let answering = AssertUnwindSafe(self.0.answer(interface, endpoint, peer, request));
                // A fault refuses this request and nothing else.
                answering.catch_unwind().await.unwrap_or(Err(Refusal::Internal))
            }
        };
        let mut response = answered.unwrap_or_else(|refusal| {
            tracing::debug!(peer = %peer.address, %refusal, ?refusal, "a request for a decision was refused");
            refused(interface, &refusal)
        });
        // Refusals too: callers find them in their logs by it.
        response.headers_mut().extend(request_id);
        let status = response.status();
        self.0.metrics.answered(endpoint.name, status, begun.elapsed());
        tracing::debug!(peer = %peer.address, %method, path, status = status.as_u16(), "a request for a decision");
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request for a decision");
    }
}

/// A refusal in the form of the interface.
fn refused(interface: Interface, refusal: &Refusal) -> Response<Content> {
    let mut response = match interface {
        Interface::OpenFga | Interface::Undefined => openfga::refused(refusal),
        Interface::Health => json_answer(&json!({ "status": "NOT_SERVING" })),
        // AuthZEN 1.0, section 10.1.2: a message as a JSON text.
        Interface::AuthZen => json_answer(&json!(refusal.to_string())),
    };
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    if let Some(challenge) = refusal.challenge() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if refusal.status() == http::StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same body, which holds its turn until it is read or dropped.
fn holding(body: Content, turn: OwnedSemaphorePermit) -> Content {
    if body.is_end_stream() || body.size_hint().exact().is_some() {
        return body;
    }
    body.map_frame(move |frame| {
        let _held = &turn;
        frame
    })
    .boxed_unsync()
}

fn json_answer(body: &serde_json::Value) -> Response<Content> {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn scheme(peer: &Peer) -> Scheme {
    match peer.transport {
        Transport::Clear => Scheme::Http,
        Transport::Tls => Scheme::Https,
    }
}
