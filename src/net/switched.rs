//! Connections that go on in another protocol after their last answer (101, RFC 9110, section 7.8).

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, Response};
use hyper::{
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    time::{Duration, Instant, timeout_at},
};

use super::{
    body::{OutboundBody, UpstreamBody},
    client::{ClientError, HEAD_BYTES, broken, secure, slot, within},
    deadline::Alarm,
    drain::DrainSignal,
    http1_client::HTTP1,
    joined::Joined,
    target::Target,
};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Begin = Box<dyn FnOnce(DrainSignal) -> Work + Send>;

/// What a connection does after an answer with 101, of which it is an extension. It is told of the drain, and the
/// connection holds the drain open until it ends.
#[derive(Clone)]
pub struct Switched(Arc<Mutex<Option<Begin>>>);

/// A connection that does not speak HTTP any more, with what was read of it already.
pub type SwitchedConnection = TokioIo<Upgraded>;

/// The connection, as soon as the answer with 101 has passed on it; an error if none did.
pub async fn switched(connection: OnUpgrade) -> Result<SwitchedConnection, hyper::Error> {
    connection.await.map(TokioIo::new)
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switched")
    }
}

impl Switched {
    /// What is done once the answer is sent; if it never is, it is dropped.
    pub fn new<F>(begin: impl FnOnce(DrainSignal) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(Mutex::new(Some(Box::new(|drain| Box::pin(begin(drain)))))))
    }

    pub(super) async fn run(&self, drain: DrainSignal) {
        let begin = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(begin) = begin {
            begin(drain).await;
        }
    }
}

/// A connection by HTTP/1.1 for one request that asks for another protocol: no other one gets it.
#[derive(Debug)]
pub(super) struct Alone {
    sender: http1::SendRequest<OutboundBody>,
    /// What it takes up for as long as it is used.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl Alone {
    /// Connects to this place within the limit.
    pub(super) async fn connect(target: &Target, limit: Duration) -> Result<Self, ClientError> {
        let deadline = Instant::now() + limit;
        let slot = slot(target, deadline).await?;
        let connected = timeout_at(deadline, connect(target)).await;
        Ok(Self { sender: connected.map_err(|_| ClientError::ConnectTimeout)??, slot })
    }

    /// Sends the request, and waits for the head of the answer. If that is 101, the connection is an extension of it
    /// ([`OnUpgrade`]).
    pub(super) async fn send(
        &mut self,
        request: Box<Request<OutboundBody>>,
        limit: Duration,
    ) -> Result<Response<UpstreamBody>, ClientError> {
        let progress = request.body().progress();
        let (mut alarm, begun) = (Alarm::new(), Instant::now());
        let answer = std::pin::pin!(self.sender.send_request(*request));
        let answer = within(&mut alarm, begun, limit, Some(&progress), answer).await;
        let response = answer.ok_or(ClientError::ResponseTimeout)?.map_err(broken)?;
        Ok(response.map(UpstreamBody::alone))
    }
}

async fn connect(target: &Target) -> Result<http1::SendRequest<OutboundBody>, ClientError> {
    let stream = target.connect().await.map_err(ClientError::Connect)?;
    match &target.origin.tls {
        None => handshake(stream).await,
        Some(tls) => {
            let stream = secure(&target.origin.url, tls, stream, &[HTTP1]).await.map_err(ClientError::Connect)?;
            handshake(stream).await
        }
    }
}

async fn handshake<T>(stream: T) -> Result<http1::SendRequest<OutboundBody>, ClientError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let made = builder.handshake(TokioIo::new(Joined::new(stream))).await;
    let (sender, connection) = made.map_err(ClientError::Broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an upstream ended");
        }
    });
    Ok(sender)
}
