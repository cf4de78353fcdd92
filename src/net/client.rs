//! Connections to upstreams, kept alive and reused after a complete exchange only.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use foldhash::fast::RandomState;
use futures_util::TryFutureExt;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    body::{OutboundBody, Progress, UpstreamBody},
    deadline::ConnectionTimer,
    heard::{Heard, Listening},
    joined::Joined,
    patient::Patient,
    pause::jittered,
    target::{Target, TargetUrl, Times},
    terms::{Slots, Terms, WANTED},
    tls::ClientTls,
};

/// At most this many idle connections to one upstream are kept by one worker.
const IDLE_CONNECTIONS: usize = 128;
/// An idle connection older than this is not used again.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How often connections are closed that are of no more use.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest head of an answer.
const HEAD_BYTES: usize = 64 * 1024;

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

type Sender = http1::SendRequest<OutboundBody>;

#[derive(Debug)]
struct Connection {
    sender: Sender,
    timer: ConnectionTimer,
    // In a box, because it moves through many hands.
    life: Box<Life>,
}

#[derive(Debug)]
struct Life {
    heard: Heard,
    terms: Terms,
    // It takes no requests after that.
    until: Instant,
}

impl Connection {
    fn is_of_use(&self, now: Instant) -> bool {
        now < self.life.until && !self.life.terms.gone.is_set()
    }

    fn is_in_the_way(&self) -> bool {
        self.life.terms.slots.as_ref().is_some_and(Slots::are_wanted)
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// The roots are part of the key: a connection that was checked against other roots is not reused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    url: Arc<TargetUrl>,
    tls: Option<ClientTls>,
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Origins that differ in their roots alone are rare, and are told apart by `Eq`.
        state.write_u64(self.url.hash);
    }
}

type Pool = Arc<Mutex<Resting>>;

#[derive(Debug, Default)]
struct Resting {
    origins: HashMap<Origin, Vec<Idle>, RandomState>,
    // Somebody closes those that are of no more use.
    is_swept: bool,
}

/// A connection on loan: it goes back once its exchange is complete, or is closed.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Connection,
    origin: Origin,
    pool: Pool,
}

impl Lease {
    /// Returns the connection. It is lent again only when hyper says that the exchange is over on both sides.
    pub(super) fn give_back(self) {
        let now = Instant::now();
        let Self { connection, .. } = &self;
        if connection.sender.is_closed() || !connection.is_of_use(now) || connection.is_in_the_way() {
            return;
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if !pool.is_swept {
            pool.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.pool)));
        }
        let idle = pool.origins.entry(self.origin).or_default();
        if idle.len() >= IDLE_CONNECTIONS {
            // The oldest, which the upstream has most likely closed.
            idle.remove(0);
        }
        idle.push(Idle { connection: self.connection, since: now });
    }
}

/// The connections of one worker to all upstreams.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pool: Pool,
}

impl Client {
    /// Sends the request to this one place, now, and waits for the head of the answer.
    ///
    /// A request is tried again on another connection only if not one byte of it was sent.
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
        let mut begun = Instant::from_std(now);
        let origin = Origin { url: Arc::clone(&target.url), tls: target.tls.clone() };
        loop {
            let reused = self.take(&origin, begun);
            let is_reused = reused.is_some();
            let mut connection = match reused {
                Some(connection) => connection,
                None => {
                    // Rare and large: in a box of its own, so that it does not make every request's future larger.
                    match Box::pin(connect(target, times.connect)).await {
                        Ok(connection) => {
                            begun = Instant::now();
                            connection
                        }
                        Err(error) => return Err(Box::new(Failed { error, fate: Fate::Unsent(request) })),
                    }
                }
            };
            let progress = request.body().progress();
            connection.life.heard.clear();
            // A failure holds the request, which is large, and the outcome moves through many hands.
            let answer = pin!(connection.sender.try_send_request(*request).map_err(Box::new));
            match within(&connection.timer, begun, times.response, &progress, answer).await {
                Some(Ok(response)) => {
                    let lease = Lease { connection, origin, pool: Arc::clone(&self.pool) };
                    return Ok(response.map(|incoming: Incoming| UpstreamBody::new(incoming, lease)));
                }
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if is_reused => *request = unsent,
                    Some(unsent) => {
                        let error = broken(failed.into_error());
                        return Err(Box::new(Failed { error, fate: Fate::Unsent(Box::new(unsent)) }));
                    }
                    None => {
                        let has_begun = connection.life.heard.is_set();
                        let fate = if has_begun { Fate::Over } else { Fate::Unanswered };
                        return Err(Box::new(Failed { error: broken(failed.into_error()), fate }));
                    }
                },
                None => return Err(Box::new(Failed { error: ClientError::ResponseTimeout, fate: Fate::Over })),
            }
        }
    }

    /// A connection whose last exchange is complete, the youngest first.
    fn take(&self, origin: &Origin, now: Instant) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = pool.origins.get_mut(origin)?;
        let is_old = |idle: &Idle| now.saturating_duration_since(idle.since) > IDLE_TIME;
        if idle.first().is_some_and(is_old) {
            idle.retain(|idle| !is_old(idle) && !idle.connection.sender.is_closed());
        }
        let mut index = idle.len();
        while let Some(sender) =
            index.checked_sub(1).and_then(|last| idle.get(last)).map(|idle| &idle.connection.sender)
        {
            index -= 1;
            match (sender.is_ready(), sender.is_closed()) {
                (true, _) => {
                    let connection = idle.remove(index).connection;
                    if connection.is_of_use(now) {
                        return Some(connection);
                    }
                }
                // What the upstream has closed is in nobody's way.
                (false, true) => drop(idle.remove(index)),
                // It has not noticed yet that its exchange is over.
                (false, false) => {}
            }
        }
        None
    }
}

/// The outcome of an exchange, unless neither the request's body nor the answer moves for so long.
async fn within<T>(
    timer: &ConnectionTimer,
    mut begun: Instant,
    limit: Duration,
    progress: &Progress,
    mut exchange: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    loop {
        let before = progress.sent();
        match timer.before(begun + limit, exchange.as_mut()).await {
            Some(outcome) => return Some(outcome),
            None if progress.sent() > before => begun = Instant::now(),
            None => return None,
        }
    }
}

fn broken(error: hyper::Error) -> ClientError {
    if error.is_user() {
        return ClientError::RequestBroken;
    }
    if error.is_parse() { ClientError::Malformed(error) } else { ClientError::Broken(error) }
}

/// Closes, until the client ends, the connections that are of no more use, or in the way of others.
async fn sweep(pool: Weak<Mutex<Resting>>) {
    loop {
        // Whoever is told too early or not at all is in time with the next round.
        let _ = tokio::time::timeout(SWEEP, WANTED.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.origins.retain(|_, resting| {
            resting.retain(|Idle { connection, since }| {
                let is_young = now.saturating_duration_since(*since) <= IDLE_TIME;
                is_young && !connection.sender.is_closed() && connection.is_of_use(now) && !connection.is_in_the_way()
            });
            !resting.is_empty()
        });
    }
}

async fn connect(target: &Target, limit: Duration) -> Result<Connection, ClientError> {
    let deadline = Instant::now() + limit;
    let slot = match &target.terms.slots {
        None => None,
        Some(slots) => timeout_at(deadline, slots.take()).await.map_err(|_| ClientError::Saturated)?,
    };
    let heard = Heard::default();
    let sender = timeout_at(deadline, handshake(target, heard.clone(), slot));
    let sender = sender.await.map_err(|_| ClientError::ConnectTimeout)??;
    let until = Instant::now() + jittered(target.terms.age);
    let life = Box::new(Life { heard, terms: target.terms.clone(), until });
    Ok(Connection { sender, timer: ConnectionTimer::new(), life })
}

async fn handshake(target: &Target, heard: Heard, slot: Option<OwnedSemaphorePermit>) -> Result<Sender, ClientError> {
    let url = &target.url;
    let stream = url.connect().await.map_err(ClientError::Connect)?;
    match &target.tls {
        None => http1_handshake(TokioIo::new(Listening::new(Joined::new(Patient::new(stream)), heard)), slot).await,
        Some(tls) => {
            let name = ServerName::try_from(url.host.to_string())
                .map_err(|error| ClientError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector.connect(name, stream).await.map_err(ClientError::Connect)?;
            http1_handshake(TokioIo::new(Listening::new(Joined::new(Patient::new(stream)), heard)), slot).await
        }
    }
}

async fn http1_handshake<T>(io: T, slot: Option<OwnedSemaphorePermit>) -> Result<Sender, ClientError>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (sender, connection) = builder.handshake(io).await.map_err(ClientError::Broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an upstream ended");
        }
        drop(slot);
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::{server, service::service_fn};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Barrier,
        task::JoinSet,
    };

    use super::*;

    const COUNT: usize = IDLE_CONNECTIONS / 2 + 1;

    /// An upstream's life: twice, so many requests at one time, each of which is answered when all have come. How many
    /// connections they made.
    async fn connections(client: &Client, target: &Target, listener: &TcpListener) -> usize {
        let (all, accepted) = (Arc::new(Barrier::new(COUNT)), AtomicUsize::new(0));
        let mut served = JoinSet::new();
        let serving = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let all = Arc::clone(&all);
                let service = service_fn(move |_| {
                    let all = Arc::clone(&all);
                    async move {
                        all.wait().await;
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                served.spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        };
        let asking = async {
            for _ in 0..2 {
                let mut asked = JoinSet::new();
                for _ in 0..COUNT {
                    let (client, target) = (client.clone(), target.clone());
                    asked.spawn(async move {
                        let request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
                        let answer = client.send(&target, request, std::time::Instant::now()).await.unwrap();
                        answer.into_body().collect().await.unwrap();
                    });
                }
                asked.join_all().await;
                // Until the connections have noticed that their exchanges are over.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = asking => {}
        }
        // The upstream ends, and the connections notice that too.
        served.shutdown().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        accepted.into_inner()
    }

    fn target(listener: &TcpListener) -> Target {
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let times = Times { connect: Duration::from_secs(10), response: Duration::from_secs(10) };
        Target::new(Arc::new(url), None, times)
    }

    #[tokio::test]
    async fn connections_that_an_upstream_closed_are_in_nobodys_way() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, target) = (Client::default(), target(&listener));
        for _ in 0..4 {
            assert_eq!(connections(&client, &target, &listener).await, COUNT);
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_upstream_closes_is_closed_without_being_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, target) = (Client::default(), target(&listener));
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.shutdown().await.unwrap();
            // The other side closes too, or this is never over.
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let asking = async {
            let request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
            let answer = client.send(&target, request, std::time::Instant::now()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(serving, asking) }).await.unwrap();
    }
}
