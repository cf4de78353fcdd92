//! Accepting connections and serving HTTP on them, within deadlines.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
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
    listener::Accepting,
    preface::{Protocol, preface},
    problem::HeadProblem,
    tls::ServerTls,
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port, as text: every record names them.
    pub address: Arc<str>,
    /// Its address alone, for `X-Forwarded-For`.
    pub forwarded_for: HeaderValue,
    /// Its address as such; `None` for a process of this machine, which a Unix socket does not name.
    pub source: Option<IpAddr>,
    /// How it came.
    pub transport: Transport,
    /// The certificate that it has shown in the TLS handshake, and those between it and an authority, in DER. Only what
    /// the listener has verified is here; empty if the other end has shown none.
    pub certificates: Arc<[Box<[u8]>]>,
}

impl Peer {
    fn new(address: SocketAddr, transport: Transport) -> Self {
        // An address holds nothing that a field's value may not hold.
        let forwarded_for = HeaderValue::try_from(address.ip().to_string());
        let forwarded_for = forwarded_for.unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address: address.to_string().into(),
            forwarded_for,
            source: Some(address.ip()),
            transport,
            certificates: Arc::default(),
        }
    }

    /// A process of this machine, which a Unix socket does not name.
    fn local() -> Self {
        Self {
            address: "unix".into(),
            forwarded_for: HeaderValue::from_static("unknown"),
            source: None,
            transport: Transport::Clear,
            certificates: Arc::default(),
        }
    }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Not at all.
    Clear,
    /// By TLS.
    Tls,
}

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
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(30),
            half_closed: Duration::from_secs(10),
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
}

/// Accepts connections until the drain is ordered, and serves HTTP/1.1 and HTTP/2 on them.
///
/// A new TLS identity is for new connections. If it does not admit all clients that the one before did, the connections
/// of that one end in order: what was taken away does not live on in them.
///
/// In the clear, HTTP/2 is taken by prior knowledge; over TLS by ALPN. A Unix socket is always in the clear. Every
/// connection holds its clone of the drain's signal until its last answer is sent.
pub async fn serve<H: Handler>(
    listener: impl Into<Accepting>,
    mut tls: Option<watch::Receiver<ServerTls>>,
    settings: ServerSettings,
    mut drain: DrainSignal,
    handler: H,
) {
    let (listener, room) = (listener.into(), Arc::new(Semaphore::new(settings.connections)));
    let mut identity = tls.as_mut().map(|tls| tls.borrow_and_update().clone());
    // Ordered when what the connections were admitted by is taken away, and when it is dropped: with this loop.
    let (mut admission, mut admitted) = Drain::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.ordered() => return,
            renewed = renewed(tls.as_mut()) => {
                if identity.as_ref().is_some_and(|before| !renewed.admits_all_of(before)) {
                    admission.order();
                    (admission, admitted) = Drain::new();
                }
                identity = Some(renewed);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((accepted, place)) = accepted else { continue };
        let acceptor = identity.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
        let (handler, held, drain) = (handler.clone(), drain.clone(), admitted.clone());
        tokio::spawn(async move {
            match accepted {
                Accepted::Tcp(stream, address) => {
                    connection(stream, address, acceptor, settings, drain, handler).await;
                }
                Accepted::Unix(stream) => in_the_clear(stream, Peer::local(), settings, drain, handler).await,
            }
            drop((place, held));
        });
    }
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

/// A connection that has come.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

async fn accept(listener: &Accepting, room: &Arc<Semaphore>) -> Option<(Accepted, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    let accepted = match listener {
        Accepting::Tcp(listener) => listener.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address)),
        Accepting::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
    };
    match accepted {
        Ok(accepted) => Some((accepted, place)),
        Err(error) => {
            // Most often no file descriptor is left: it gets better when connections end, not by trying faster.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    settings: ServerSettings,
    drain: DrainSignal,
    handler: H,
) {
    // Small answers must not wait for acknowledgements; where that cannot be had, they are slower, not wrong.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return in_the_clear(stream, Peer::new(address, Transport::Clear), settings, drain, handler).await;
    };
    match timeout(settings.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let tls = stream.get_ref().1;
            let shown = tls.peer_certificates().unwrap_or_default();
            let certificates = shown.iter().map(|certificate| Box::from(certificate.as_ref())).collect();
            let peer = Peer { certificates, ..Peer::new(address, Transport::Tls) };
            match tls.alpn_protocol() {
                Some(b"h2") => http2(stream, peer, drain, handler).await,
                Some(_) | None => http1(stream, peer, settings, drain, handler).await,
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, peer = %address, "a TLS handshake failed"),
        Err(_) => tracing::debug!(peer = %address, "a TLS handshake took too long"),
    }
}

async fn in_the_clear<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let speaks = tokio::select! {
        biased;
        () = drain.ordered() => return,
        speaks = timeout(settings.handshake, preface(io)) => speaks,
    };
    match speaks {
        Ok(Some((Protocol::Http1, io))) => http1(io, peer, settings, drain, handler).await,
        Ok(Some((Protocol::Http2, io))) => http2(io, peer, drain, handler).await,
        Ok(None) | Err(_) => {}
    }
}

async fn http1<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let (io, refusal) = Guarded::new(HalfOpen::new(Joined::new(io), settings.half_closed));
    let shared = Arc::new((handler.for_connection(&peer), peer));
    let answering = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let (shared, request) = (Arc::clone(&answering), Box::new(request));
        // Boxed, because it is large and the connection moves what it is given.
        Box::pin(async move { Ok::<_, Infallible>(shared.0.respond(&shared.1, request).await) })
    });
    let mut builder = http1::Builder::new();
    builder.timer(ConnectionTimer::new()).header_read_timeout(settings.head).max_buf_size(HEAD_BYTES).half_close(true);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let (handler, peer) = shared.as_ref();
    let ended = match drain.unless_ordered(connection.as_mut()).await {
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

async fn http2<T, H>(io: T, peer: Peer, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let shared = Arc::new((handler.for_connection(&peer), peer.clone()));
    let answering = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let (shared, request) = (Arc::clone(&answering), Box::new(request));
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
        drain.unless_ordered(work.as_mut()).await
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
