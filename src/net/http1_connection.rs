//! One connection to an upstream by HTTP/1.1, for one request at a time.

use std::{pin::pin, time::Duration};

use futures_util::TryFutureExt;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    time::Instant,
};

use super::{
    body::OutboundBody,
    client::{HEAD_BYTES, IDLE_TIME, within},
    deadline::Alarm,
    joined::Joined,
    patient::{Heard, Patient},
    pause::jittered,
    target::{Origin, Target},
    terms::{Slots, Terms},
};

/// Hardly an upstream closes a connection that has rested for less than this.
const MAY_CLOSE: Duration = Duration::from_millis(500);

type Outbound = Request<OutboundBody>;

/// A connection, which moves on by itself.
///
/// In a box, because it moves through many hands.
#[derive(Debug)]
pub(super) struct Connection(Box<Life>);

#[derive(Debug)]
struct Life {
    sender: http1::SendRequest<OutboundBody>,
    alarm: Alarm,
    heard: Heard,
    origin: Origin,
    terms: Terms,
    // It takes no requests after that.
    until: Instant,
    // When its last exchange was over.
    resting: Instant,
}

impl Connection {
    /// The connection on this stream, which takes up the slot until it ends.
    pub(super) async fn over<T>(stream: T, target: &Target, slot: Option<OwnedSemaphorePermit>) -> hyper::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = Patient::new(stream);
        let heard = stream.heard();
        let io = TokioIo::new(Joined::new(stream));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (sender, connection) = builder.handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an upstream ended");
            }
            drop(slot);
        });
        let now = Instant::now();
        Ok(Self(Box::new(Life {
            sender,
            alarm: Alarm::new(),
            heard,
            origin: target.origin.clone(),
            terms: target.terms.clone(),
            until: now + jittered(target.terms.age),
            resting: now,
        })))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Since when it has rested, if it does.
    pub(super) fn resting(&self) -> Instant {
        self.0.resting
    }

    /// Waits until it can take a request. An error if it never will.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        self.0.sender.ready().await
    }

    /// Sends the request, begun at this time, and waits for the head of the answer; not for longer than the limit while
    /// nothing moves.
    pub(super) async fn send(
        &mut self,
        request: Outbound,
        begun: Instant,
        limit: Duration,
    ) -> Option<Result<Response<Incoming>, Box<TrySendError<Outbound>>>> {
        let Life { sender, alarm, heard, .. } = self.0.as_mut();
        let progress = (!request.body().is_end_stream()).then(|| request.body().progress());
        heard.clear();
        // A failure holds the request, which is large, and the outcome moves through many hands.
        let answer = pin!(sender.try_send_request(request).map_err(Box::new));
        within(alarm, begun, limit, progress.as_deref(), answer).await
    }

    /// Whether anything came of an answer.
    pub(super) fn has_begun(&self) -> bool {
        self.0.heard.is_set()
    }

    /// Notes that its exchange is over. Whether it may rest until the next request.
    pub(super) fn rest(&mut self, now: Instant) -> bool {
        self.0.resting = now;
        !self.is_over(now) && !self.is_in_the_way()
    }

    /// Whether the next request may go on it: only if hyper says that its exchange is over on both sides.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.0.sender.is_ready() && self.is_of_use(now)
    }

    /// Whether it has rested for so long that its upstream may be closing it. What is busy is not watched for that: it costs
    /// a copy of each request.
    pub(super) fn may_be_closing(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0.resting) >= MAY_CLOSE
    }

    /// Whether it takes no requests any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.sender.is_closed() || !self.is_of_use(now)
    }

    pub(super) fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0.resting) > IDLE_TIME
    }

    fn is_of_use(&self, now: Instant) -> bool {
        now < self.0.until && !self.0.terms.gone.is_set()
    }

    pub(super) fn is_in_the_way(&self) -> bool {
        self.0.terms.slots.as_ref().is_some_and(Slots::are_wanted)
    }
}
