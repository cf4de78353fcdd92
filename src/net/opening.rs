//! The beginning of a connection: whose it is, and what it speaks.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{
    channel::Channel,
    drain::DrainSignal,
    listener::Arrival,
    peer::{Peer, Transport},
    preface::{Protocol, Replayed, preface},
    proxies::Refused,
    proxy_header::Passed,
    server::{Handler, ServerSettings},
    socket::Socket,
    sources::SourcePlace,
    target::TargetUrl,
};

/// A connection of which is known whose it is and what it speaks.
pub(super) struct Opened {
    pub(super) protocol: Protocol,
    pub(super) io: Replayed<Channel>,
    pub(super) peer: Peer,
    // Among the connections of its source.
    pub(super) place: Option<SourcePlace>,
}

/// Waits for what a connection begins with; `None` if it has ended before its first request.
pub(super) async fn opened<H: Handler>(
    (mut stream, source): (Socket, Option<SocketAddr>),
    (arrival, acceptor): (Arrival, Option<TlsAcceptor>),
    settings: ServerSettings,
    drain: &mut DrainSignal,
    handler: &H,
) -> Option<Opened> {
    let arrived = tokio::select! {
        biased;
        arrived = arrived((&mut stream, source), &arrival, settings) => arrived,
        () = drain.left_for(settings.linger) => return None,
    };
    let peer = arrived.map_err(|refused| handler.refused(refused)).ok()?;
    let place = arrival.sources.as_ref().zip(peer.source).map(|(sources, source)| sources.enter(source));
    let place = match place {
        Some(None) => {
            handler.refused(Refused::TooManyOfSource);
            return None;
        }
        place => place.flatten(),
    };
    let Some(acceptor) = acceptor else {
        let (protocol, io) = begun(Channel::Clear(stream), settings, drain, handler).await?;
        return Some(Opened { protocol, io, peer, place });
    };
    let accepted = tokio::select! {
        biased;
        accepted = timeout(settings.handshake, acceptor.accept(stream)) => accepted,
        () = drain.left_for(settings.linger) => return None,
    };
    match accepted {
        Ok(Ok(stream)) => {
            let tls = stream.get_ref().1;
            let shown = tls.peer_certificates().unwrap_or_default();
            let certificates = shown.iter().map(|certificate| Box::from(certificate.as_ref())).collect();
            let peer = Peer { certificates, transport: Transport::Tls, ..peer };
            // Who has asked for HTTP/2 has to begin with it too.
            let is_http2 = tls.alpn_protocol() == Some(b"h2");
            let io = Channel::Tls(Box::new(stream));
            let (protocol, io) = if is_http2 {
                begun(io, settings, drain, handler).await?
            } else {
                (Protocol::Http1, Replayed::unread(io))
            };
            Some(Opened { protocol, io, peer, place })
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %peer.address, "a TLS handshake failed");
            handler.refused(Refused::TlsHandshake);
            None
        }
        Err(_) => {
            tracing::debug!(peer = %peer.address, "a TLS handshake took too long");
            handler.refused(Refused::SlowTlsHandshake);
            None
        }
    }
}

/// Whose connection it is, and where it was meant to go.
async fn arrived(
    (stream, source): (&mut Socket, Option<SocketAddr>),
    arrival: &Arrival,
    settings: ServerSettings,
) -> Result<Peer, Refused> {
    if let Socket::Tcp(stream) = stream {
        // Small answers must not wait for acknowledgements; where that cannot be had, they are slower, not wrong.
        let _ = stream.set_nodelay(true);
    }
    let passed = match &arrival.proxies {
        None => Passed::Unnamed,
        Some(proxies) => {
            let read = timeout(settings.handshake, proxies.header(source.map(|source| source.ip()), stream)).await;
            read.unwrap_or(Err(Refused::SlowProxyHeader)).inspect_err(|refused| {
                tracing::debug!(reason = refused.name(), proxy = ?source, "a connection was refused");
            })?
        }
    };
    let mut peer = match passed {
        Passed::Client(client) => Peer::at(Some(client)),
        Passed::Unnamed => Peer::at(source),
    };
    if arrival.original_destination {
        let destination = stream.original_destination();
        peer.destination = destination.map(|to| (Arc::new(TargetUrl::of_address(to)), to.ip()));
    }
    Ok(peer)
}

/// What the first bytes tell of; `None` if they do not come.
async fn begun<H: Handler>(
    io: Channel,
    settings: ServerSettings,
    drain: &mut DrainSignal,
    handler: &H,
) -> Option<(Protocol, Replayed<Channel>)> {
    let speaks = tokio::select! {
        biased;
        speaks = timeout(settings.handshake, preface(io)) => speaks,
        () = drain.left_for(settings.linger) => return None,
    };
    speaks.unwrap_or_else(|_late| {
        handler.refused(Refused::SlowFirstByte);
        None
    })
}
