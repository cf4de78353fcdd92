//! Where upstreams are, and how long they may take.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use http::{HeaderValue, Uri};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::{
    lookups::Lookups,
    race::first,
    reach::Reach,
    socket::{Socket, prepare},
    terms::Terms,
    tls::ClientTls,
};

/// The authority of what has none.
const LOCAL: HeaderValue = HeaderValue::from_static("localhost");

/// Where an upstream is: `http://host:port` or `https://host:port`, without a path, or the Unix socket `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    // In the place of host and port.
    socket: Option<PathBuf>,
    pub(super) host: Box<str>,
    pub(super) port: u16,
    tls: bool,
    authority: HeaderValue,
    // Where its name was found to be.
    address: Option<SocketAddr>,
    // Where it may be at all, if a client has chosen it, or documents are fetched there.
    reach: Option<Reach>,
    // Of all the above, made once: a connection is looked up for every request.
    pub(super) hash: u64,
}

/// The text is not an upstream's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// Not a URL with a host.
    #[error("not a URL: write `http://host:port`, `https://host:port` or `unix:PATH`")]
    NotAUrl,
    /// A scheme that is not spoken.
    #[error("the scheme is neither `http` nor `https`, nor is it `unix:PATH`")]
    Scheme,
    /// A path, query or user information.
    #[error("only scheme, host and port: the request's own path is forwarded")]
    MoreThanAnOrigin,
}

impl FromStr for TargetUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(InvalidUrl::NotAUrl) } else { Ok(Self::of_socket(path.into())) };
        }
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
        Ok(Self { socket: None, host: host.into(), port, tls, authority, address: None, reach: None, hash })
    }
}

impl TargetUrl {
    /// A service in the clear at this address.
    pub(super) fn of_address(address: SocketAddr) -> Self {
        let (host, port) = (address.ip().to_string(), address.port());
        let hash = FixedState::default().hash_one((host.as_str(), port, false));
        // An address holds nothing that a field's value may not hold.
        let authority = HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { socket: None, host: host.into(), port, tls: false, authority, address: Some(address), reach: None, hash }
    }

    /// The service in the clear that listens on the Unix socket at this path.
    pub fn of_socket(path: PathBuf) -> Self {
        let hash = FixedState::default().hash_one(&path);
        Self { socket: Some(path), hash, ..Self::nowhere() }
    }

    /// No place at all: whoever connects to it is refused.
    pub fn nowhere() -> Self {
        Self {
            socket: None,
            host: "".into(),
            port: 0,
            tls: false,
            authority: LOCAL,
            address: None,
            reach: None,
            hash: 0,
        }
    }

    /// The same, which is reached only where this allows it.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self { reach: Some(reach), ..self }
    }

    /// The same at one of the addresses of its name: the host that it is asked for stays.
    pub(super) fn at(&self, address: SocketAddr) -> Self {
        let hash = FixedState::default().hash_one((self.hash, address));
        Self { address: Some(address), hash, ..self.clone() }
    }

    /// What has to be resolved before it can be connected to: its host and port, if the host is a name.
    pub(super) fn name(&self) -> Option<(&str, u16)> {
        let is_name = self.socket.is_none() && self.address.is_none() && self.host.parse::<IpAddr>().is_err();
        is_name.then_some((&self.host, self.port))
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        self.address.map_or_else(|| self.to_string(), |address| address.to_string())
    }

    /// Whether its address is one of IPv4; `None` if it has none yet.
    pub(super) fn is_ipv4(&self) -> Option<bool> {
        let written = || self.host.parse().ok();
        self.address.map(|address| address.ip()).or_else(written).map(|address: IpAddr| address.is_ipv4())
    }

    /// Whether a client has chosen it.
    pub(super) fn is_requested(&self) -> bool {
        matches!(self.reach, Some(Reach::Public | Reach::Within(_)))
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is a Unix socket, which has no host of its own.
    pub fn is_local(&self) -> bool {
        self.socket.is_some()
    }

    /// The value of `Host` for this upstream; that of a Unix socket says nothing.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.socket {
            return write!(f, "unix:{}", path.display());
        }
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, or there is no connection; in the clear by prior knowledge (RFC 9113, section 3.3).
    Http2,
    /// Over TLS what the upstream chooses by ALPN, HTTP/2 if it can. In the clear it is the same as HTTP/2.
    Negotiated,
}

/// Where connections lead to that serve each other's requests. The roots are part of it: a connection that was checked
/// against other roots is not reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// Where it is.
    pub(super) url: Arc<TargetUrl>,
    /// The roots for its certificate, if the URL is `https`.
    pub(super) tls: Option<ClientTls>,
}

impl Origin {
    /// Whether a client has chosen it, as it may choose any number of others.
    pub(super) fn is_requested(&self) -> bool {
        self.url.is_requested()
    }
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Origins that differ in their roots alone are rare, and are told apart by `Eq`.
        state.write_u64(self.url.hash);
    }
}

/// A place that the client has chosen.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Where it is.
    pub url: Arc<TargetUrl>,
    /// Among which its name is looked up, if it has one.
    pub lookups: Lookups,
}

/// One place of an upstream, and how long it may take.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) origin: Origin,
    /// What is spoken there.
    pub(super) version: HttpVersion,
    pub(super) times: Times,
    pub(super) terms: Terms,
    /// Among which its name is looked up, if a client has chosen it.
    pub(super) lookups: Lookups,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From the first packet to the end of the TLS handshake.
    pub connect: Duration,
    /// From the end of the request to the head of the answer; while the request's body moves, time does not count.
    pub response: Duration,
}

impl Target {
    /// The place of this URL, spoken to by HTTP/1.1, verified by these roots if it is `https`.
    pub fn new(url: Arc<TargetUrl>, tls: Option<ClientTls>, times: Times) -> Self {
        let (version, terms, lookups) = (HttpVersion::Http1, Terms::default(), Lookups::default());
        Self { origin: Origin { url, tls }, version, times, terms, lookups }
    }

    /// A connection to it.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        let TargetUrl { socket, host, port, address, reach, .. } = self.origin.url.as_ref();
        if let Some(path) = socket {
            return UnixStream::connect(path).await.map(Socket::Unix);
        }
        let stream = match (address, reach) {
            (Some(address), _) => TcpStream::connect(address).await?,
            (None, None) => match host.parse::<IpAddr>() {
                Ok(address) => TcpStream::connect((address, *port)).await?,
                Err(_) => first(lookup_host((host.as_ref(), *port)).await?.collect()).await?,
            },
            (None, Some(reach)) => reach.connect(host, *port, &self.lookups).await?,
        };
        prepare(&stream);
        Ok(Socket::Tcp(stream))
    }
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
