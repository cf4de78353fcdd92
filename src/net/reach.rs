//! Which addresses may be reached where clients choose the host, and where documents are fetched.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::{TcpStream, lookup_host};

use super::{lookups::Lookups, proxies::Network, race::first};

/// Which addresses may be reached. The address that is looked at is the one that is connected to: a name that changes in
/// between changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet: none that is private, of this machine or link (as a cloud's metadata), shared,
    /// reserved, for documentation or multicast, and none that embeds another one (6to4, NAT64, Teredo).
    Public,
    /// Those in these networks, whatever they are.
    Within(Arc<[Network]>),
    /// Where a configuration names the host of a document: private ones too, but none at which a cloud tells a machine of
    /// itself, no multicast, none of IPv6's own links, and none that embeds such a one, as far as it can be told.
    Documents,
}

impl Reach {
    /// Whether the address may be reached. An IPv4 address that is written as one of IPv6 is one of IPv4.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match (self, address) {
            (Self::Public, IpAddr::V4(address)) => is_public_v4(address),
            (Self::Public, IpAddr::V6(address)) => is_public_v6(address),
            (Self::Within(networks), address) => networks.iter().any(|network| network.contains(address)),
            (Self::Documents, IpAddr::V4(address)) => may_have_documents(address),
            (Self::Documents, IpAddr::V6(address)) => may_have_documents_v6(address),
        }
    }

    /// A connection to one of the host's addresses that may be reached.
    pub(super) async fn connect(&self, host: &str, port: u16, lookups: &Lookups) -> io::Result<TcpStream> {
        let addresses = match self {
            Self::Public | Self::Within(_) => addresses(host, port, lookups).await?,
            // The machine's own names and domains are the operator's too.
            Self::Documents => lookup_host((host, port)).await?.collect(),
        };
        let reached: Vec<_> = addresses.into_iter().filter(|address| self.allows(address.ip())).collect();
        if reached.is_empty() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "none of its addresses may be reached"));
        }
        first(reached).await
    }
}

/// The addresses of the host.
async fn addresses(host: &str, port: u16, lookups: &Lookups) -> io::Result<Vec<SocketAddr>> {
    let Some(asked) = asked(host) else { return Ok(known(host, port)) };
    let found = lookups.addresses(asked).await?;
    Ok(found.iter().map(|address| SocketAddr::new(*address, port)).collect())
}

/// What a resolver is asked for; `None` if it need not be asked. The name ends in the root (RFC 1034, section 3.1): a
/// resolver would try one that does not in the domains of the machine too, and find hosts that nobody has named.
fn asked(host: &str) -> Option<String> {
    let name = host.trim_end_matches('.');
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let is_known = is_local || name.parse::<IpAddr>().is_ok();
    (!is_known).then(|| format!("{name}."))
}

/// The address that the host is, or those of this machine (RFC 6761, section 6.3).
fn known(host: &str, port: u16) -> Vec<SocketAddr> {
    let own = || vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let addresses: Vec<IpAddr> = host.parse().map_or_else(|_| own(), |address| vec![address]);
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

/// By IANA's registry of special-purpose addresses (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            // Not in the registry: a cloud answers there what concerns the machine alone (Azure's WireServer).
            | [168, 63, 129, 16]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 31, 196, _]
            | [192, 52, 193, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [192, 175, 48, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..]
    )
}

/// The same: of what is global unicast (2000::/3), not what is for protocols, documentation, or 6to4.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x2620, 0x004f, 0x8000, ..] | [0x3fff, 0..=0x0fff, ..] => {
            false
        }
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn may_have_documents(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // Metadata of AWS, Azure, GCP and others, of tasks and pods, of Azure's machines, and of Alibaba's.
        [0, ..]
            | [169, 254, 169 | 170, _]
            | [168, 63, 129, 16]
            | [100, 100, 100, 200]
            | [224..=239, ..]
            | [255, 255, 255, 255]
    )
}

fn may_have_documents_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        may_have_documents(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => true,
        // Compatible with IPv4 (RFC 4291, section 2.5.5.1), translated (RFC 2765), NAT64 (RFC 6052; RFC 8215, with the
        // address at the end, or in the middle), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, high, middle, last, ..] => embedded(high, (middle << 8) | (last >> 8)),
        // Teredo (RFC 4380), in which nobody serves anything.
        [0x2001, 0, ..] => false,
        // Metadata of AWS, GCP and Oracle.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254]
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254]
        | [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => false,
        // Multicast, and this link.
        [first, ..] => first & 0xff00 != 0xff00 && first & 0xffc0 != 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(reach: &Reach, address: &str) -> bool {
        reach.allows(address.parse().unwrap())
    }

    #[test]
    fn the_public_internet_is_what_no_registry_keeps_back() {
        for address in ["93.184.216.34", "1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(allows(&Reach::Public, address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!allows(&Reach::Public, address), "{address}");
        }
    }

    #[test]
    fn documents_are_not_where_a_cloud_tells_of_the_machine() {
        for address in [
            "93.184.216.34",
            "10.1.2.3",
            "127.0.0.1",
            "::1",
            "fd00::7",
            "2606:4700::1111",
            "64:ff9b::a00:1",
            "64:ff9b:1::5db8:d822",
            "64:ff9b:1:5db8:d8:2200::",
            "::ffff:10.0.0.1",
            // Where others put what has a name: a mesh its services, a container its host.
            "240.240.0.1",
            "169.254.1.2",
        ] {
            assert!(allows(&Reach::Documents, address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "169.254.169.254",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "::ffff:0:a9fe:a9fe",
            "169.254.170.2",
            "100.100.100.200",
            "fd00:c1::a9fe:a9fe",
            "fd20:ce::254",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert!(!allows(&Reach::Documents, address), "{address}");
        }
    }

    #[test]
    fn a_resolver_is_asked_for_the_name_and_nothing_beside_it() {
        // Without the dot at its end `internal` would be `internal.corp.example` where that is a search domain.
        for (host, name) in [("internal", "internal."), ("api.far.example", "api.far.example."), ("a.b.", "a.b.")] {
            assert_eq!(asked(host).as_deref(), Some(name));
        }
        // No name, whatever a resolver takes for an address.
        assert_eq!(asked("127.1").as_deref(), Some("127.1."));
        for (host, places) in [
            ("192.0.2.7", &["192.0.2.7:443"][..]),
            ("2001:db8::7", &["[2001:db8::7]:443"]),
            ("localhost", &["[::1]:443", "127.0.0.1:443"]),
            ("api.localhost", &["[::1]:443", "127.0.0.1:443"]),
        ] {
            assert_eq!(asked(host), None, "{host}");
            let known: Vec<String> = known(host, 443).iter().map(ToString::to_string).collect();
            assert_eq!(known, places);
        }
    }

    #[test]
    fn networks_are_exactly_these() {
        let reach = Reach::Within(Arc::from(["10.0.0.0/8".parse().unwrap()]));
        assert!(allows(&reach, "10.1.2.3") && allows(&reach, "::ffff:10.1.2.3"));
        assert!(!allows(&reach, "1.1.1.1") && !allows(&reach, "127.0.0.1"));
    }
}
