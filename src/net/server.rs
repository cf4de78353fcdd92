//! Accepting connections and serving HTTP on them, within deadlines.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    channel::Channel,
    descriptors::Spare,
    drain::{Drain, DrainSignal},
    ending::Ending,
    http1::http1,
    http2::http2,
    listener::{Accepting, AcceptingSocket, Arrival},
    opening::{Opened, opened},
    peer::Peer,
    preface::{Protocol, Replayed},
    problem::HeadProblem,
    proxies::Refused,
    socket::Socket,
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
    /// For a whole head, from its first byte on.
    pub head: Duration,
    /// For the pause between two writes to a client that has closed its side. Then it is taken to be gone: TCP does not
    /// tell one that has finished asking from one that has closed everything, until something is written to it.
    pub half_closed: Duration,
    /// How long nothing of what waits for a client may be taken by it.
    pub unread: Duration,
    /// How long a connection is kept without a request: without a stream, by HTTP/2.
    pub idle: Duration,
    /// How old a connection becomes: then it ends in order, up to a tenth earlier by chance.
    pub age: Duration,
    /// Streams of one connection of HTTP/2 at one time.
    pub streams: u32,
    /// How long connections without a request are kept at the end, for those that are on their way already.
    pub linger: Duration,
    /// What happens when file descriptors run out.
    pub descriptors: Descriptors,
}

/// Which file descriptors the connections of a listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// Those below this one: the rest is for others.
    Below(RawFd),
    /// Any, and some that are held for the time when there are no others: whoever looks after the proxy comes in.
    Spare,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            half_closed: Duration::from_secs(10),
            unread: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            streams: 100,
            linger: Duration::from_secs(1),
            descriptors: Descriptors::Spare,
        }
    }
}

/// Who answers the requests of a listener.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

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

    /// Asked of an answer over HTTP/1.1 while its client takes nothing, so that nothing more of it is taken up: why it has to
    /// end, as soon as it has to.
    fn poll_held(body: &mut Self::Body, cx: &mut Context<'_>) -> Poll<<Self::Body as Body>::Error> {
        let _ = (body, cx);
        Poll::Pending
    }

    /// Whether streams of HTTP/2 may be opened for other protocols (RFC 8441). It is asked once for each connection.
    fn takes_streams(&self) -> bool {
        false
    }

    /// Whether the connection must not carry another request. It is asked after each piece of work; of HTTP/1.1, which
    /// says so in an answer itself, it is not.
    fn is_over(&self) -> bool {
        false
    }

    /// Told of bytes that were refused before they were a request. They are answered already: with 400, or with 431 if the
    /// head is beyond the limits.
    fn malformed(&self, peer: &Peer, problem: HeadProblem);

    /// Told of a client that asks for another server in its tunnel than the tunnel is for.
    fn misdirected(&self, peer: &Peer) {
        let _ = peer;
    }

    /// Told of a connection that has ended before its first request.
    fn refused(&self, refused: Refused) {
        let _ = refused;
    }

    /// Told of a connection, or a stream, that is ended though its client would have gone on.
    fn ended(&self, ending: Ending) {
        let _ = ending;
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
    let listener = listener.into();
    let mut acceptor = Acceptor::new(&listener, settings, &handler);
    let mut identity = tls.as_mut().map(|tls| tls.borrow_and_update().clone());
    // Ordered when what the connections were admitted by is taken away, and with this loop's end.
    let (mut admission, mut admitted) = Drain::new();
    let shared = Arc::new(settings);
    let arriving = |accepted, identity: &Option<ServerTls>, admitted: &DrainSignal, drain: &DrainSignal| {
        let (stream, source, place) = accepted;
        let identity = identity.clone();
        let (handler, held, drain) = (handler.clone(), drain.clone(), admitted.clone());
        let arrival = listener.arrival.clone();
        let serving = connection((stream, source), (arrival, identity), Arc::clone(&shared), drain, handler);
        tokio::spawn(async move {
            serving.await;
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
            accepted = acceptor.next() => accepted,
        };
        if let Some(accepted) = accepted {
            arriving(accepted, &identity, &admitted, &drain);
        }
    }
    // The kernel resets those that wait in a queue which is closed. Another process may accept from it too, and it may
    // never be empty then.
    let until = Instant::now() + settings.linger;
    while Instant::now() < until
        && let Ok(Some(accepted)) = timeout(QUEUE_PAUSE, acceptor.next()).await
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

/// How often it is logged that connections cannot be accepted.
const LOGGED: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be accepted. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Takes connections from a socket. It is in no hurry while that fails.
struct Acceptor<'a, H> {
    listener: &'a Accepting,
    room: Arc<Semaphore>,
    handler: &'a H,
    descriptors: Descriptors,
    spare: Spare,
    pause: Duration,
    // When it was logged last, and what was not logged since.
    logged: Option<Instant>,
    failures: u64,
}

impl<'a, H: Handler> Acceptor<'a, H> {
    fn new(listener: &'a Accepting, settings: ServerSettings, handler: &'a H) -> Self {
        let room = Arc::new(Semaphore::new(settings.connections));
        let (descriptors, spare) = (settings.descriptors, Spare::default());
        Self { listener, room, handler, descriptors, spare, pause: FIRST_PAUSE, logged: None, failures: 0 }
    }

    async fn next(&mut self) -> Option<Accepted> {
        let place = Arc::clone(&self.room).acquire_owned().await.ok()?;
        if self.descriptors == Descriptors::Spare {
            self.spare.hold();
        }
        let accepted = match &self.listener.socket {
            AcceptingSocket::Tcp(listener) => {
                listener.accept().await.map(|(stream, source)| (Socket::Tcp(stream), Some(source)))
            }
            AcceptingSocket::Unix(listener) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
        };
        match accepted {
            Ok((stream, source)) if self.is_free(&stream) => {
                self.pause = FIRST_PAUSE;
                Some((stream, source, place))
            }
            Ok((stream, _)) => {
                drop(stream);
                self.handler.refused(Refused::NoDescriptors);
                self.failed(&"hardly any file descriptor is left").await
            }
            Err(error) if is_exhausted(&error) && self.spare.let_go() => None,
            Err(error) => self.failed(&error).await,
        }
    }

    fn is_free(&self, stream: &Socket) -> bool {
        match self.descriptors {
            Descriptors::Below(first) => stream.as_raw_fd() < first,
            Descriptors::Spare => true,
        }
    }

    /// It gets better when connections end, not by trying faster.
    async fn failed(&mut self, problem: &(dyn std::fmt::Display + Sync)) -> Option<Accepted> {
        self.failures += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOGGED) {
            tracing::warn!(%problem, failures = self.failures, "connections cannot be accepted");
            (self.logged, self.failures) = (Some(Instant::now()), 0);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        None
    }
}

/// Whether this process, or the machine, has no file descriptor left.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    error.raw_os_error().is_some_and(|error| exhausted.iter().any(|exhausted| exhausted.raw_os_error() == error))
}

/// Serves a connection from its beginning to its end.
fn connection<H: Handler>(
    accepted: (Socket, Option<SocketAddr>),
    by: (Arrival, Option<ServerTls>),
    settings: Arc<ServerSettings>,
    mut drain: DrainSignal,
    handler: H,
) -> impl Future<Output = ()> + Send {
    // In a box of its own: an idle connection does not keep the room that its beginning took.
    let opening = Box::pin(async move {
        let Opened { speaks, io, peer, place } = opened(accepted, by, *settings, &mut drain, &handler).await?;
        Some((speak(speaks, io, peer, settings, drain, &handler), place))
    });
    async move {
        if let Some((speaking, place)) = opening.await {
            speaking.await;
            drop(place);
        }
    }
}

/// Serves what the connection speaks, until it ends or has to.
///
/// In boxes of their own: a connection does not keep room for the other protocol.
pub(super) fn speak<H: Handler>(
    protocol: Protocol,
    io: Replayed<Channel>,
    peer: Peer,
    settings: Arc<ServerSettings>,
    drain: DrainSignal,
    handler: &H,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match protocol {
        Protocol::Http1 => Box::pin(http1(io, peer, settings, drain, handler)),
        Protocol::Http2 => Box::pin(http2(io, peer, *settings, drain, handler.clone())),
    }
}
