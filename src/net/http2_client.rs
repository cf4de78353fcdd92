//! Requests to upstreams by HTTP/2: few connections, many streams.

use std::{
    collections::HashMap,
    error::Error,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;
use futures_util::{
    FutureExt, TryFutureExt,
    future::{Shared, WeakShared},
};
use http::{HeaderValue, Request, Response, Uri, header, uri};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    body::{OutboundBody, UpstreamBody},
    client::{ClientError, Failed, Fate, IDLE_TIME, ORIGINS, Origin, is_of_body, secure, slot, within},
    deadline::ConnectionTimer,
    http1_client::{Connection, HTTP1, Http1Connections},
    http2_connection::{Multiplexed, Sender, Stream},
    pause::jittered,
    retries::repeated,
    target::{HttpVersion, Target, Times},
    terms::Terms,
};

/// In ALPN (RFC 7301).
const HTTP2: &[u8] = b"h2";
/// For so long an upstream that chose HTTP/1.1 is not asked again.
const HTTP1_TIME: Duration = Duration::from_secs(300);
/// How often a request is sent that was surely not processed before.
const ATTEMPTS: usize = 3;

/// The client of a request can take trailers (`TE: trailers`). It is an extension of that request.
#[derive(Debug, Clone, Copy)]
pub struct TakesTrailers;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was answered.
    Answered(Response<UpstreamBody>),
    /// Nothing: the upstream speaks HTTP/1.1.
    Unsent(Box<Request<OutboundBody>>),
}

/// The HTTP/2 connections of one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Http2Connections {
    origins: Arc<Mutex<HashMap<Key, Known, RandomState>>>,
}

type Key = (Origin, HttpVersion);
type Dialling = Pin<Box<dyn Future<Output = Result<(), Undialled>> + Send>>;

/// What is known of an origin.
#[derive(Debug, Default)]
struct Known {
    connections: Vec<Shareable>,
    // The one who connects, while somebody waits for it.
    dialling: Option<WeakShared<Dialling>>,
    http1_since: Option<Instant>,
}

/// A connection, and how long it is of use.
#[derive(Debug)]
struct Shareable {
    connection: Multiplexed,
    used: Instant,
    terms: Terms,
    // It takes no requests after that.
    until: Instant,
}

/// Why there is no connection, for all who waited for it.
#[derive(Debug, Clone)]
enum Undialled {
    Slow,
    Saturated,
    Failed(io::ErrorKind, Arc<str>),
}

/// The way of the next request.
enum Way {
    Stream(Sender, Stream),
    Http1,
    Dial(Shared<Dialling>),
}

impl Http2Connections {
    /// Sends the request and waits for the head of the answer.
    ///
    /// It is sent again only if it was surely not processed: it never left, or the upstream said so (`REFUSED_STREAM`, or
    /// a GOAWAY for streams before it; RFC 9113, section 8.7). One that is safe also if its connection ended and nobody knows.
    pub(super) async fn send(
        &self,
        (target, times): (&Target, Times),
        origin: &Origin,
        mut request: Box<Request<OutboundBody>>,
        http1: &Http1Connections,
    ) -> Result<Sent, Box<Failed>> {
        let mut attempt = 1;
        loop {
            let (mut sender, stream) = match self.stream((target, times), origin, http1).await {
                Ok(Some(way)) => way,
                Ok(None) => return Ok(Sent::Unsent(request)),
                Err(error) => return Err(Failed::new(error, Fate::Unsent(request))),
            };
            let (again, is_safe) = (repeated(&mut request), request.method().is_safe());
            let progress = request.body().progress();
            let request_in_http2 = in_http2(*request, target).map_err(|error| Failed::new(error, Fate::Over))?;
            let asked = pin!(sender.try_send_request(request_in_http2).map_err(Box::new));
            let timer = ConnectionTimer::new();
            let mut failed = match within(&timer, Instant::now(), times.response, &progress, asked).await {
                Some(Ok(response)) => {
                    return Ok(Sent::Answered(response.map(|incoming| UpstreamBody::of_stream(incoming, stream))));
                }
                Some(Err(failed)) => failed,
                None => return Err(Failed::new(ClientError::ResponseTimeout, Fate::Over)),
            };
            let unsent = failed.take_message().map(|unsent| Box::new(in_http1(unsent)));
            let is_refused =
                unsent.is_some() || is_unprocessed(failed.error()) || is_safe && is_forgotten(failed.error());
            match unsent.or(again).filter(|_| is_refused) {
                Some(same) if attempt < ATTEMPTS => request = same,
                Some(same) => return Err(Failed::new(broken(failed.into_error()), Fate::Unsent(same))),
                None => {
                    let error = failed.into_error();
                    let fate = fate(&error);
                    return Err(Failed::new(broken(error), fate));
                }
            }
            progress.begin_again();
            attempt += 1;
        }
    }

    /// A stream on a connection that has room, or on a new one; none if the upstream speaks HTTP/1.1.
    async fn stream(
        &self,
        (target, times): (&Target, Times),
        origin: &Origin,
        http1: &Http1Connections,
    ) -> Result<Option<(Sender, Stream)>, ClientError> {
        let key = (origin.clone(), target.version);
        loop {
            let dial = match self.way(&key, (target, times), http1) {
                Way::Stream(sender, stream) => return Ok(Some((sender, stream))),
                Way::Http1 => return Ok(None),
                Way::Dial(dial) => dial,
            };
            dial.await.map_err(|undialled| match undialled {
                Undialled::Slow => ClientError::ConnectTimeout,
                Undialled::Saturated => ClientError::Saturated,
                Undialled::Failed(kind, why) => ClientError::Connect(io::Error::new(kind, why.to_string())),
            })?;
        }
    }

    fn way(&self, key: &Key, (target, times): (&Target, Times), http1: &Http1Connections) -> Way {
        let now = Instant::now();
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() > ORIGINS {
            // Reloads leave origins behind that nobody asks for any more.
            origins.retain(|_, known| known.is_used(now));
        }
        let known = origins.entry(key.clone()).or_default();
        if let Some((sender, stream)) = known.stream(now) {
            return Way::Stream(sender, stream);
        }
        if known.http1_since.is_some_and(|since| now.saturating_duration_since(since) < HTTP1_TIME) {
            return Way::Http1;
        }
        // Many may come while there is no connection: one of them connects.
        if let Some(dial) = known.dialling.as_ref().and_then(WeakShared::upgrade) {
            return Way::Dial(dial);
        }
        let (own, key, target, http1) = (self.clone(), key.clone(), target.clone(), http1.clone());
        let dial: Dialling = Box::pin(async move { own.dial(key, (&target, times), &http1).await });
        let dial = dial.shared();
        known.dialling = dial.downgrade();
        Way::Dial(dial)
    }

    /// Connects, and notes what came of it.
    async fn dial(
        &self,
        key: Key,
        (target, times): (&Target, Times),
        http1: &Http1Connections,
    ) -> Result<(), Undialled> {
        let deadline = Instant::now() + times.connect;
        let connected = match slot(target, deadline).await {
            Err(_) => Err(Undialled::Saturated),
            Ok(slot) => match timeout_at(deadline, connect(target, slot)).await {
                Ok(connected) => connected.map_err(|error| Undialled::Failed(error.kind(), error.to_string().into())),
                Err(_) => Err(Undialled::Slow),
            },
        };
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let known = origins.entry(key.clone()).or_default();
        known.dialling = None;
        let now = Instant::now();
        match connected? {
            Connected::Http2(connection) => {
                known.http1_since = None;
                let until = now + jittered(target.terms.age);
                known.connections.push(Shareable { connection, used: now, terms: target.terms.clone(), until });
            }
            Connected::Http1(connection) => {
                known.http1_since = Some(now);
                http1.take_in(key.0, connection);
            }
        }
        Ok(())
    }
}

impl Known {
    /// A place on the oldest connection that has one: so those that are not needed any more empty.
    fn stream(&mut self, now: Instant) -> Option<(Sender, Stream)> {
        self.connections.retain(|shareable| shareable.is_kept(now));
        self.connections.iter_mut().find_map(|shareable| {
            let stream = shareable.connection.stream()?;
            shareable.used = now;
            Some(stream)
        })
    }

    fn is_used(&self, now: Instant) -> bool {
        self.dialling.as_ref().is_some_and(|dial| dial.upgrade().is_some())
            || self.connections.iter().any(|shareable| shareable.is_kept(now))
    }
}

impl Shareable {
    /// Whether it takes more requests. Those that are on their way go on without it being kept.
    fn is_kept(&self, now: Instant) -> bool {
        let is_old = self.connection.is_idle() && now.saturating_duration_since(self.used) > IDLE_TIME;
        !self.connection.is_closed() && !is_old && now < self.until && !self.terms.gone.is_set()
    }
}

/// A new connection, by what the upstream speaks.
enum Connected {
    Http2(Multiplexed),
    Http1(Connection),
}

async fn connect(target: &Target, slot: Option<OwnedSemaphorePermit>) -> io::Result<Connected> {
    let stream = target.url.connect().await?;
    let Some(tls) = &target.tls else {
        return Multiplexed::handshake(TokioIo::new(stream), slot).await.map(Connected::Http2);
    };
    let offered: &[&[u8]] = match target.version {
        HttpVersion::Negotiated => &[HTTP2, HTTP1],
        HttpVersion::Http2 => &[HTTP2],
        HttpVersion::Http1 => &[HTTP1],
    };
    let stream = secure(&target.url, tls, stream, offered).await?;
    let chosen = stream.get_ref().1.alpn_protocol();
    if chosen == Some(HTTP2) {
        return Multiplexed::handshake(TokioIo::new(stream), slot).await.map(Connected::Http2);
    }
    match target.version {
        HttpVersion::Http2 => Err(io::Error::other("it does not speak HTTP/2")),
        HttpVersion::Negotiated | HttpVersion::Http1 => {
            let connection = Connection::over(stream, target, slot).await;
            connection.map(Connected::Http1).map_err(io::Error::other)
        }
    }
}

/// The request with the authority in its target (RFC 9113, section 8.3.1).
fn in_http2(request: Request<OutboundBody>, target: &Target) -> Result<Request<OutboundBody>, ClientError> {
    let (mut parts, body) = request.into_parts();
    let invalid = |error: http::Error| ClientError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error));
    let host = parts.headers.remove(header::HOST).unwrap_or_else(|| target.url.authority().clone());
    let mut target_parts = uri::Parts::from(std::mem::take(&mut parts.uri));
    target_parts.scheme = Some(if target.url.is_tls() { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    target_parts.authority = Some(uri::Authority::try_from(host.as_bytes()).map_err(|error| invalid(error.into()))?);
    parts.uri = Uri::from_parts(target_parts).map_err(|error| invalid(error.into()))?;
    parts.version = http::Version::HTTP_2;
    if parts.extensions.get::<TakesTrailers>().is_some() {
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(Request::from_parts(parts, body))
}

/// The request as it was before [`in_http2`].
fn in_http1(request: Request<OutboundBody>) -> Request<OutboundBody> {
    let (mut parts, body) = request.into_parts();
    let mut target_parts = uri::Parts::from(std::mem::take(&mut parts.uri));
    target_parts.scheme = None;
    if let Some(host) = target_parts.authority.take().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        parts.headers.insert(header::HOST, host);
    }
    parts.uri = Uri::from_parts(target_parts).unwrap_or_default();
    parts.version = http::Version::HTTP_11;
    parts.headers.remove(header::TE);
    Request::from_parts(parts, body)
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

/// Whether the upstream said that it did not process the request.
fn is_unprocessed(error: &hyper::Error) -> bool {
    // Only streams after the last one of a GOAWAY fail with it: those before it are still answered.
    cause(error).is_some_and(|cause| {
        cause.is_remote()
            && (cause.is_go_away() || cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether its connection ended while it waited for a stream there. hyper does not give it back then, and does not say that it
/// was not sent, so only what is safe is sent again by that (RFC 9110, section 9.2.1).
fn is_forgotten(error: &hyper::Error) -> bool {
    error.is_user() && !is_of_body(error)
}

/// What the upstream may know of a request that it did not refuse: it may have answered, and it may be that the connection
/// broke before.
fn fate(error: &hyper::Error) -> Fate {
    let is_broken = cause(error).is_some_and(|cause| cause.is_io() || cause.is_go_away() && !cause.is_library());
    if is_broken { Fate::Unanswered } else { Fate::Over }
}

fn broken(error: hyper::Error) -> ClientError {
    match cause(&error) {
        // It is reset from here only if its body breaks off.
        Some(cause) if cause.is_reset() && !cause.is_remote() && !cause.is_library() => ClientError::RequestBroken,
        Some(cause) if cause.is_library() => ClientError::Malformed(error),
        Some(_) | None if is_of_body(&error) => ClientError::RequestBroken,
        Some(_) | None => ClientError::Broken(error),
    }
}
