//! Who is at the other end of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderValue;

use super::{role::Role, server_names::AskedName, target::TargetUrl};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port, as text: every record names them. They are what a trusted proxy says, where there is one, which
    /// knows no port if it says it of each request.
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
    /// The name that the connection was made for, where its requests must be for that.
    pub asked_name: Option<Arc<AskedName>>,
    /// What it takes the proxy for.
    pub role: Role,
    /// If it is a trusted proxy that says of each request whose it is: how many of those a request comes through.
    pub forwards: Option<usize>,
}

impl Peer {
    /// One at this address; `None` for a process of this machine, which a Unix socket does not name.
    pub(super) fn at(address: Option<SocketAddr>) -> Self {
        // An IPv4 client of a listener for both is one of IPv4, in records, lists and limits.
        let address = address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        // An address holds nothing that a field's value may not hold.
        let forwarded_for = address.and_then(|address| HeaderValue::try_from(address.ip().to_string()).ok());
        Self {
            address: address.map_or("unix".into(), |address| address.to_string().into()),
            forwarded_for: forwarded_for.unwrap_or(HeaderValue::from_static("unknown")),
            source: address.map(|address| address.ip()),
            transport: Transport::Clear,
            certificates: Arc::default(),
            destination: None,
            asked_name: None,
            role: Role::Service,
            forwards: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_one_of_ipv4() {
        let peer = Peer::at(Some("[::ffff:192.0.2.7]:4711".parse().unwrap()));
        assert_eq!((&*peer.address, peer.forwarded_for.as_bytes()), ("192.0.2.7:4711", b"192.0.2.7".as_slice()));
        assert_eq!(peer.source, "192.0.2.7".parse().ok());
        assert_eq!(&*Peer::at(Some("[2001:db8::7]:4711".parse().unwrap())).address, "[2001:db8::7]:4711");
    }
}
