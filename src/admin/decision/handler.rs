//! From bytes to an answer: who asks, by which snapshot, and which interface answers.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    access::{CanonicalRequest, Entity, Malformed, Scheme, Timestamp},
    admin::{
        authzen::{self, BaseUrl},
        body::{QUESTION, Room},
        openfga,
        turns::AnswerTurns,
    },
    identity::{Authenticated, InvalidSignature, Possession, Proven, RefusedKeys, SeenCredential, SignedBody},
    net::{Ending, Handler, HeadProblem, Peer, Transport},
    snapshot::{MemoryStore, Snapshot, SnapshotCell},
};

use super::{
    asked::{Asked, Content},
    endpoint::{Endpoint, Interface},
    metrics::DecisionMetrics,
    refusal::Refusal,
};

/// Answers those who may ask, by the snapshot that decides requests.
#[derive(Debug, Clone)]
pub struct DecisionHandler {
    shared: Arc<Shared>,
    // Of the one connection that it is for.
    seen: Arc<SeenCredential>,
}

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
    // The API keys that were refused of late, on other listeners too.
    refused_keys: Arc<RefusedKeys>,
    room: Room,
    turns: AnswerTurns,
}

impl DecisionHandler {
    /// A handler that answers by the current snapshot of the cell, and writes to the store in memory if there is one.
    /// `base` is what callers know the listener by.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        memory: Option<Arc<MemoryStore>>,
        metrics: DecisionMetrics,
        (unknown_key, refused_keys): (Arc<Notify>, Arc<RefusedKeys>),
        base: Option<BaseUrl>,
    ) -> Self {
        let (room, turns) = (Room::whole(), AnswerTurns::beside_a_proxy());
        let shared = Shared { snapshots, memory, metrics, base, unknown_key, refused_keys, room, turns };
        Self { shared: Arc::new(shared), seen: Arc::default() }
    }
}

/// Somebody who may ask, at this moment and by this snapshot.
struct Admitted {
    snapshot: Arc<Snapshot>,
    caller: Entity,
    now: Timestamp,
    // What the credential says of the body.
    signed: SignedBody,
    proven: Proven,
}

impl Shared {
    fn admit(
        &self,
        head: &CanonicalRequest,
        seen: &SeenCredential,
        possession: Possession,
    ) -> Result<Admitted, Refusal> {
        let now = Timestamp::from(SystemTime::now());
        let snapshot = self.snapshots.usable(now)?;
        let authenticated =
            snapshot.authenticator.authenticate_as(head, seen, (now, possession), None).map_err(|error| {
                // What was signed by a key that is not there may be newer than the keys.
                if error.may_await_its_key() {
                    self.unknown_key.notify_one();
                }
                Refusal::from(error)
            })?;
        snapshot.denylist.check(&authenticated).map_err(|revoked| Refusal::Unauthenticated(revoked.into()))?;
        let caller =
            snapshot.callers.admit(&authenticated.principal, authenticated.credential.grants.as_deref())?.clone();
        let Authenticated { body: signed, proven, .. } = authenticated;
        Ok(Admitted { snapshot, caller, now, signed, proven })
    }

    async fn answer(
        &self,
        interface: Interface,
        endpoint: Endpoint,
        (head, seen): (Result<CanonicalRequest, Malformed>, &SeenCredential),
        body: Incoming,
    ) -> Result<Response<Content>, Refusal> {
        if interface == Interface::Health {
            self.snapshots.usable(Timestamp::from(SystemTime::now()))?;
            return Ok(json_answer(&json!({ "status": "SERVING" })));
        }
        let head = head?;
        // Nothing more is read of those who may not ask.
        let Admitted { proven, .. } = self.admit(&head, seen, Possession::ToProve)?;
        let (body, room) = self.room.read(body, QUESTION).await?;
        let turn = self.turns.take(endpoint.is_long).await.ok_or(Refusal::Overloaded)?;
        // That took a while, in which the policy may have changed, and the caller may have been removed. From here on
        // there is one snapshot for the request.
        let Admitted { snapshot, caller, now, signed, .. } = self.admit(&head, seen, Possession::Proven(proven))?;
        let refuse = |problem: InvalidSignature| Refusal::Unauthenticated(seen.refuse(problem.into(), now));
        signed.check(&body).map_err(refuse)?;
        let asked = Asked { snapshot, caller, head, body, now };
        tracing::debug!(caller = %asked.caller, endpoint = endpoint.name, "a caller asks");
        let memory = self.memory.clone();
        // Other connections are not to wait for this answer. Its room and its turn are taken as long as the work goes on,
        // even if the caller has gone away.
        let answered = turn.spend(move |turn| {
            let _room = room;
            match interface {
                Interface::OpenFga => Ok(openfga::answer_asked(&asked, memory.as_deref(), turn)),
                Interface::AuthZen => Ok(authzen::answer_asked(&asked)),
                Interface::Health | Interface::Undefined => Err(Refusal::UndefinedEndpoint),
            }
        });
        answered.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request for a decision could not be answered");
            Err(Refusal::Internal)
        })
    }
}

impl Handler for DecisionHandler {
    type Body = Content;

    fn for_connection(&self, peer: &Peer) -> Self {
        let certificates = peer.certificates.iter().map(AsRef::as_ref);
        let seen = SeenCredential::of_peer(certificates, peer.source, &self.shared.refused_keys);
        Self { shared: Arc::clone(&self.shared), seen: Arc::new(seen) }
    }

    fn is_over(&self) -> bool {
        self.seen.is_over()
    }

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<Content> {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let (method, written) = (parts.method.clone(), parts.uri.path().to_owned());
        let request_id = authzen::request_id(&parts.headers);
        let head = CanonicalRequest::parse(parts, scheme(peer));
        // One reading of the path: by it the request is named, counted and answered.
        let path = head.as_ref().map_or(written, |head| head.path().as_str().to_owned());
        let interface = Interface::of(&path);
        let endpoint = Endpoint::of(interface, &method, &path);
        let answered = match authzen::metadata(self.shared.base.as_ref(), &method, &path) {
            Some(document) => Ok(document),
            None => {
                let answering = AssertUnwindSafe(self.shared.answer(interface, endpoint, (head, &self.seen), body));
                // A fault refuses this request and nothing else.
                answering.catch_unwind().await.unwrap_or(Err(Refusal::Internal))
            }
        };
        let mut response = answered.unwrap_or_else(|refusal| {
            tracing::debug!(peer = %peer.address, %refusal, ?refusal, "a request for a decision was refused");
            refused(interface, &refusal)
        });
        if self.seen.is_over() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // Refusals too: callers find them in their logs by it.
        response.headers_mut().extend(request_id.filter(|_| interface == Interface::AuthZen));
        let status = response.status();
        self.shared.metrics.answered(endpoint.name, status, begun.elapsed());
        tracing::debug!(peer = %peer.address, %method, path, status = status.as_u16(), "a request for a decision");
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request for a decision");
    }

    fn ended(&self, ending: Ending) {
        self.shared.metrics.ended(ending);
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
