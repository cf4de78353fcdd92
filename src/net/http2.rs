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
use tokio::time::{Instant, timeout};

use super::{
    body::{OutboundBody, UpstreamBody},
    client::{ClientError, Http1Connections, IDLE_TIME, ORIGINS, Origin, secure, within},
    deadline::ConnectionTimer,
    http2_connection::{Multiplexed, Sender, Stream},
    target::{HttpVersion, Target},
};

/// In ALPN (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
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
    connections: Vec<(Multiplexed, Instant)>,
    // The one who connects, while somebody waits for it.
    dialling: Option<WeakShared<Dialling>>,
    http1_since: Option<Instant>,
}

/// Why there is no connection, for all who waited for it.
#[derive(Debug, Clone)]
enum Undialled {
    Slow,
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
    /// a GOAWAY for streams before it; RFC 9113, section 8.7).
    pub(super) async fn send(
        &self,
        target: &Target,
        origin: &Origin,
        mut request: Box<Request<OutboundBody>>,
        http1: &Http1Connections,
    ) -> Result<Sent, ClientError> {
        let mut attempt = 1;
        loop {
            let Some((mut sender, stream)) = self.stream(target, origin, http1).await? else {
                return Ok(Sent::Unsent(request));
            };
            let again = repeated(&request);
            let progress = request.body().progress();
            let asked = pin!(sender.try_send_request(in_http2(*request, target)?).map_err(Box::new));
            let timer = ConnectionTimer::new();
            let answer = within(&timer, Instant::now(), target.response_timeout, &progress, asked).await;
            let mut failed = match answer.ok_or(ClientError::ResponseTimeout)? {
                Ok(response) => {
                    return Ok(Sent::Answered(response.map(|incoming| UpstreamBody::of_stream(incoming, stream))));
                }
                Err(failed) => failed,
            };
            let unsent = failed.take_message().map(|unsent| Box::new(in_http1(unsent)));
            let is_refused = unsent.is_some() || is_unprocessed(failed.error());
            match unsent.or(again).filter(|_| is_refused && attempt < ATTEMPTS) {
                Some(same) => request = same,
                None => return Err(broken(failed.into_error())),
            }
            progress.begin_again();
            attempt += 1;
        }
    }

    /// A stream on a connection that has room, or on a new one; none if the upstream speaks HTTP/1.1.
    async fn stream(
        &self,
        target: &Target,
        origin: &Origin,
        http1: &Http1Connections,
    ) -> Result<Option<(Sender, Stream)>, ClientError> {
        let key = (origin.clone(), target.version);
        loop {
            let dial = match self.way(&key, target, http1) {
                Way::Stream(sender, stream) => return Ok(Some((sender, stream))),
                Way::Http1 => return Ok(None),
                Way::Dial(dial) => dial,
            };
            dial.await.map_err(|undialled| match undialled {
                Undialled::Slow => ClientError::ConnectTimeout,
                Undialled::Failed(kind, why) => ClientError::Connect(io::Error::new(kind, why.to_string())),
            })?;
        }
    }

    fn way(&self, key: &Key, target: &Target, http1: &Http1Connections) -> Way {
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
        let dial: Dialling = Box::pin(async move { own.dial(key, &target, &http1).await });
        let dial = dial.shared();
        known.dialling = dial.downgrade();
        Way::Dial(dial)
    }

    /// Connects, and notes what came of it.
    async fn dial(&self, key: Key, target: &Target, http1: &Http1Connections) -> Result<(), Undialled> {
        let connected = match timeout(target.connect_timeout, connect(target)).await {
            Ok(connected) => connected.map_err(|error| Undialled::Failed(error.kind(), error.to_string().into())),
            Err(_) => Err(Undialled::Slow),
        };
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let known = origins.entry(key.clone()).or_default();
        known.dialling = None;
        let now = Instant::now();
        match connected? {
            Connected::Http2(connection) => {
                known.http1_since = None;
                known.connections.push((connection, now));
            }
            Connected::Http1(sender) => {
                known.http1_since = Some(now);
                http1.take_in(key.0, sender);
            }
        }
        Ok(())
    }
}

impl Known {
    /// A place on the oldest connection that has one: so those that are not needed any more empty.
    fn stream(&mut self, now: Instant) -> Option<(Sender, Stream)> {
        self.connections.retain(|connection| is_kept(connection, now));
        self.connections.iter_mut().find_map(|(connection, used)| {
            let stream = connection.stream()?;
            *used = now;
            Some(stream)
        })
    }

    fn is_used(&self, now: Instant) -> bool {
        self.dialling.as_ref().is_some_and(|dial| dial.upgrade().is_some())
            || self.connections.iter().any(|connection| is_kept(connection, now))
    }
}

fn is_kept((connection, used): &(Multiplexed, Instant), now: Instant) -> bool {
    let is_old = connection.is_idle() && now.saturating_duration_since(*used) > IDLE_TIME;
    !connection.is_closed() && !is_old
}

/// A new connection, by what the upstream speaks.
enum Connected {
    Http2(Multiplexed),
    Http1(super::client::Sender),
}

async fn connect(target: &Target) -> io::Result<Connected> {
    let stream = target.url.connect().await?;
    let Some(tls) = &target.tls else {
        return Multiplexed::handshake(TokioIo::new(stream)).await.map(Connected::Http2);
    };
    let offered: &[&[u8]] = match target.version {
        HttpVersion::Negotiated => &[HTTP2, HTTP1],
        HttpVersion::Http2 => &[HTTP2],
        HttpVersion::Http1 => &[HTTP1],
    };
    let stream = secure(&target.url, tls, stream, offered).await?;
    let chosen = stream.get_ref().1.alpn_protocol();
    if chosen == Some(HTTP2) {
        return Multiplexed::handshake(TokioIo::new(stream)).await.map(Connected::Http2);
    }
    match target.version {
        HttpVersion::Http2 => Err(io::Error::other("it does not speak HTTP/2")),
        HttpVersion::Negotiated | HttpVersion::Http1 => {
            let sender = super::client::http1_handshake(stream).await;
            sender.map(Connected::Http1).map_err(io::Error::other)
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

/// The same request once more, if its body is all there.
fn repeated(request: &Request<OutboundBody>) -> Option<Box<Request<OutboundBody>>> {
    let body = request.body().repeated()?;
    let mut same = Request::new(body);
    *same.method_mut() = request.method().clone();
    *same.uri_mut() = request.uri().clone();
    *same.version_mut() = request.version();
    *same.headers_mut() = request.headers().clone();
    *same.extensions_mut() = request.extensions().clone();
    Some(Box::new(same))
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

fn broken(error: hyper::Error) -> ClientError {
    match cause(&error) {
        // It is reset from here only if its body breaks off.
        Some(cause) if cause.is_reset() && !cause.is_remote() && !cause.is_library() => ClientError::RequestBroken,
        Some(cause) if cause.is_library() => ClientError::Malformed(error),
        Some(_) | None if error.is_user() => ClientError::RequestBroken,
        Some(_) | None => ClientError::Broken(error),
    }
}
