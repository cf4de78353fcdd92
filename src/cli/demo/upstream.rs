//! Acme's services: one HTTP server which does what it is asked, and keeps a log of who asked.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::net::{Drain, Handler, HeadProblem, Listener, Peer, ServerSettings, serve};

use super::company::{Company, Inquiry, Reply};

/// The longest body that is read.
const BODY_BYTES: usize = 1024 * 1024;
/// Entries of the log that are kept.
const LOG_ENTRIES: usize = 10_000;

/// One request, as it arrived here.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) decision_id: String,
    pub(super) subject: String,
    pub(super) actors: String,
    pub(super) task: String,
    /// Whether a credential came with it. None should.
    pub(super) credential: bool,
}

/// The server, on a thread of its own.
#[derive(Debug)]
pub(super) struct Upstream {
    address: SocketAddr,
    log: AccessLog,
    drain: Drain,
    thread: JoinHandle<()>,
}

type AccessLog = Arc<Mutex<VecDeque<Seen>>>;

impl Upstream {
    /// Starts on a free port of the loopback.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = Listener::bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = listener.ip().context("the upstream listens nowhere")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let accepting = {
            let _inside = runtime.enter();
            listener.accepting()?
        };
        let (drain, signal) = Drain::new();
        let log = AccessLog::default();
        let office = Office { company: Arc::new(Mutex::new(Company::open()?)), log: Arc::clone(&log) };
        let thread = thread::Builder::new().name("upstream".to_owned()).spawn(move || {
            runtime.block_on(async move {
                // The listener of the process stays open until its end, so that its port stays taken.
                let _listener = listener;
                serve(accepting, None, ServerSettings::default(), signal, office).await;
            });
        })?;
        Ok(Self { address, log, drain, thread })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, and gives the log.
    pub(super) fn stop(self) -> anyhow::Result<Vec<Seen>> {
        self.drain.order();
        self.thread.join().ok().context("the upstream has died")?;
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(log.iter().cloned().collect())
    }
}

/// Answers the requests.
#[derive(Debug, Clone)]
struct Office {
    company: Arc<Mutex<Company>>,
    log: AccessLog,
}

impl Office {
    fn note(&self, seen: Seen) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_ENTRIES {
            log.pop_front();
        }
        log.push_back(seen);
    }

    async fn reply(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES).collect().await else {
            return Reply::empty(StatusCode::BAD_REQUEST);
        };
        let bytes = body.to_bytes();
        let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        let Ok(body) = body else { return Reply::empty(StatusCode::BAD_REQUEST) };
        let uri = &parts.uri;
        let inquiry =
            Inquiry { method: parts.method.as_str(), path: uri.path(), query: uri.query().unwrap_or_default(), body };
        self.company.lock().unwrap_or_else(PoisonError::into_inner).reply(inquiry)
    }
}

impl Handler for Office {
    type Body = Full<Bytes>;

    async fn respond(&self, _: &Peer, request: Box<Request<Incoming>>) -> Response<Full<Bytes>> {
        let seen = Seen::of(&request);
        self.note(seen.clone());
        let reply = self.reply(*request).await;
        response(&reply, &seen).unwrap_or_default()
    }

    fn malformed(&self, _: &Peer, problem: HeadProblem) {
        tracing::warn!(%problem, "the upstream got what is not HTTP");
    }
}

impl Seen {
    fn of(request: &Request<Incoming>) -> Self {
        let headers = request.headers();
        Self {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            decision_id: text(headers, "portcullis-decision-id"),
            subject: text(headers, "portcullis-subject"),
            actors: text(headers, "portcullis-actors"),
            task: text(headers, "portcullis-task"),
            credential: headers.contains_key(header::AUTHORIZATION),
        }
    }

    /// Whom the upstream takes the request to be from.
    fn whom(&self) -> String {
        [&self.subject, &self.actors, &self.task].map(String::as_str).join(" ").trim_end().to_owned()
    }
}

/// Every value of the field: a second one would be a second opinion on who it is.
fn text(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    values.collect::<Vec<_>>().join(", ")
}

fn response(reply: &Reply, seen: &Seen) -> Result<Response<Full<Bytes>>, io::Error> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    if let Some(body) = &reply.body {
        let bytes = serde_json::to_vec(body)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Of the whole answer: if it got through with a part of it, it would tell of the rest.
        headers.insert(header::ETAG, HeaderValue::from_static("\"acme-1\""));
        *response.body_mut() = Full::new(Bytes::from(bytes));
    }
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&seen.whom()).map(|whom| (header::HeaderName::from_static("acme-saw"), whom)));
    Ok(response)
}
