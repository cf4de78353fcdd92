//! Answers on the admin socket.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;

use super::{
    answer::{ByRevision, written_problem},
    question::{OperatorQuestion, Question},
    state::ProxyState,
};
use crate::{
    access::Timestamp,
    admin::{
        body::{BodyProblem, Bounds, Room},
        turns::Turns,
    },
    net::{Handler, HeadProblem, Peer},
    policy::RequestContext,
    snapshot::{Snapshot, SnapshotCell},
};

/// The header field by which its answers are told from those of other servers.
pub(super) const MARK: &str = "portcullis-version";
/// The bounds of a question.
const QUESTION: Bounds = Bounds { bytes: 1024 * 1024, time: Duration::from_secs(10), pause: Duration::from_secs(10) };
/// Questions at one time; others wait, so that threads are left for building snapshots.
const QUESTIONS: usize = 4;
/// A question that has waited this long is refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers `GET /state`, and questions to the current snapshot, however old it is.
#[derive(Debug, Clone)]
pub struct OperatorHandler {
    snapshots: Arc<SnapshotCell>,
    state: Arc<ProxyState>,
    room: Arc<Room>,
    turns: Arc<Turns>,
}

/// A status and its body.
type Told = (StatusCode, Bytes);

impl OperatorHandler {
    /// A handler that tells of these.
    pub fn new(snapshots: Arc<SnapshotCell>, state: ProxyState) -> Self {
        let (room, turns) = (Arc::new(Room::whole()), Arc::new(Turns::new(QUESTIONS, PATIENCE)));
        Self { snapshots, state: Arc::new(state), room, turns }
    }

    async fn told(&self, request: Request<Incoming>) -> Result<Bytes, Told> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == "/state" {
            only(&head.method, &Method::GET)?;
            return Ok(line(&self.state.document(&self.snapshots, Timestamp::from(SystemTime::now()))));
        }
        let question = Question::ALL.into_iter().find(|question| question.path() == path);
        let unknown = || problem(StatusCode::NOT_FOUND, "only /state, /check, /explain and /list are here");
        let question = question.ok_or_else(unknown)?;
        only(&head.method, &Method::POST)?;
        let (body, _room) = self.room.read(body, QUESTION).await.map_err(|error| {
            let status = match error {
                BodyProblem::TooLong(_) | BodyProblem::BrokenOff => StatusCode::BAD_REQUEST,
                BodyProblem::TooSlow => StatusCode::REQUEST_TIMEOUT,
                BodyProblem::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            };
            problem(status, &error.to_string())
        })?;
        let question = OperatorQuestion::read(question, &body);
        let question = question.map_err(|error| problem(StatusCode::BAD_REQUEST, &error.to_string()))?;
        let busy = || problem(StatusCode::SERVICE_UNAVAILABLE, "too many questions at one time");
        let turn = self.turns.take().await.ok_or_else(busy)?;
        let missing = || problem(StatusCode::SERVICE_UNAVAILABLE, "there is no snapshot yet");
        let snapshot = self.snapshots.load().ok_or_else(missing)?;
        let now = Timestamp::from(SystemTime::now());
        let (age, stale) = (self.snapshots.age(now), self.snapshots.is_stale(&snapshot, now));
        // Lists can take long, and so can writing them down: health and metrics are not to wait for them.
        let answered = turn.spend(move |_turn| answered(&snapshot, &question, now, (age, stale))).await;
        answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a question could not be answered");
            Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "Portcullis failed"))
        })
    }
}

fn answered(
    snapshot: &Snapshot,
    question: &OperatorQuestion,
    now: Timestamp,
    (age, stale): (Duration, bool),
) -> Result<Bytes, Told> {
    let context = RequestContext::new(&question.context).at(now);
    match question.inquiry.answer(&snapshot.policy, &context) {
        Ok(answered) => Ok(line(&ByRevision { answered, revision: snapshot.revision.number(), age, stale }.written())),
        Err(undecided) => Err(problem(StatusCode::UNPROCESSABLE_ENTITY, &undecided)),
    }
}

fn only(method: &Method, wanted: &Method) -> Result<(), Told> {
    if method == wanted {
        return Ok(());
    }
    Err(problem(StatusCode::METHOD_NOT_ALLOWED, &format!("only {wanted}")))
}

fn problem(status: StatusCode, text: &str) -> Told {
    (status, line(&written_problem(text)))
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

impl Handler for OperatorHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, _: &Peer, request: Box<Request<Incoming>>) -> Response<Full<Bytes>> {
        let (status, body) = match self.told(*request).await {
            Ok(body) => (StatusCode::OK, body),
            Err(told) => told,
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(MARK, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
        response
    }

    fn malformed(&self, _: &Peer, problem: HeadProblem) {
        tracing::debug!(%problem, "a malformed request on the admin socket");
    }
}
