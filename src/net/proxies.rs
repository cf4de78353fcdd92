//! Who may say whose connection it passes on, and reading what it says.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::proxy_header::{FIXED, HeaderProblem, LONGEST_LINE, Passed, SIGNATURE, header, length, line};

/// A set of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no set of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidNetwork {
    /// Neither an address nor one with a prefix length.
    #[error("it is not a network, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")]
    Unknown,
    /// An address with bits beyond its prefix, which was most likely meant otherwise.
    #[error("the address has bits beyond its prefix")]
    BitsBeyondPrefix,
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from).ok();
        let network: IpNet = text.parse().ok().or_else(alone).ok_or(InvalidNetwork::Unknown)?;
        if network.addr() == network.network() { Ok(Self(network)) } else { Err(InvalidNetwork::BitsBeyondPrefix) }
    }
}

impl Network {
    /// Whether the address is one of them. An IPv4 address that came over IPv6 is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// The proxies in front of a listener: who may say whose connection it passes on, and must.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// Whether whoever may connect to a Unix socket is one.
    pub local: bool,
}

/// Why a connection has ended before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Who is no trusted proxy has connected to a listener for these.
    UntrustedProxy,
    /// A proxy has said nothing of whose connection it is.
    NoProxyHeader,
    /// What it has said does not follow the protocol.
    MalformedProxyHeader,
    /// It has said too much.
    LongProxyHeader,
    /// It did not say it in time.
    SlowProxyHeader,
    /// The TLS handshake has failed.
    TlsHandshake,
    /// The TLS handshake took too long.
    SlowTlsHandshake,
    /// The first byte of a request, or of HTTP/2, took too long.
    SlowFirstByte,
    /// There are so many connections from its source already.
    TooManyOfSource,
    /// There are hardly any file descriptors left.
    NoDescriptors,
    /// A client did not wait for the answer that opens its tunnel, or was gone before it.
    EarlyTunnelBytes,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::UntrustedProxy,
        Self::NoProxyHeader,
        Self::MalformedProxyHeader,
        Self::LongProxyHeader,
        Self::SlowProxyHeader,
        Self::TlsHandshake,
        Self::SlowTlsHandshake,
        Self::SlowFirstByte,
        Self::TooManyOfSource,
        Self::NoDescriptors,
        Self::EarlyTunnelBytes,
    ];

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::UntrustedProxy => "untrusted_proxy",
            Self::NoProxyHeader => "no_proxy_header",
            Self::MalformedProxyHeader => "malformed_proxy_header",
            Self::LongProxyHeader => "long_proxy_header",
            Self::SlowProxyHeader => "slow_proxy_header",
            Self::TlsHandshake => "tls_handshake",
            Self::SlowTlsHandshake => "slow_tls_handshake",
            Self::SlowFirstByte => "slow_first_byte",
            Self::TooManyOfSource => "too_many_of_source",
            Self::NoDescriptors => "no_descriptors",
            Self::EarlyTunnelBytes => "early_tunnel_bytes",
        }
    }
}

impl From<HeaderProblem> for Refused {
    fn from(problem: HeaderProblem) -> Self {
        match problem {
            HeaderProblem::Missing => Self::NoProxyHeader,
            HeaderProblem::Malformed => Self::MalformedProxyHeader,
            HeaderProblem::TooLong => Self::LongProxyHeader,
        }
    }
}

/// The proxies in front of a listener that pass on the requests of many clients over connections of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarders {
    /// Who they are. Others connect for themselves.
    pub proxies: TrustedProxies,
    /// How many of them a request comes through.
    pub hops: usize,
}

impl TrustedProxies {
    /// Whether a connection from this address is one of theirs; `None` is a process of this machine.
    pub(super) fn trust(&self, source: Option<IpAddr>) -> bool {
        match source {
            Some(address) => self.networks.iter().any(|network| network.contains(address)),
            None => self.local,
        }
    }

    /// Reads the header of a connection from this address, and not one byte more.
    pub(super) async fn header<T: AsyncRead + Unpin>(
        &self,
        source: Option<IpAddr>,
        from: &mut T,
    ) -> Result<Passed, Refused> {
        if self.trust(source) { read(from).await } else { Err(Refused::UntrustedProxy) }
    }
}

async fn read<T: AsyncRead + Unpin>(from: &mut T) -> Result<Passed, Refused> {
    // No line of version 1 is shorter than `PROXY UNKNOWN` and its end, and no header of version 2 than its fixed part.
    let mut begin = [0; 15];
    let mut filled = 0;
    while let Some(free) = begin.get_mut(filled..).filter(|free| !free.is_empty()) {
        // Who closes without a word was most likely looking whether somebody listens.
        let read = from.read(free).await.map_err(|_| Refused::NoProxyHeader)?;
        filled += read;
        let seen = begin.get(..filled).unwrap_or_default();
        let begins = |with: &[u8]| seen.iter().zip(with).all(|(one, other)| one == other);
        if read == 0 || !(begins(SIGNATURE) || begins(b"PROXY ")) {
            return Err(Refused::NoProxyHeader);
        }
    }
    let broken = |_| Refused::MalformedProxyHeader;
    if begin.starts_with(SIGNATURE) {
        let mut fixed = [0; FIXED];
        let (known, last) = fixed.split_at_mut(begin.len());
        known.copy_from_slice(&begin);
        from.read_exact(last).await.map_err(broken)?;
        let mut rest = vec![0; length(&fixed)?];
        from.read_exact(&mut rest).await.map_err(broken)?;
        return Ok(header(&fixed, &rest)?);
    }
    let mut whole = begin.to_vec();
    // What comes after the line belongs to others: it is read as far as the shortest line of its kind, then byte by byte.
    let shortest = match &begin {
        begin if begin.starts_with(b"PROXY TCP4 ") => "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".len(),
        begin if begin.starts_with(b"PROXY TCP6 ") => "PROXY TCP6 :: :: 0 0\r\n".len(),
        _ => begin.len(),
    };
    whole.resize(shortest, 0);
    from.read_exact(whole.get_mut(begin.len()..).unwrap_or_default()).await.map_err(broken)?;
    while !whole.contains(&b'\n') && whole.len() < LONGEST_LINE {
        whole.push(from.read_u8().await.map_err(broken)?);
    }
    if whole.last() != Some(&b'\n') && whole.len() >= LONGEST_LINE {
        return Err(Refused::LongProxyHeader);
    }
    Ok(line(&whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        TrustedProxies { networks: networks.iter().map(|text| text.parse().unwrap()).collect(), local: false }
    }

    async fn read_from(bytes: &[u8]) -> (Result<Passed, Refused>, Vec<u8>) {
        let mut from = bytes;
        let loopback = Some("127.0.0.1".parse().unwrap());
        let read = trusted(&["127.0.0.0/8"]).header(loopback, &mut from).await;
        (read, from.to_vec())
    }

    #[test]
    fn networks_are_what_they_say() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains("10.1.255.255".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("10.2.0.0".parse().unwrap()));
        assert!("192.0.2.7".parse::<Network>().unwrap().contains("192.0.2.7".parse().unwrap()));
        assert_eq!("10.1.2.3/16".parse::<Network>(), Err(InvalidNetwork::BitsBeyondPrefix));
        for text in ["", "10.0.0.0/33", "proxy.example", "10/8", "10.0.0.0/8 "] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork::Unknown), "{text}");
        }
    }

    #[tokio::test]
    async fn the_header_is_read_and_nothing_behind_it() {
        let client = |text: &str| Ok(Passed::Client(text.parse().unwrap()));
        for (header, passed) in [
            (&b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"[..], client("192.0.2.7:56324")),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", client("1.1.1.1:1")),
            (b"PROXY TCP6 :: :: 1 1\r\n", client("[::]:1")),
            (b"PROXY UNKNOWN\r\n", Ok(Passed::Unnamed)),
            (b"PROXY UNKNOWN whatever it says\r\n", Ok(Passed::Unnamed)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\0\x01\0\x02", client("192.0.2.7:1")),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Ok(Passed::Unnamed)),
        ] {
            let (read, rest) = read_from(&[header, b"GET / HTTP/1.1\r\n"].concat()).await;
            assert_eq!(read, passed, "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_for_its_reason() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
        for (bytes, reason) in [
            (&b""[..], Refused::NoProxyHeader),
            (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", Refused::NoProxyHeader),
            (b"PROX", Refused::NoProxyHeader),
            (b"PROXY TCP4 1.1.1.1", Refused::MalformedProxyHeader),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\nGET / HTTP/1.1\r\n", Refused::MalformedProxyHeader),
            (b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n", Refused::MalformedProxyHeader),
            (long.as_bytes(), Refused::LongProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", Refused::LongProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0", Refused::MalformedProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\xc0", Refused::MalformedProxyHeader),
        ] {
            assert_eq!(read_from(bytes).await.0, Err(reason), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn only_trusted_proxies_are_read() {
        let mut from = &b"PROXY UNKNOWN\r\n"[..];
        let elsewhere = Some("192.0.2.1".parse().unwrap());
        assert_eq!(trusted(&["10.0.0.0/8"]).header(elsewhere, &mut from).await, Err(Refused::UntrustedProxy));
        assert_eq!(trusted(&["10.0.0.0/8"]).header(None, &mut from).await, Err(Refused::UntrustedProxy));
        assert_eq!(from.len(), 15, "not one byte of it is read");
        let local = TrustedProxies { local: true, ..TrustedProxies::default() };
        assert_eq!(local.header(None, &mut from).await, Ok(Passed::Unnamed));
    }
}
