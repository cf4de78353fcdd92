//! The beginning of a connection: whose it is, and what it speaks.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConnection;
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
    server_names::AskedName,
    socket::{Socket, prepare},
    sources::SourcePlace,
    target::TargetUrl,
    tls::ServerTls,
};

/// A connection of which is known whose it is and what it speaks.
pub(super) struct Opened {
    pub(super) speaks: Protocol,
    pub(super) io: Replayed<Channel>,
    pub(super) peer: Peer,
    // Among the connections of its source.
    pub(super) place: Option<SourcePlace>,
}

/// Waits for what a connection begins with; `None` if it has ended before its first request.
pub(super) async fn opened<H: Handler>(
    (mut stream, source): (Socket, Option<SocketAddr>),
    (arrival, identity): (Arrival, Option<ServerTls>),
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
    // A proxy's connections are those of many.
    let counted = peer.source.filter(|_| peer.forwards.is_none());
    let place = arrival.sources.as_ref().zip(counted).map(|(sources, source)| sources.enter(source));
    let place = match place {
        Some(None) => {
            handler.refused(Refused::TooManyOfSource);
            return None;
        }
        place => place.flatten(),
    };
    let Some(identity) = identity else {
        let (speaks, io) = begun(Channel::Left(stream), settings, drain, handler).await?;
        return Some(Opened { speaks, io, peer, place });
    };
    let acceptor = TlsAcceptor::from(identity.config);
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
            let named = identity.by_name.map(|names| Arc::new(AskedName::new(tls.server_name(), &names)));
            let peer = Peer { certificates, transport: Transport::Tls, asked_name: named, ..peer };
            let chosen = Chosen::of(tls);
            let (speaks, io) =
                after_handshake(Channel::Right(Box::new(stream)), chosen, settings, drain, handler).await?;
            Some(Opened { speaks, io, peer, place })
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
        prepare(stream);
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
    peer.role = arrival.role.clone();
    let forwarders = arrival.forwarders.as_ref().filter(|forwarders| forwarders.proxies.trust(peer.source));
    peer.forwards = forwarders.map(|forwarders| forwarders.hops);
    if arrival.original_destination {
        let destination = stream.original_destination();
        peer.destination = destination.map(|to| (Arc::new(TargetUrl::of_address(to)), to.ip()));
    }
    Ok(peer)
}

/// What client and server have chosen in their handshake (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen {
    Http2,
    /// Nothing, or HTTP/1.1.
    Http1,
}

impl Chosen {
    pub(super) fn of(tls: &ServerConnection) -> Self {
        if tls.alpn_protocol() == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }
}

/// What a connection speaks after its handshake; `None` if it does not begin.
pub(super) async fn after_handshake<H: Handler>(
    io: Channel,
    chosen: Chosen,
    settings: ServerSettings,
    drain: &mut DrainSignal,
    handler: &H,
) -> Option<(Protocol, Replayed<Channel>)> {
    match chosen {
        // Who has asked for it has to begin with it too.
        Chosen::Http2 => begun(io, settings, drain, handler).await,
        Chosen::Http1 => Some((Protocol::Http1, Replayed::unread(io))),
    }
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
