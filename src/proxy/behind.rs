//! The client behind a trusted proxy that passes on the requests of many over its own connections.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::{
    access::{Forwarded, Malformed, Scheme},
    net::{Peer, Transport},
};

/// The other end of a request with these fields, as its trusted proxy tells it: where it says nothing, or nothing that can be
/// read, the proxy itself.
///
/// A certificate of the connection is the proxy's, and no credential of whoever it speaks for.
pub(super) fn client(peer: &Peer, hops: usize, headers: &HeaderMap) -> Peer {
    let itself = Peer { certificates: Arc::default(), ..peer.clone() };
    let Ok(Forwarded { addresses, scheme }) = Forwarded::read(headers, hops) else { return itself };
    let transport = match scheme {
        Some(Scheme::Https) => Transport::Tls,
        Some(Scheme::Http) => Transport::Clear,
        None => peer.transport,
    };
    let Some(client) = addresses.first() else { return Peer { transport, ..itself } };
    let seen = addresses.iter().map(ToString::to_string);
    // The whole way that is known, as the next server would have it from a proxy of this kind.
    let way: Vec<String> = seen.chain(peer.source.map(|source| source.to_string())).collect();
    // Addresses and commas are a field's value.
    let forwarded_for = HeaderValue::try_from(way.join(", ")).unwrap_or_else(|_| peer.forwarded_for.clone());
    let address = client.to_string().into();
    Peer { address, forwarded_for, source: Some(*client), transport, ..itself }
}

/// Refuses a request of which its trusted proxy says something that cannot be read.
pub(super) fn check(peer: &Peer, headers: &HeaderMap) -> Result<(), Malformed> {
    match peer.forwards {
        Some(hops) => Forwarded::read(headers, hops).map(|_| ()),
        None => Ok(()),
    }
}
