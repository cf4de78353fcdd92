//! The listener on which issuers say that sessions ended (RFC 8935).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    admin::body::{BodyProblem, Bounds, Room},
    audit::SignalWay,
    identity::Authenticator,
    net::{Ending, Handler, HeadProblem, Peer},
};

use super::intake::{NotTaken, Sender, SignalIntake};

/// Where signals are sent.
const PATH: &str = "/events";
/// The media type of a security event token (RFC 8417, section 7.2).
const MEDIA_TYPE: &str = "application/secevent+jwt";
/// A signal is one token of at most 8 KiB.
const BOUNDS: Bounds = Bounds { bytes: 8 * 1024, time: Duration::from_secs(5), pause: Duration::from_secs(3) };
/// Bodies of so many bytes together.
const ROOM: usize = 4 * 1024 * 1024;

/// Takes the signals of those who have the bearer token. What it has answered with 202 counts with the next request.
#[derive(Debug, Clone)]
pub struct SignalHandler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    intake: SignalIntake,
    room: Room,
}

/// Why a signal was not taken: the answer to whoever sent it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
    /// Whether it was a signal, which is counted and logged already.
    is_counted: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self { status, code, description: description.into(), is_counted: false }
    }
}

impl From<NotTaken> for Refusal {
    fn from(problem: NotTaken) -> Self {
        // What may yet be right is sent again by its sender; what is wrong is not.
        let (is_for_later, code) = match &problem {
            NotTaken::NotReady => (true, "invalid_request"),
            NotTaken::Invalid(problem) => (problem.is_for_later(), problem.code()),
        };
        let status = if is_for_later { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
        Self { is_counted: matches!(problem, NotTaken::Invalid(_)), ..Self::new(status, code, problem.to_string()) }
    }
}

impl SignalHandler {
    /// A handler that hands what it gets to the intake.
    pub fn new(intake: SignalIntake) -> Self {
        Self(Arc::new(Shared { intake, room: Room::of(ROOM) }))
    }
}

impl Shared {
    async fn take(&self, peer: &Peer, request: Request<Incoming>) -> Result<(), Refusal> {
        let (head, body) = request.into_parts();
        if head.uri.path() != PATH || head.method != Method::POST {
            let told = "signals are sent by POST to /events";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "invalid_request", told));
        }
        let unavailable = |told: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "invalid_request", told);
        // Nothing more is read of those who may not send.
        admit(self.intake.authenticator()?.as_ref(), &head.headers)?;
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
        let sender = Sender { way: SignalWay::Push, source: Arc::clone(&peer.address) };
        self.intake.take(text, &sender)?;
        Ok(())
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
    let is_theirs = |token: &str| settings.bearer.is_some_and(|hash| hash.is_of(token));
    if bearer.is_some_and(|(_, token)| is_theirs(token)) { Ok(()) } else { Err(refused()) }
}

impl Handler for SignalHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<Full<Bytes>> {
        let refusal = match self.0.take(peer, *request).await {
            Ok(()) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::ACCEPTED;
                return response;
            }
            Err(refusal) => refusal,
        };
        let is_stranger = refusal.status == StatusCode::UNAUTHORIZED;
        if !refusal.is_counted {
            self.0.intake.metrics().count(if is_stranger { "unauthenticated" } else { "refused" });
            let (source, problem) = (&*peer.address, &refusal.description);
            tracing::warn!(way = SignalWay::Push.name(), source, problem, "a signal was refused");
        }
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

    fn ended(&self, ending: Ending) {
        self.0.intake.metrics().ended(ending);
    }
}
