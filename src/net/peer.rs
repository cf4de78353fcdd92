//! Who is at the other end of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderValue;

use super::target::TargetUrl;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port, as text: every record names them. They are what a trusted proxy says, where there is one.
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
    /// Where the connection was meant to go before it was redirected here; `None` if it was not, or nobody can tell.
    pub destination: Option<(Arc<TargetUrl>, IpAddr)>,
}

impl Peer {
    /// One at this address; `None` for a process of this machine, which a Unix socket does not name.
    pub(super) fn at(address: Option<SocketAddr>) -> Self {
        // An address holds nothing that a field's value may not hold.
        let forwarded_for = address.and_then(|address| HeaderValue::try_from(address.ip().to_string()).ok());
        Self {
            address: address.map_or("unix".into(), |address| address.to_string().into()),
            forwarded_for: forwarded_for.unwrap_or(HeaderValue::from_static("unknown")),
            source: address.map(|address| address.ip()),
            transport: Transport::Clear,
            certificates: Arc::default(),
            destination: None,
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
