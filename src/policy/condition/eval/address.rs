//! IP addresses and networks, as Go's `net/netip` reads them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// An address. An IPv4 address written as IPv6 is an IPv4 address, so that no spelling leaves a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy::condition) enum IpAddress {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// An address of one link: it is in no network.
    Zoned(Arc<(Ipv6Addr, Box<str>)>),
}

impl IpAddress {
    /// Reads an address.
    pub(in crate::policy::condition) fn parse(text: &str) -> Option<Self> {
        if let Some((address, zone)) = text.split_once('%') {
            let address: Ipv6Addr = address.parse().ok()?;
            if zone.is_empty() {
                return None;
            }
            return Some(match address.to_ipv4_mapped() {
                Some(address) => Self::V4(address),
                None => Self::Zoned(Arc::new((address, zone.into()))),
            });
        }
        Some(match text.parse().ok()? {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => address.to_ipv4_mapped().map_or(Self::V6(address), Self::V4),
        })
    }

    /// Whether the address is in the network. `None` if the text is not one.
    pub(super) fn is_in(&self, network: &str) -> Option<bool> {
        let (address, bits) = network.rsplit_once('/')?;
        let legal = bits == "0" || (bits.len() <= 3 && bits.starts_with(|c: char| ('1'..='9').contains(&c)));
        if !legal || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let bits: u32 = bits.parse().ok()?;
        let (network, bits) = match address.parse().ok()? {
            IpAddr::V4(_) if bits > 32 => return None,
            IpAddr::V6(_) if bits > 128 => return None,
            IpAddr::V6(address) => match (address.to_ipv4_mapped(), bits.checked_sub(96)) {
                (Some(address), Some(bits)) => (IpAddr::V4(address), bits),
                _ => (IpAddr::V6(address), bits),
            },
            IpAddr::V4(address) => (IpAddr::V4(address), bits),
        };
        Some(match (self, network) {
            (Self::V4(address), IpAddr::V4(network)) => {
                let differ = address.to_bits() ^ network.to_bits();
                differ.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (Self::V6(address), IpAddr::V6(network)) => {
                let differ = address.to_bits() ^ network.to_bits();
                differ.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}
