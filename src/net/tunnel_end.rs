//! What is said in a tunnel: it ends here, and is HTTP like everything else.

use std::{fmt::Debug, pin::Pin, sync::Arc};

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    channel::{Channel, Stream},
    drain::DrainSignal,
    interception::NotIntercepted,
    opening::{Chosen, after_handshake},
    peer::{Peer, Transport},
    proxies::Refused,
    resting::Lent,
    role::{Role, TunnelEnd},
    server::{Handler, ServerSettings, speak},
};

/// A tunnel that its client may have: an extension of the answer to CONNECT, after which it is served.
#[derive(Debug, Clone)]
pub struct OpenedTunnel {
    /// What it is for.
    pub end: Arc<TunnelEnd>,
    /// The client's connection, once the answer was sent.
    pub connection: OnUpgrade,
    /// What it takes up until it is closed.
    pub place: Arc<dyn Debug + Send + Sync>,
}

impl OpenedTunnel {
    /// Takes it out of the answer, if the answer opens one.
    pub(super) fn take<B>(response: &mut Response<B>) -> Option<Self> {
        response.extensions_mut().remove()
    }
}

/// Serves what comes out of the tunnel until it ends, or has to: a TLS handshake for its host within the time of every
/// other one, then HTTP/2 or HTTP/1.1 (ALPN). The age in the settings is what is left of its connection's.
///
/// In a box, because a connection is served within a connection.
pub(super) fn serve_tunnel<T, H>(
    opened: OpenedTunnel,
    (handler, peer): (H, Peer),
    settings: Arc<ServerSettings>,
    mut drain: DrainSignal,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    Box::pin(async move {
        let OpenedTunnel { end, connection, place: _place } = opened;
        let Role::Proxy(Some(interception)) = &peer.role else { return };
        let Some(stream) = stream::<T>(connection).await else {
            return handler.refused(Refused::EarlyTunnelBytes);
        };
        let peer = Peer { role: Role::TunnelEnd(Arc::clone(&end)), transport: Transport::Tls, ..peer.clone() };
        let accepted = tokio::select! {
            biased;
            accepted = timeout(settings.handshake, interception.accept(&end.host, stream)) => accepted,
            () = drain.left_for(settings.linger) => return,
        };
        let refused = match accepted {
            Ok(Ok(stream)) => {
                let chosen = Chosen::of(stream.get_ref().1);
                let io = Channel::Right(Box::new(stream));
                let begun = after_handshake(io, chosen, *settings, &mut drain, &handler).await;
                let Some((speaks, io)) = begun else { return };
                return speak(speaks, io, peer, settings, drain, &handler).await;
            }
            Ok(Err(NotIntercepted::OtherServer)) => {
                handler.misdirected(&peer);
                Refused::TlsHandshake
            }
            Ok(Err(NotIntercepted::Handshake(error))) => {
                tracing::debug!(%error, peer = %peer.address, host = %end.host, "a TLS handshake in a tunnel failed");
                Refused::TlsHandshake
            }
            Ok(Err(NotIntercepted::Certificate(problem))) => {
                tracing::error!(%problem, host = %end.host, "there is no certificate for the end of a tunnel");
                Refused::TlsHandshake
            }
            Err(_) => Refused::SlowTlsHandshake,
        };
        handler.refused(refused);
    })
}

/// What is left of the client's connection; `None` if it broke, or if something was sent before the answer: whoever does
/// not wait for that might have meant it for somebody else.
async fn stream<T>(connection: OnUpgrade) -> Option<Box<dyn Stream>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let parts = connection.await.ok()?.downcast::<TokioIo<Lent<T>>>().ok()?;
    // What looks after the connection looks after the one within it from now on.
    let stream = parts.io.into_inner().into_inner()?.into_inner()?.into_inner().into_inner().into_inner();
    parts.read_buf.is_empty().then(|| Box::new(stream) as Box<dyn Stream>)
}
