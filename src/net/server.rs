//! Accepting connections and serving HTTP on them, within deadlines.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    deadline::ConnectionTimer,
    drain::{Drain, DrainSignal},
    guard::{Guarded, HEAD_BYTES},
    half_open::HalfOpen,
    joined::Joined,
    listener::{Accepting, AcceptingSocket, Arrival},
    patient::Patient,
    peer::{Peer, Transport},
    preface::{Protocol, preface},
    problem::HeadProblem,
    proxies::Refused,
    proxy_header::Passed,
    socket::Socket,
    target::TargetUrl,
    tls::ServerTls,
};

/// At the end the queue of a listener is empty when nothing has come out of it for so long.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings {
    /// Connections at one time; more wait in the backlog.
    pub connections: usize,
    /// From accept to the first byte, and for the TLS handshake.
    pub handshake: Duration,
    /// For a whole head, and for the pause between two requests.
    pub head: Duration,
    /// For the pause between two writes to a client that has closed its side. Then it is taken to be gone: TCP does not
    /// tell one that has finished asking from one that has closed everything, until something is written to it.
    pub half_closed: Duration,
    /// How long connections without a request are kept at the end, for those that are on their way already.
    pub linger: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(30),
            half_closed: Duration::from_secs(10),
            linger: Duration::from_secs(1),
        }
    }
}

/// Who answers the requests of a listener.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// The handler of one connection with this peer, which may remember what came on it.
    fn for_connection(&self, peer: &Peer) -> Self {
        let _ = peer;
        self.clone()
    }

    /// The answer to one request; there always is one. The request is in a box, because it moves through many hands.
    fn respond(
        &self,
        peer: &Peer,
        request: Box<Request<Incoming>>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Whether the connection must not carry another request. It is asked after each piece of work; of HTTP/1.1, which
    /// says so in an answer itself, it is not.
    fn is_over(&self) -> bool {
        false
    }

    /// Told of bytes that were refused before they were a request. They are answered with 400 already.
    fn malformed(&self, peer: &Peer, problem: HeadProblem);

    /// Told of a connection that has ended before its first request.
    fn refused(&self, refused: Refused) {
        let _ = refused;
    }
}

/// Accepts connections until the drain is ordered, and serves HTTP/1.1 and HTTP/2 on them.
///
/// A new TLS identity is for new connections. If it does not admit all clients that the one before did, the connections
/// of that one end in order: what was taken away does not live on in them.
///
/// In the clear, HTTP/2 is taken by prior knowledge; over TLS by ALPN. Every connection holds its clone of the drain's
/// signal until its last answer is sent.
///
/// Nothing that has come is lost at the end: connections that wait to be accepted are, those without a request have a
/// moment more for it, and their last answer says that it is the last.
pub async fn serve<H: Handler>(
    listener: impl Into<Accepting>,
    mut tls: Option<watch::Receiver<ServerTls>>,
    settings: ServerSettings,
    mut drain: DrainSignal,
    handler: H,
) {
    let (listener, room) = (listener.into(), Arc::new(Semaphore::new(settings.connections)));
    let mut identity = tls.as_mut().map(|tls| tls.borrow_and_update().clone());
    // Ordered when what the connections were admitted by is taken away, and with this loop's end.
    let (mut admission, mut admitted) = Drain::new();
    let arriving = |accepted, identity: &Option<ServerTls>, admitted: &DrainSignal, drain: &DrainSignal| {
        let (stream, source, place) = accepted;
        let acceptor = identity.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
        let (handler, held, drain) = (handler.clone(), drain.clone(), admitted.clone());
        let arrival = listener.arrival.clone();
        tokio::spawn(async move {
            connection((stream, source), (arrival, acceptor), settings, drain, handler).await;
            drop((place, held));
        });
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.ordered() => break,
            renewed = renewed(tls.as_mut()) => {
                if identity.as_ref().is_some_and(|before| !renewed.admits_all_of(before)) {
                    admission.order_at_once();
                    (admission, admitted) = Drain::new();
                }
                identity = Some(renewed);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        if let Some(accepted) = accepted {
            arriving(accepted, &identity, &admitted, &drain);
        }
    }
    // The kernel resets those that wait in a queue which is closed. Another process may accept from it too, and it may
    // never be empty then.
    let until = Instant::now() + settings.linger;
    while Instant::now() < until
        && let Ok(Some(accepted)) = timeout(QUEUE_PAUSE, accept(&listener, &room)).await
    {
        arriving(accepted, &identity, &admitted, &drain);
    }
    admission.order();
}

/// Waits for the next TLS identity; for ever where there is none.
async fn renewed(tls: Option<&mut watch::Receiver<ServerTls>>) -> ServerTls {
    if let Some(tls) = tls
        && tls.changed().await.is_ok()
    {
        return tls.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// A connection that has come, its source if it has one, and its place.
type Accepted = (Socket, Option<SocketAddr>, OwnedSemaphorePermit);

async fn accept(listener: &Accepting, room: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    let accepted = match &listener.socket {
        AcceptingSocket::Tcp(listener) => {
            listener.accept().await.map(|(stream, source)| (Socket::Tcp(stream), Some(source)))
        }
        AcceptingSocket::Unix(listener) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
    };
    match accepted {
        Ok((stream, source)) => Some((stream, source, place)),
        Err(error) => {
            // Most often no file descriptor is left: it gets better when connections end, not by trying faster.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection<H: Handler>(
    (mut stream, source): (Socket, Option<SocketAddr>),
    (arrival, acceptor): (Arrival, Option<TlsAcceptor>),
    settings: ServerSettings,
    mut drain: DrainSignal,
    handler: H,
) {
    let arrived = tokio::select! {
        biased;
        arrived = arrived((&mut stream, source), &arrival, settings) => arrived,
        () = drain.left_for(settings.linger) => return,
    };
    let peer = match arrived {
        Ok(peer) => peer,
        Err(refused) => return handler.refused(refused),
    };
    let Some(acceptor) = acceptor else { return in_the_clear(stream, peer, settings, drain, handler).await };
    let accepted = tokio::select! {
        biased;
        accepted = timeout(settings.handshake, acceptor.accept(stream)) => accepted,
        () = drain.left_for(settings.linger) => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            let tls = stream.get_ref().1;
            let shown = tls.peer_certificates().unwrap_or_default();
            let certificates = shown.iter().map(|certificate| Box::from(certificate.as_ref())).collect();
            let peer = Peer { certificates, transport: Transport::Tls, ..peer };
            match tls.alpn_protocol() {
                Some(b"h2") => http2(stream, peer, settings, drain, handler).await,
                Some(_) | None => http1(stream, peer, settings, drain, handler).await,
            }
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %peer.address, "a TLS handshake failed");
            handler.refused(Refused::TlsHandshake);
        }
        Err(_) => {
            tracing::debug!(peer = %peer.address, "a TLS handshake took too long");
            handler.refused(Refused::SlowTlsHandshake);
        }
    }
}

/// Whose connection it is, and where it was meant to go.
async fn arrived(
    (stream, source): (&mut Socket, Option<SocketAddr>),
    arrival: &Arrival,
    settings: ServerSettings,
) -> Result<Peer, Refused> {
    if let Socket::Tcp(stream) = stream {
        // Small answers must not wait for acknowledgements; where that cannot be had, they are slower, not wrong.
        let _ = stream.set_nodelay(true);
    }
    let passed = match &arrival.proxies {
        None => Passed::Unnamed,
        Some(proxies) => {
            let read = timeout(settings.handshake, proxies.header(source.map(|source| source.ip()), stream)).await;
            read.unwrap_or(Err(Refused::SlowProxyHeader)).inspect_err(|refused| {
                tracing::debug!(reason = refused.name(), proxy = ?source, "a connection was refused");
            })?
        }
    };
    let mut peer = match passed {
        Passed::Client(client) => Peer::at(Some(client)),
        Passed::Unnamed => Peer::at(source),
    };
    if arrival.original_destination {
        let destination = stream.original_destination();
        peer.destination = destination.map(|to| (Arc::new(TargetUrl::of_address(to)), to.ip()));
    }
    Ok(peer)
}

async fn in_the_clear<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let speaks = tokio::select! {
        biased;
        speaks = timeout(settings.handshake, preface(io)) => speaks,
        () = drain.left_for(settings.linger) => return,
    };
    match speaks {
        Ok(Some((Protocol::Http1, io))) => http1(io, peer, settings, drain, handler).await,
        Ok(Some((Protocol::Http2, io))) => http2(io, peer, settings, drain, handler).await,
        Ok(None) | Err(_) => {}
    }
}

async fn http1<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let (io, refusal) = Guarded::new(HalfOpen::new(Joined::new(Patient::new(io)), settings.half_closed));
    let shared = Arc::new((handler.for_connection(&peer), peer, AtomicBool::new(false)));
    let answering = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let (shared, request) = (Arc::clone(&answering), Box::new(request));
        // Boxed, because it is large and the connection moves what it is given.
        Box::pin(async move {
            let (handler, peer, is_leaving) = shared.as_ref();
            let mut response = handler.respond(peer, request).await;
            if is_leaving.load(Ordering::Relaxed) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut builder = http1::Builder::new();
    builder.timer(ConnectionTimer::new()).header_read_timeout(settings.head).max_buf_size(HEAD_BYTES).half_close(true);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let (handler, peer, is_leaving) = shared.as_ref();
    let mut ended = drain.unless_ordered(connection.as_mut()).await;
    if ended.is_none() {
        // An idle client may have sent its next request already: the answer tells it that it is the last one.
        is_leaving.store(true, Ordering::Relaxed);
        ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = drain.left_for(settings.linger) => None,
        };
    }
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => {
            let problem = refusal.get().copied().unwrap_or(HeadProblem::NotHttp);
            handler.malformed(peer, problem);
        }
        Err(error) => tracing::debug!(%error, peer = %peer.address, "a connection ended"),
    }
}

async fn http2<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let shared = Arc::new((handler.for_connection(&peer), peer.clone()));
    let (answering, is_used) = (Arc::clone(&shared), Arc::new(AtomicBool::new(false)));
    let used = Arc::clone(&is_used);
    let service = service_fn(move |request| {
        let (shared, request) = (Arc::clone(&answering), Box::new(request));
        used.store(true, Ordering::Relaxed);
        Box::pin(async move { Ok::<_, Infallible>(shared.0.respond(&shared.1, request).await) })
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let begun = Instant::now();
    let ended = {
        let mut is_told = false;
        let mut work = std::pin::pin!(poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            if is_told || polled.is_ready() || !shared.0.is_over() {
                return polled;
            }
            is_told = true;
            connection.as_mut().graceful_shutdown();
            connection.as_mut().poll(cx)
        }));
        let ended = drain.unless_ordered(work.as_mut()).await;
        if ended.is_some() || is_used.load(Ordering::Relaxed) {
            ended
        } else {
            // The first request may be on its way: one that comes after the client was told to go is tried again by it,
            // but a connection that ends before its first frame has told it nothing.
            let mut left = pin!(drain.left_for(settings.linger));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if is_used.load(Ordering::Relaxed) => Poll::Ready(None),
                Poll::Pending => left.as_mut().poll(cx).map(|()| None),
            })
            .await
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %peer.address, lived = ?begun.elapsed(), "an HTTP/2 connection ended");
    }
}
