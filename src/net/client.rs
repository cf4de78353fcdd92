//! Requests to upstreams, each by what its upstream speaks.

use std::{error::Error, io, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    body::{BodyError, OutboundBody, Progress, UpstreamBody},
    deadline::Alarm,
    http1_client::Http1Connections,
    http2_client::{Http2Connections, Sent},
    socket::Socket,
    target::{HttpVersion, Target, TargetUrl, Times},
    tls::ClientTls,
};

/// An idle connection older than this is not used again.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(60);
/// The longest head of an answer.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// Why there is no answer of the upstream.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection or the TLS handshake took too long.
    #[error("cannot connect in time")]
    ConnectTimeout,
    /// The client's body broke off while it was passed on.
    #[error("the request's body broke off")]
    RequestBroken,
    /// The connection broke before the head of an answer.
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    /// The head of the answer is not HTTP, or too large.
    #[error("the answer is malformed: {0}")]
    Malformed(hyper::Error),
    /// No head of an answer in time.
    #[error("no answer in time")]
    ResponseTimeout,
    /// The name of the upstream is nowhere.
    #[error("no address: {0}")]
    Unresolved(Arc<str>),
    /// The upstream has as many requests or connections as it may.
    #[error("the upstream has as many requests or connections as it may have")]
    Saturated,
}

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: ClientError,
    pub(super) fate: Fate,
}

/// What the upstream may know of a request that it has not answered.
#[derive(Debug)]
pub(super) enum Fate {
    /// Nothing: not one byte of it was sent.
    Unsent(Box<Request<OutboundBody>>),
    /// All of it, and the connection broke before one byte of an answer came.
    Unanswered,
    /// All of it, and it began to answer, or had its time to.
    Over,
}

impl Failed {
    pub(super) fn new(error: ClientError, fate: Fate) -> Box<Self> {
        Box::new(Self { error, fate })
    }
}

/// The connections of one worker to all upstreams.
#[derive(Debug, Clone, Default)]
pub struct Client {
    http1: Http1Connections,
    http2: Http2Connections,
}

impl Client {
    /// Sends the request to this one place, now, and waits for the head of the answer.
    ///
    /// A request is tried again on another connection only if not one byte of it was sent, or the upstream says that it
    /// did not process it; a safe one also if its connection was most likely closed before it came.
    pub async fn send(
        &self,
        target: &Target,
        request: Box<Request<OutboundBody>>,
        now: std::time::Instant,
    ) -> Result<Response<UpstreamBody>, ClientError> {
        self.try_send(target, target.times, request, now).await.map_err(|failed| failed.error)
    }

    /// The same within these times; what became of the request, if there is no answer.
    pub(super) async fn try_send(
        &self,
        target: &Target,
        times: Times,
        mut request: Box<Request<OutboundBody>>,
        now: std::time::Instant,
    ) -> Result<Response<UpstreamBody>, Box<Failed>> {
        if target.version != HttpVersion::Http1 {
            // Large: in a box of its own, so that it does not make every request's future larger.
            match Box::pin(self.http2.send((target, times), request, &self.http1)).await? {
                Sent::Answered(response) => return Ok(response),
                Sent::Unsent(same) => request = same,
            }
        }
        self.http1.send((target, times), request, Instant::from_std(now)).await
    }
}

impl Client {
    /// Whether the next request to this place finds a connection.
    pub(super) fn is_connected(&self, target: &Target, now: std::time::Instant) -> bool {
        let now = Instant::from_std(now);
        match target.version {
            HttpVersion::Http1 => self.http1.has(&target.origin, now),
            HttpVersion::Http2 | HttpVersion::Negotiated => self.http2.has(target, &self.http1, now),
        }
    }

    /// Connects to this place within the limit, unless there is a connection: the next request finds it.
    pub(super) async fn connect(&self, target: &Target, limit: Duration) -> Result<(), ClientError> {
        match target.version {
            HttpVersion::Http1 if self.http1.has(&target.origin, Instant::now()) => Ok(()),
            HttpVersion::Http1 => self.http1.connect(target, limit).await,
            HttpVersion::Http2 | HttpVersion::Negotiated => {
                let times = Times { connect: limit, ..target.times };
                self.http2.connect((target, times), &self.http1).await
            }
        }
    }
}

/// The outcome of an exchange, unless neither the request's body, if it has one, nor the answer moves for so long.
pub(super) async fn within<T>(
    alarm: &mut Alarm,
    mut begun: Instant,
    limit: Duration,
    progress: Option<&Progress>,
    mut exchange: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    loop {
        let sent = || progress.map_or(0, Progress::sent);
        let before = sent();
        match alarm.before(begun + limit, exchange.as_mut()).await {
            Some(outcome) => return Some(outcome),
            None if sent() > before => begun = Instant::now(),
            None => return None,
        }
    }
}

/// Whether it was the request's body that broke off.
pub(super) fn is_of_body(error: &hyper::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<BodyError>)
}

pub(super) fn broken(error: hyper::Error) -> ClientError {
    if is_of_body(&error) {
        return ClientError::RequestBroken;
    }
    if error.is_parse() { ClientError::Malformed(error) } else { ClientError::Broken(error) }
}

/// The place of one more connection, where their number is bounded.
pub(super) async fn slot(target: &Target, deadline: Instant) -> Result<Option<OwnedSemaphorePermit>, ClientError> {
    match &target.terms.slots {
        None => Ok(None),
        Some(slots) => timeout_at(deadline, slots.take()).await.map_err(|_| ClientError::Saturated),
    }
}

/// TLS to the upstream, with these protocols to choose from (ALPN, RFC 7301).
pub(super) async fn secure(
    url: &TargetUrl,
    tls: &ClientTls,
    stream: Socket,
    offered: &[&[u8]],
) -> io::Result<TlsStream<Socket>> {
    let name = ServerName::try_from(url.host.to_string())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let offered = offered.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::clone(&tls.config)).with_alpn(offered).connect(name, stream).await
}
