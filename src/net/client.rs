//! Connections to upstreams, kept alive and reused after a complete exchange only.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
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
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    body::{OutboundBody, Progress, UpstreamBody},
    deadline::ConnectionTimer,
    http2::{Http2Connections, Sent},
    joined::Joined,
    socket::Socket,
    target::{HttpVersion, Target, TargetUrl},
    tls::ClientTls,
};

/// At most this many idle connections to one upstream are kept by one worker.
const IDLE_CONNECTIONS: usize = 128;
/// With more origins than this, those without a young connection are forgotten.
pub(super) const ORIGINS: usize = 64;
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
}

pub(super) type Sender = http1::SendRequest<OutboundBody>;

#[derive(Debug)]
struct Connection {
    sender: Sender,
    timer: ConnectionTimer,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// The roots are part of the key: a connection that was checked against other roots is not reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    url: Arc<TargetUrl>,
    tls: Option<ClientTls>,
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Origins that differ in their roots alone are rare, and are told apart by `Eq`.
        state.write_u64(self.url.hash);
    }
}

type Pool = Arc<Mutex<HashMap<Origin, Vec<Idle>, RandomState>>>;

/// The HTTP/1.1 connections of one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Http1Connections {
    pool: Pool,
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
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() > ORIGINS {
            // Reloads leave origins behind that nobody asks for any more.
            pool.retain(|_, idle| idle.iter().any(|idle| idle.since.elapsed() <= IDLE_TIME));
        }
        if self.connection.sender.is_closed() {
            return;
        }
        let idle = pool.entry(self.origin).or_default();
        if idle.len() >= IDLE_CONNECTIONS {
            // The oldest, which the upstream has most likely closed.
            idle.remove(0);
        }
        idle.push(Idle { connection: self.connection, since: Instant::now() });
    }
}

/// The connections of one worker to all upstreams.
#[derive(Debug, Clone, Default)]
pub struct Client {
    http1: Http1Connections,
    http2: Http2Connections,
}

impl Client {
    /// Sends the request, now, and waits for the head of the answer.
    ///
    /// A request is tried again on another connection only if not one byte of it was sent.
    pub async fn send(
        &self,
        target: &Target,
        mut request: Box<Request<OutboundBody>>,
        now: std::time::Instant,
    ) -> Result<Response<UpstreamBody>, ClientError> {
        let mut begun = Instant::from_std(now);
        let origin = Origin { url: Arc::clone(&target.url), tls: target.tls.clone() };
        if target.version != HttpVersion::Http1 {
            // Large: in a box of its own, so that it does not make every request's future larger.
            match Box::pin(self.http2.send(target, &origin, request, &self.http1)).await? {
                Sent::Answered(response) => return Ok(response),
                Sent::Unsent(same) => request = same,
            }
        }
        loop {
            let reused = self.http1.take(&origin, begun);
            let is_reused = reused.is_some();
            let mut connection = match reused {
                Some(connection) => connection,
                None => {
                    // Rare and large: in a box of its own, so that it does not make every request's future larger.
                    let sender = Box::pin(connect(target)).await?;
                    begun = Instant::now();
                    Connection { sender, timer: ConnectionTimer::new() }
                }
            };
            let progress = request.body().progress();
            // A failure holds the request, which is large, and the outcome moves through many hands.
            let answer = pin!(connection.sender.try_send_request(*request).map_err(Box::new));
            match within(&connection.timer, begun, target.response_timeout, &progress, answer)
                .await
                .ok_or(ClientError::ResponseTimeout)?
            {
                Ok(response) => {
                    let lease = Lease { connection, origin, pool: Arc::clone(&self.http1.pool) };
                    return Ok(response.map(|incoming: Incoming| UpstreamBody::new(incoming, lease)));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if is_reused => *request = unsent,
                    Some(_) | None => return Err(broken(failed.into_error())),
                },
            }
        }
    }
}

impl Http1Connections {
    /// Takes a connection in that nobody has used yet.
    pub(super) fn take_in(&self, origin: Origin, sender: Sender) {
        let connection = Connection { sender, timer: ConnectionTimer::new() };
        Lease { connection, origin, pool: Arc::clone(&self.pool) }.give_back();
    }

    /// A connection whose last exchange is complete, the youngest first.
    fn take(&self, origin: &Origin, now: Instant) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = pool.get_mut(origin)?;
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
                (true, _) => return Some(idle.remove(index).connection),
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
pub(super) async fn within<T>(
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

pub(super) fn broken(error: hyper::Error) -> ClientError {
    if error.is_user() {
        return ClientError::RequestBroken;
    }
    if error.is_parse() { ClientError::Malformed(error) } else { ClientError::Broken(error) }
}

async fn connect(target: &Target) -> Result<Sender, ClientError> {
    match timeout(target.connect_timeout, handshake(target)).await {
        Ok(sender) => sender,
        Err(_) => Err(ClientError::ConnectTimeout),
    }
}

async fn handshake(target: &Target) -> Result<Sender, ClientError> {
    let url = &target.url;
    let stream = url.connect().await.map_err(ClientError::Connect)?;
    match &target.tls {
        None => http1_handshake(stream).await.map_err(ClientError::Broken),
        Some(tls) => {
            let stream = secure(url, tls, stream, &[b"http/1.1"]).await.map_err(ClientError::Connect)?;
            http1_handshake(stream).await.map_err(ClientError::Broken)
        }
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

pub(super) async fn http1_handshake<T>(stream: T) -> hyper::Result<Sender>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(Joined::new(stream))).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an upstream ended");
        }
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
        Target {
            url: Arc::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()),
            tls: None,
            version: HttpVersion::Http1,
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
        }
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
        timeout(Duration::from_secs(30), async { tokio::join!(serving, asking) }).await.unwrap();
    }
}
