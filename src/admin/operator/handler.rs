//! Answers on the admin socket.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{
    answer::{ByRevision, written_problem},
    question::{OperatorQuestion, Question},
    state::{ProxyState, is_stale},
};
use crate::{
    access::Timestamp,
    net::{Handler, HeadProblem, Peer},
    policy::RequestContext,
    snapshot::{Snapshot, SnapshotCell},
};

/// The header field by which its answers are told from those of other servers.
pub(super) const MARK: &str = "portcullis-version";
/// The longest question.
const BODY_BYTES: usize = 1024 * 1024;
/// Questions at one time; others wait, so that threads are left for building snapshots.
const QUESTIONS: usize = 4;
/// How long a question may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Answers `GET /state`, and questions to the current snapshot, however old it is.
#[derive(Debug, Clone)]
pub struct OperatorHandler {
    snapshots: Arc<SnapshotCell>,
    state: Arc<ProxyState>,
    turns: Arc<Semaphore>,
}

/// A status and its body.
type Told = (StatusCode, Value);

impl OperatorHandler {
    /// A handler that tells of these.
    pub fn new(snapshots: Arc<SnapshotCell>, state: ProxyState) -> Self {
        Self { snapshots, state: Arc::new(state), turns: Arc::new(Semaphore::new(QUESTIONS)) }
    }

    async fn told(&self, request: Request<Incoming>) -> Result<Value, Told> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == "/state" {
            only(&head.method, &Method::GET)?;
            return Ok(self.state.document(&self.snapshots, Timestamp::from(SystemTime::now())));
        }
        let question = Question::ALL.into_iter().find(|question| question.path() == path);
        let unknown = || problem(StatusCode::NOT_FOUND, "only /state, /check, /explain and /list are here");
        let question = question.ok_or_else(unknown)?;
        only(&head.method, &Method::POST)?;
        let body = timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(problem(StatusCode::BAD_REQUEST, &format!("the body is refused: {error}"))),
            Err(_) => return Err(problem(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        };
        let question = OperatorQuestion::read(question, &body);
        let question = question.map_err(|error| problem(StatusCode::BAD_REQUEST, &error.to_string()))?;
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        let missing = || problem(StatusCode::SERVICE_UNAVAILABLE, "there is no snapshot yet");
        let snapshot = self.snapshots.load().ok_or_else(missing)?;
        let now = Timestamp::from(SystemTime::now());
        let (age, stale) = (self.snapshots.age(now), is_stale(&snapshot, &self.snapshots, now));
        // Lists can take long: health and metrics are not to wait for them.
        let answered = spawn_blocking(move || answered(&snapshot, &question, now, (age, stale))).await;
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
) -> Result<Value, Told> {
    let context = RequestContext::new(&question.context).at(now);
    match question.inquiry.answer(&snapshot.policy, &context) {
        Ok(answered) => Ok(ByRevision { answered, revision: snapshot.revision.number(), age, stale }.written()),
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
    (status, written_problem(text))
}

impl Handler for OperatorHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, _: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.told(request).await {
            Ok(body) => (StatusCode::OK, body),
            Err(told) => told,
        };
        let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
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
