//! Bodies on their way to an upstream and back.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;

use super::{
    allowance::{Allowance, Spent},
    attempts::Place,
    http1_client::Lease,
    http2_connection::Stream,
    pace::RequestBody,
};

/// Why a body does not come to its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The other side broke it off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It came too slowly.
    #[error("it came too slowly")]
    TooSlow,
    /// The rest of it may not pass.
    #[error(transparent)]
    Cut(#[from] Spent),
    /// It is not permitted any more.
    #[error("it is not permitted any more")]
    Refused,
    /// The exchange that it belongs to is over: what passed now would be in no record.
    #[error("its exchange is over")]
    Over,
}

/// How far a body has come, for the one who records it.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    attempts: AtomicU32,
    is_over: AtomicBool,
    is_too_slow: AtomicBool,
    // Pieces of it come while it is sent.
    is_streamed: AtomicBool,
    // Who waits for the next piece.
    waiting: AtomicWaker,
}

impl Progress {
    /// What was handed to the connection, in bytes.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often its request was sent, or could not be for want of a connection.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn attempted(&self) {
        // By one task at a time.
        self.attempts.store(self.attempts().saturating_add(1), Ordering::Relaxed);
    }

    /// So many bytes pass that no body holds.
    pub fn pass(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Nothing of it counts: all of it is handed over once more.
    pub(super) fn begin_again(&self) {
        self.sent.store(0, Ordering::Relaxed);
    }

    /// Whether the body came too slowly.
    pub fn is_too_slow(&self) -> bool {
        self.is_too_slow.load(Ordering::Relaxed)
    }

    /// Nothing passes any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        // Set before anybody waits, by the task that ends it.
        if self.is_streamed.load(Ordering::Relaxed) {
            self.waiting.wake();
        }
    }
}

/// Says, while a body passes, whether more of it may.
pub trait Gate: std::fmt::Debug + Send {
    /// Whether the next piece may pass.
    fn may_pass(&mut self) -> bool;
}

/// A body for an upstream: none, one that was read whole, or one that streams through.
///
/// Trailers are not passed on: they could carry what the head may not.
#[derive(Debug)]
pub struct OutboundBody {
    progress: Arc<Progress>,
    // In a box, because a request moves through many hands, and most have no body.
    coming: Option<Box<Coming>>,
}

/// What is yet to come of a body, and what has to pass it.
#[derive(Debug)]
struct Coming {
    source: Source,
    // Of what streams through, if it is bounded.
    allowance: Option<Allowance>,
    gate: Option<Box<dyn Gate>>,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Streamed(RequestBody),
}

impl Source {
    fn is_over(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(incoming) => incoming.is_end_stream(),
        }
    }
}

impl OutboundBody {
    /// The body that was inspected; empty for none.
    pub fn whole(bytes: Bytes, progress: Arc<Progress>) -> Self {
        Self::of(Source::Whole(bytes), progress)
    }

    /// The client's body as it comes, at the pace that the upstream takes it.
    pub fn streamed(body: RequestBody, progress: Arc<Progress>) -> Self {
        let body = Self::of(Source::Streamed(body), progress);
        body.progress.is_streamed.store(body.is_streamed(), Ordering::Relaxed);
        body
    }

    fn of(source: Source, progress: Arc<Progress>) -> Self {
        let is_empty = source.is_over();
        Self { progress, coming: (!is_empty).then(|| Coming::of(source)) }
    }

    fn source(&self) -> Option<&Source> {
        self.coming.as_ref().map(|coming| &coming.source)
    }

    /// Whether it comes from the client while it is sent.
    pub fn is_streamed(&self) -> bool {
        matches!(self.source(), Some(Source::Streamed(_)))
    }

    /// The bytes of a body that was read whole and is not empty.
    pub fn read(&self) -> Option<&Bytes> {
        match self.source()? {
            Source::Whole(bytes) => Some(bytes).filter(|bytes| !bytes.is_empty()),
            Source::Streamed(_) => None,
        }
    }

    /// Asks for each piece whether it may pass.
    pub fn behind(&mut self, gate: Box<dyn Gate>) {
        self.coming.get_or_insert_with(|| Coming::of(Source::Whole(Bytes::new()))).gate = Some(gate);
    }

    /// The same body, as far as it is within the allowance: the rest is cut off, and with it the exchange. Refuses one of
    /// which it is known already that not all of it may pass; of one that was read whole, all is spent now.
    pub fn within(mut self, allowance: &Allowance) -> Result<Self, Spent> {
        let known = self.size_hint().lower();
        if !allowance.has_room_for(known) {
            return Err(Spent);
        }
        match self.coming.as_deref_mut() {
            Some(Coming { source: Source::Whole(bytes), .. }) => allowance.spend(bytes.len())?,
            Some(coming) => coming.allowance = Some(allowance.clone()),
            None => {}
        }
        Ok(self)
    }

    /// Gives back what [`Self::within`] spent: the body will not pass.
    pub fn give_back(&self, allowance: &Allowance) {
        match self.source() {
            Some(Source::Whole(bytes)) => allowance.give_back(bytes.len()),
            Some(Source::Streamed(_)) | None => {}
        }
    }

    /// The same body once more, if all of it is there. The gate is before the last one that is made.
    pub(super) fn repeated(&mut self) -> Option<Self> {
        let Some(coming) = &mut self.coming else { return Some(Self::whole(Bytes::new(), self.progress())) };
        let bytes = match &coming.source {
            Source::Whole(bytes) => bytes.clone(),
            Source::Streamed(incoming) if incoming.is_end_stream() => Bytes::new(),
            Source::Streamed(_) => return None,
        };
        let gate = coming.gate.take();
        let mut repeated = Self::whole(bytes, self.progress());
        if let Some(gate) = gate {
            repeated.behind(gate);
        }
        Some(repeated)
    }

    /// Whether its gate lets more of it pass, and what it is the body of.
    pub(super) fn may_pass(&mut self) -> bool {
        self.coming.as_mut().is_none_or(|coming| coming.may_pass())
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// It is handed over, perhaps once more: what counts is the last time.
    pub(super) fn attempted(&self) {
        self.progress.begin_again();
        self.progress.attempted();
    }
}

impl Coming {
    fn of(source: Source) -> Box<Self> {
        Box::new(Self { source, allowance: None, gate: None })
    }

    fn may_pass(&mut self) -> bool {
        self.gate.as_mut().is_none_or(|gate| gate.may_pass())
    }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { progress, coming } = self.get_mut();
        let Some(coming) = coming else { return Poll::Ready(None) };
        let data = match &mut coming.source {
            Source::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Whole(bytes) => std::mem::take(bytes),
            Source::Streamed(incoming) => {
                progress.waiting.register(cx.waker());
                if progress.is_over.load(Ordering::Acquire) {
                    return Poll::Ready(Some(Err(BodyError::Over)));
                }
                match ready!(Pin::new(incoming).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => {
                        progress.is_too_slow.fetch_or(matches!(error, BodyError::TooSlow), Ordering::Relaxed);
                        return Poll::Ready(Some(Err(error)));
                    }
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => data,
                        Err(_trailers) => return Poll::Ready(None),
                    },
                }
            }
        };
        if !coming.may_pass() {
            return Poll::Ready(Some(Err(BodyError::Refused)));
        }
        if let Some(Err(spent)) = coming.allowance.as_ref().map(|allowance| allowance.spend(data.len())) {
            return Poll::Ready(Some(Err(spent.into())));
        }
        progress.pass(data.len());
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.source().is_none_or(Source::is_over)
    }

    fn size_hint(&self) -> SizeHint {
        match self.source() {
            None => SizeHint::with_exact(0),
            Some(Source::Whole(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Some(Source::Streamed(incoming)) => incoming.size_hint(),
        }
    }
}

/// An upstream's body. Once it is read to its end, its connection can serve another request in its place; not before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    held: Option<Held>,
    // What the request takes up at its upstream, where that is counted.
    place: Option<Box<Place>>,
}

/// What an answer holds on to until it is read.
#[derive(Debug)]
enum Held {
    /// A whole connection.
    Connection(Lease),
    /// A place on a connection that is shared.
    Stream { _place: Stream },
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        Self::holding(incoming, Held::Connection(lease))
    }

    /// Of a connection that is used once.
    pub(super) fn alone(incoming: Incoming) -> Self {
        Self { incoming, held: None, place: None }
    }

    pub(super) fn of_stream(incoming: Incoming, place: Stream) -> Self {
        Self::holding(incoming, Held::Stream { _place: place })
    }

    fn holding(incoming: Incoming, held: Held) -> Self {
        let mut body = Self { incoming, held: Some(held), place: None };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// Takes up the place until its end.
    pub fn take_up(&mut self, place: Box<Place>) {
        self.place = Some(place).filter(|_| !self.incoming.is_end_stream());
    }

    fn release(&mut self) {
        self.place = None;
        match self.held.take() {
            Some(Held::Connection(lease)) => lease.give_back(),
            Some(Held::Stream { .. }) | None => {}
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Err(_)) => (self.held, self.place) = (None, None),
            Some(Ok(frame)) if !self.incoming.is_end_stream() && !frame.is_trailers() => {}
            Some(Ok(_)) | None => self.release(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
