//! The listener on which issuers say that sessions ended (Shared Signals, by push: RFC 8935).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus::{IntCounterVec, Opts};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    access::Timestamp,
    identity::{Authenticator, Heard, InvalidSignal},
    net::{Handler, HeadProblem, Peer},
    snapshot::SnapshotCell,
    telemetry::{MetricsError, Registry},
};

use super::body::{BodyProblem, Bounds, Room};

/// Where signals are sent.
const PATH: &str = "/events";
/// The media type of a security event token (RFC 8417, section 7.2).
const MEDIA_TYPE: &str = "application/secevent+jwt";
/// A signal is one token of at most 8 KiB.
const BOUNDS: Bounds = Bounds { bytes: 8 * 1024, time: Duration::from_secs(5), pause: Duration::from_secs(3) };
/// Bodies of so many bytes together.
const ROOM: usize = 4 * 1024 * 1024;

/// What the listener counts.
#[derive(Debug, Clone)]
pub struct SignalMetrics(IntCounterVec);

impl SignalMetrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counted = Opts::new("portcullis_signals_total", "Signals of issuers that sessions ended, by outcome.");
        let metrics = Self(registry.register(IntCounterVec::new(counted, &["outcome"]))?);
        for outcome in ["revoked", "repeated", "passed", "refused", "unauthenticated"] {
            metrics.0.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(metrics)
    }

    fn count(&self, outcome: &str) {
        self.0.with_label_values(&[outcome]).inc();
    }
}

/// Takes signals by the issuers and keys of the snapshot in force. What it takes counts with the next request.
#[derive(Debug, Clone)]
pub struct SignalHandler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    snapshots: Arc<SnapshotCell>,
    metrics: SignalMetrics,
    unknown_key: Arc<Notify>,
    room: Room,
}

/// Why a signal was not taken: the answer to whoever sent it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self { status, code, description: description.into() }
    }
}

impl From<InvalidSignal> for Refusal {
    fn from(problem: InvalidSignal) -> Self {
        // What may yet be right is sent again by its sender; what is wrong is not.
        let status = if problem.is_for_later() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
        Self::new(status, problem.code(), problem.to_string())
    }
}

impl SignalHandler {
    /// A handler that is told what counts by the snapshots of the cell.
    pub fn new(snapshots: Arc<SnapshotCell>, metrics: SignalMetrics, unknown_key: Arc<Notify>) -> Self {
        Self(Arc::new(Shared { snapshots, metrics, unknown_key, room: Room::of(ROOM) }))
    }
}

impl Shared {
    async fn take(&self, request: Request<Incoming>) -> Result<Heard, Refusal> {
        let (head, body) = request.into_parts();
        if head.uri.path() != PATH || head.method != Method::POST {
            let told = "signals are sent by POST to /events";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "invalid_request", told));
        }
        let unavailable = |told: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "invalid_request", told);
        let snapshot = self.snapshots.load().ok_or_else(|| unavailable("not ready"))?;
        // Nothing more is read of those who may not send.
        admit(&snapshot.authenticator, &head.headers)?;
        if head.headers.get(header::CONTENT_TYPE).is_none_or(|kind| !is_signal(kind)) {
            let told = format!("the media type is not {MEDIA_TYPE}");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", told));
        }
        let (body, _room) = self.room.read(body, BOUNDS).await.map_err(|problem| match problem {
            BodyProblem::NoRoom => unavailable("too many signals at one time"),
            BodyProblem::TooLong(_) | BodyProblem::BrokenOff | BodyProblem::TooSlow => {
                Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", problem.to_string())
            }
        })?;
        let text = std::str::from_utf8(&body).unwrap_or_default().trim_ascii_end();
        // That took a while: keys may have changed.
        let snapshot = self.snapshots.load().ok_or_else(|| unavailable("not ready"))?;
        let heard = snapshot.authenticator.hear(text, Timestamp::from(SystemTime::now()));
        Ok(heard.inspect_err(|problem| {
            // A token with a key that is not there may be newer than the keys.
            if problem.is_for_later() {
                self.unknown_key.notify_one();
            }
        })?)
    }
}

fn is_signal(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

/// Whether the sender is one that was told the bearer token.
fn admit(authenticator: &Authenticator, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused =
        || Refusal::new(StatusCode::UNAUTHORIZED, "authentication_failed", "the bearer token is missing or wrong");
    let settings = authenticator.settings().signals.as_ref().ok_or_else(refused)?;
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().filter(|_| fields.next().is_none()).and_then(|field| field.to_str().ok());
    let bearer = field.and_then(|field| field.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if bearer.is_some_and(|(_, token)| settings.bearer.is_of(token)) { Ok(()) } else { Err(refused()) }
}

impl Handler for SignalHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<Full<Bytes>> {
        let Shared { metrics, .. } = &*self.0;
        let refusal = match self.0.take(*request).await {
            Ok(heard) => {
                match heard {
                    Heard::Revoked { entities, before } => {
                        metrics.count("revoked");
                        let (entities, before) = (shown(&entities), before.seconds());
                        tracing::info!(peer = %peer.address, entities, before, "a signal revoked tokens");
                    }
                    Heard::Repeated => metrics.count("repeated"),
                    Heard::Passed => metrics.count("passed"),
                }
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::ACCEPTED;
                return response;
            }
            Err(refusal) => refusal,
        };
        let is_stranger = refusal.status == StatusCode::UNAUTHORIZED;
        metrics.count(if is_stranger { "unauthenticated" } else { "refused" });
        tracing::warn!(peer = %peer.address, problem = refusal.description, "a signal was refused");
        let body = json!({ "err": refusal.code, "description": refusal.description }).to_string();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = refusal.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if is_stranger {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
        }
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request on the listener for signals");
    }
}

fn shown(entities: &[crate::access::Entity]) -> String {
    entities.iter().map(|entity| entity.as_str()).collect::<Vec<_>>().join(" ")
}
