//! The client behind a trusted proxy that passes on the requests of many over its own connections.

use http::{HeaderMap, HeaderValue};

use crate::{
    access::{Forwarded, Malformed, Scheme},
    net::{Peer, Transport},
};

/// The other end of a request with these fields, as its trusted proxy tells it; `None` where none is trusted, or where it
/// says nothing: then it asks for itself.
pub(super) fn client(peer: &Peer, headers: &HeaderMap) -> Result<Option<Peer>, Malformed> {
    let Some(hops) = peer.forwards else { return Ok(None) };
    let Forwarded { addresses, scheme } = Forwarded::read(headers, hops)?;
    let Some(client) = addresses.first() else { return Ok(None) };
    let seen = addresses.iter().map(ToString::to_string);
    // The whole way that is known, as the next server would have it from a proxy of this kind.
    let way: Vec<String> = seen.chain(peer.source.map(|source| source.to_string())).collect();
    let forwarded_for = HeaderValue::try_from(way.join(", ")).map_err(|_| Malformed::Header("X-Forwarded-For"))?;
    let transport = match scheme {
        Some(Scheme::Https) => Transport::Tls,
        Some(Scheme::Http) => Transport::Clear,
        None => peer.transport,
    };
    let address = client.to_string().into();
    Ok(Some(Peer { address, forwarded_for, source: Some(*client), transport, ..peer.clone() }))
}
