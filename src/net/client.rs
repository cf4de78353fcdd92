//! Connections to upstreams, kept alive and reused after a complete exchange only.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    io,
    pin::{Pin, pin},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::fast::{FixedState, RandomState};
use http::{HeaderValue, Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    body::{OutboundBody, UpstreamBody},
    deadline::ConnectionTimer,
    joined::Joined,
    tls::ClientTls,
};

/// At most this many idle connections to one upstream are kept by one worker.
const IDLE_CONNECTIONS: usize = 128;
/// With more origins than this, those without a young connection are forgotten.
const ORIGINS: usize = 64;
/// An idle connection older than this is not used again.
const IDLE_TIME: Duration = Duration::from_secs(60);
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
}

/// Where an upstream is: `http://host:port` or `https://host:port`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    host: Box<str>,
    port: u16,
    tls: bool,
    authority: HeaderValue,
    // Of all the above, made once: a connection is looked up for every request.
    hash: u64,
}

/// The text is not an upstream's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// Not a URL with a host.
    #[error("not a URL: write `http://host:port` or `https://host:port`")]
    NotAUrl,
    /// A scheme that is not spoken.
    #[error("the scheme is neither `http` nor `https`")]
    Scheme,
    /// A path, query or user information.
    #[error("only scheme, host and port: the request's own path is forwarded")]
    MoreThanAnOrigin,
}

impl FromStr for TargetUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::NotAUrl)?;
        let authority = uri.authority().ok_or(InvalidUrl::NotAUrl)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::NotAUrl),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(InvalidUrl::MoreThanAnOrigin);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let hash = FixedState::default().hash_one((host, port, tls));
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidUrl::NotAUrl)?;
        Ok(Self { host: host.into(), port, tls, authority, hash })
    }
}

impl TargetUrl {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The value of `Host` for this upstream.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }
}

/// An upstream and how long it may take.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Arc<TargetUrl>,
    /// The roots for its certificate, if the URL is `https`.
    pub tls: Option<ClientTls>,
    /// From the first packet to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer; while the request's body moves, time does not count.
    pub response_timeout: Duration,
}

type Sender = http1::SendRequest<OutboundBody>;

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

type Pool = Arc<Mutex<HashMap<Origin, Vec<Idle>, RandomState>>>;

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
        let idle = pool.entry(self.origin).or_default();
        if idle.len() < IDLE_CONNECTIONS && !self.connection.sender.is_closed() {
            idle.push(Idle { connection: self.connection, since: Instant::now() });
        }
    }
}

/// The connections of one worker to all upstreams.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pool: Pool,
}

impl Client {
    /// Sends the request, now, and waits for the head of the answer.
    ///
    /// A request is tried again on another connection only if not one byte of it was sent.
    pub async fn send(
        &self,
        target: &Target,
        mut request: Request<OutboundBody>,
        now: std::time::Instant,
    ) -> Result<Response<UpstreamBody>, ClientError> {
        let mut begun = Instant::from_std(now);
        let origin = Origin { url: Arc::clone(&target.url), tls: target.tls.clone() };
        loop {
            let reused = self.take(&origin, begun);
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
            let answer = pin!(connection.sender.try_send_request(request));
            match within(&connection.timer, begun, target.response_timeout, &progress, answer)
                .await
                .ok_or(ClientError::ResponseTimeout)?
            {
                Ok(response) => {
                    let lease = Lease { connection, origin, pool: Arc::clone(&self.pool) };
                    return Ok(response.map(|incoming: Incoming| UpstreamBody::new(incoming, lease)));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if is_reused => request = unsent,
                    Some(_) | None => return Err(broken(failed.into_error())),
                },
            }
        }
    }

    /// A connection whose last exchange is complete, the youngest first.
    fn take(&self, origin: &Origin, now: Instant) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = pool.get_mut(origin)?;
        let is_old = |idle: &Idle| now.saturating_duration_since(idle.since) > IDLE_TIME;
        if idle.first().is_some_and(is_old) {
            idle.retain(|idle| !is_old(idle) && !idle.connection.sender.is_closed());
        }
        let ready = idle.iter().rposition(|idle| idle.connection.sender.is_ready())?;
        Some(idle.remove(ready).connection)
    }
}

/// The outcome of an exchange, unless neither the request's body nor the answer moves for so long.
async fn within<T>(
    timer: &ConnectionTimer,
    mut begun: Instant,
    limit: Duration,
    progress: &AtomicU64,
    mut exchange: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    loop {
        let before = progress.load(Ordering::Relaxed);
        match timer.before(begun + limit, exchange.as_mut()).await {
            Some(outcome) => return Some(outcome),
            None if progress.load(Ordering::Relaxed) > before => begun = Instant::now(),
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

async fn connect(target: &Target) -> Result<Sender, ClientError> {
    match timeout(target.connect_timeout, handshake(target)).await {
        Ok(sender) => sender,
        Err(_) => Err(ClientError::ConnectTimeout),
    }
}

async fn handshake(target: &Target) -> Result<Sender, ClientError> {
    let url = &target.url;
    let stream = TcpStream::connect((url.host.as_ref(), url.port)).await.map_err(ClientError::Connect)?;
    // Small writes must not wait for acknowledgements; where that cannot be had, they are slower, not wrong.
    let _ = stream.set_nodelay(true);
    match &target.tls {
        None => http1_handshake(TokioIo::new(Joined::new(stream))).await,
        Some(tls) => {
            let name = ServerName::try_from(url.host.to_string())
                .map_err(|error| ClientError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let connector = TlsConnector::from(Arc::clone(&tls.0));
            let stream = connector.connect(name, stream).await.map_err(ClientError::Connect)?;
            http1_handshake(TokioIo::new(Joined::new(stream))).await
        }
    }
}

async fn http1_handshake<T>(io: T) -> Result<Sender, ClientError>
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
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin() {
        let url: TargetUrl = "https://crm.example".parse().unwrap();
        assert_eq!((url.host.as_ref(), url.port, url.is_tls()), ("crm.example", 443, true));
        let url: TargetUrl = "http://[::1]:9001/".parse().unwrap();
        assert_eq!((url.host.as_ref(), url.port, url.to_string().as_str()), ("::1", 9001, "http://[::1]:9001"));
        for text in ["", "crm", "crm:80", "ftp://a", "http://a/b", "http://a?b", "http://u@a", "/a"] {
            assert!(text.parse::<TargetUrl>().is_err(), "{text}");
        }
    }
}
