//! Requests to upstreams by HTTP/2: few connections, many streams.

use std::{
    error::Error,
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

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
    client::{ClientError, Failed, Fate, is_of_body, secure, slot, within},
    deadline::Alarm,
    http1_client::{HTTP1, Http1Connections, IDLE_REQUESTED},
    http1_connection::Connection,
    http2_connection::{Multiplexed, Sender, Stream},
    http2_origins::{Dialling, Key, Origins, Shareable, Undialled, sweep},
    pause::jittered,
    retries::repeated,
    target::{HttpVersion, Origin, Target, Times},
};

/// In ALPN (RFC 7301).
const HTTP2: &[u8] = b"h2";
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
    origins: Arc<Mutex<Origins>>,
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
        mut request: Box<Request<OutboundBody>>,
        http1: &Http1Connections,
    ) -> Result<Sent, Box<Failed>> {
        let (mut attempt, mut begun) = (1, None);
        loop {
            let (mut sender, stream) = match self.stream((target, times), http1).await {
                Ok(Some(way)) => way,
                Ok(None) => return Ok(Sent::Unsent(request)),
                Err(error) => return Err(Failed::new(error, Fate::Unsent(request))),
            };
            let (again, is_safe) = (repeated(&mut request), request.method().is_safe());
            let progress = request.body().progress();
            let request_in_http2 = in_http2(*request, target).map_err(|error| Failed::new(error, Fate::Over))?;
            let asked = pin!(sender.try_send_request(request_in_http2).map_err(Box::new));
            let mut alarm = Alarm::new();
            // All attempts to be answered have the time of one.
            let begun = *begun.get_or_insert_with(Instant::now);
            let mut failed = match within(&mut alarm, begun, times.response, Some(&progress), asked).await {
                Some(Ok(response)) => {
                    return Ok(Sent::Answered(response.map(|incoming| UpstreamBody::of_stream(incoming, stream))));
                }
                Some(Err(failed)) => failed,
                None => return Err(Failed::new(ClientError::ResponseTimeout, Fate::Over)),
            };
            let unsent = failed.take_message().map(|unsent| Box::new(in_http1(unsent)));
            let was_sent = unsent.is_none();
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
            if was_sent {
                progress.attempted();
            }
            attempt += 1;
        }
    }

    /// Connects within the limit, for the next request to the origin.
    pub(super) async fn connect(
        &self,
        (target, times): (&Target, Times),
        http1: &Http1Connections,
    ) -> Result<(), ClientError> {
        if self.stream((target, times), http1).await?.is_some() || http1.has(&target.origin, Instant::now()) {
            return Ok(());
        }
        http1.connect(target, times.connect).await
    }

    /// Whether the next request to the origin finds a connection.
    pub(super) fn has(&self, target: &Target, http1: &Http1Connections, now: Instant) -> bool {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = origins.known.get(&(target.origin.clone(), target.version)) else { return false };
        let is_free = |shareable: &Shareable| shareable.is_kept(now) && shareable.connection.has_room();
        known.connections.iter().any(is_free) || known.speaks_http1(now) && http1.has(&target.origin, now)
    }

    /// A stream on a connection that has room, or on a new one; none if the upstream speaks HTTP/1.1. Others may take what a
    /// new connection has room for: who gets nothing of any within the time of one has found the upstream full.
    async fn stream(
        &self,
        (target, times): (&Target, Times),
        http1: &Http1Connections,
    ) -> Result<Option<(Sender, Stream)>, ClientError> {
        let key = (target.origin.clone(), target.version);
        let deadline = Instant::now() + times.connect;
        loop {
            let dial = match self.way(&key, (target, times), http1) {
                Way::Stream(sender, stream) => return Ok(Some((sender, stream))),
                Way::Http1 => return Ok(None),
                Way::Dial(_) if Instant::now() >= deadline => return Err(ClientError::Saturated),
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
        if !origins.is_swept {
            origins.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.origins)));
        }
        let known = origins.known.entry(key.clone()).or_default();
        if let Some((sender, stream)) = known.stream(now) {
            return Way::Stream(sender, stream);
        }
        if known.speaks_http1(now) {
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
        let failed = |error: &io::Error| Undialled::Failed(error.kind(), error.to_string().into());
        let connected = match slot(target, deadline).await {
            Err(_) => Err(Undialled::Saturated),
            Ok(slot) => match timeout_at(deadline, connect(target, slot)).await {
                Ok(connected) => connected.map_err(|error| failed(&error)),
                Err(_) => Err(Undialled::Slow),
            },
        };
        let connected = match connected {
            Ok(Connected::Http1(connection)) => {
                let taken_in = http1.take_in(connection).await;
                taken_in.map(|()| None).map_err(|error| failed(&io::Error::other(error)))
            }
            Ok(Connected::Http2(connection)) => Ok(Some(connection)),
            Err(undialled) => Err(undialled),
        };
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if key.0.is_requested() {
            origins.keep_at_most(IDLE_REQUESTED - 1);
        }
        let known = origins.known.entry(key).or_default();
        known.dialling = None;
        let now = Instant::now();
        match connected? {
            Some(connection) => {
                known.http1_since = None;
                let until = now + jittered(target.terms.age);
                known.connections.push(Shareable { connection, used: now, terms: target.terms.clone(), until });
            }
            None => known.http1_since = Some(now),
        }
        Ok(())
    }
}

/// A new connection, by what the upstream speaks.
enum Connected {
    Http2(Multiplexed),
    Http1(Connection),
}

async fn connect(target: &Target, slot: Option<OwnedSemaphorePermit>) -> io::Result<Connected> {
    let stream = target.connect().await?;
    let Origin { url, tls } = &target.origin;
    let Some(tls) = tls else {
        return Multiplexed::handshake(TokioIo::new(stream), slot).await.map(Connected::Http2);
    };
    let offered: &[&[u8]] = match target.version {
        HttpVersion::Negotiated => &[HTTP2, HTTP1],
        HttpVersion::Http2 => &[HTTP2],
        HttpVersion::Http1 => &[HTTP1],
    };
    let stream = secure(url, tls, stream, offered).await?;
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
    let host = parts.headers.remove(header::HOST).unwrap_or_else(|| target.origin.url.authority().clone());
    let mut target_parts = uri::Parts::from(std::mem::take(&mut parts.uri));
    target_parts.scheme = Some(if target.origin.url.is_tls() { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
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

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::{server, service::service_fn};
    use hyper_util::rt::TokioExecutor;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::{Reach, TargetUrl, client::IDLE_TIME};

    /// Answers everybody, and counts the connections that are open.
    async fn serve(listener: TcpListener, open: Arc<AtomicUsize>) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            open.fetch_add(1, Ordering::Relaxed);
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                let answer = async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()));
                let builder = server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn until_open(open: &AtomicUsize, count: usize) {
        let waiting = async {
            while open.load(Ordering::Relaxed) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert!(waited.is_ok(), "{} and not {count} are open", open.load(Ordering::Relaxed));
    }

    /// Takes one stream on each connection, and is slow to accept it.
    async fn serve_one_each(listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            tokio::spawn(async move {
                let answer = async |_| {
                    std::future::pending::<()>().await;
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                };
                let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(1);
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    }

    #[tokio::test]
    async fn who_finds_no_room_on_any_connection_does_not_wait_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: TargetUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(serve_one_each(listener));
        let (connections, http1) = (Http2Connections::default(), Http1Connections::default());
        let times = Times { connect: Duration::from_millis(1500), response: Duration::from_millis(100) };
        let target = Target { version: HttpVersion::Http2, ..Target::new(Arc::new(url), None, times) };
        // What has a stream keeps it.
        let asked = (0..20).map(async |_| connections.stream((&target, times), &http1).await);
        let found = futures_util::future::join_all(asked).await;
        let full = found.iter().filter(|found| matches!(found, Err(ClientError::Saturated))).count();
        // One connection after the other, each with room for one of them.
        assert!((10..20).contains(&full), "{full} found it full");
    }

    #[tokio::test]
    async fn to_hosts_that_clients_choose_so_many_connections_rest_and_hosts_are_forgotten() {
        let (listener, open) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::<AtomicUsize>::default());
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, Arc::clone(&open)));
        let (connections, http1) = (Http2Connections::default(), Http1Connections::default());
        let times = Times { connect: Duration::from_secs(10), response: Duration::from_secs(10) };
        for number in 0..IDLE_REQUESTED + 20 {
            let url: TargetUrl = format!("http://h{number}.localhost:{port}").parse().unwrap();
            let url = url.within(Reach::Within(Arc::from(["127.0.0.0/8".parse().unwrap()])));
            let target = Target { version: HttpVersion::Http2, ..Target::new(Arc::new(url), None, times) };
            let request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
            let sent = connections.send((&target, times), request, &http1).await.unwrap();
            let Sent::Answered(answer) = sent else { panic!("{sent:?}") };
            answer.into_body().collect().await.unwrap();
        }
        until_open(&open, IDLE_REQUESTED).await;
        let known = |later: Duration| {
            let mut origins = connections.origins.lock().unwrap();
            origins.sweep(Instant::now() + later);
            origins.known.len()
        };
        assert_eq!(known(Duration::ZERO), IDLE_REQUESTED, "nothing is known of a host without a connection");
        assert_eq!(known(IDLE_TIME + Duration::from_secs(1)), 0);
        until_open(&open, 0).await;
    }
}
