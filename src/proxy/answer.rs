//! The body of an answer. It carries the exchange to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::{
    access::{Reason, TooManyTrailers, trailers},
    net::{Spent, UpstreamBody},
};

use super::{exchange::Exchange, grpc, lasting::Lasting, listing::ListedEvents, rejection::Rejection, tunnel::Tunnel};

/// What the client gets: bytes that are there, or the upstream's body as it comes.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Bytes),
    /// What is told of lists in a stream of events may not pass whole.
    Upstream(UpstreamBody, Box<Lasting>, Option<Box<ListedEvents>>),
    /// No body: the connection goes on in another protocol.
    Switched(Box<Tunnel>),
}

impl Content {
    /// What it is permitted by for as long as it lasts; `None` of what is there already.
    pub(super) fn lasting(&self) -> Option<&Lasting> {
        match self {
            Self::Whole(_) => None,
            Self::Upstream(_, lasting, _) => Some(lasting),
            Self::Switched(tunnel) => Some(&tunnel.lasting),
        }
    }
}

/// Why an answer broke off.
#[derive(Debug, Error)]
pub enum BrokenOff {
    /// The upstream broke it off.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// What follows it may not pass.
    #[error(transparent)]
    Trailers(#[from] TooManyTrailers),
    /// It lasted until it was not permitted any more, or no more of it may pass, or its request's body came too slowly.
    #[error("cut off: {0}")]
    Cut(Reason),
}

/// The body of an answer; when it ends or breaks off, its exchange is recorded.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    /// Somebody has asked for it.
    has_begun: bool,
    // The next piece may not pass, and nothing after it.
    spent: Option<Spent>,
    exchange: Option<Exchange>,
}

/// Ties the exchange to its answer.
pub(super) fn answer(mut response: Response<Content>, mut exchange: Exchange) -> Response<AnswerBody> {
    exchange.answering(response.status().as_u16());
    if exchange.is_call() {
        exchange.call_ended(response.headers());
    }
    let is_head = exchange.is_head();
    exchange.take_marks().name_in(response.headers_mut());
    let (mut parts, content) = response.into_parts();
    let content = match content {
        Content::Switched(tunnel) => {
            parts.extensions.insert(tunnel.after(exchange));
            let content = Content::Whole(Bytes::new());
            return Response::from_parts(parts, AnswerBody { content, has_begun: false, spent: None, exchange: None });
        }
        content @ (Content::Whole(_) | Content::Upstream(..)) => content,
    };
    Response::from_parts(parts, ()).map(|()| {
        let mut body = AnswerBody { content, has_begun: false, spent: None, exchange: Some(exchange) };
        // The answer to HEAD ends with its head: nobody will ask for its body.
        if is_head || body.is_end_stream() {
            body.complete();
        }
        body
    })
}

impl AnswerBody {
    fn complete(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.completed();
        }
    }

    /// Ends it before its end: dropped without `completed`, its record says so. A call ends with a status that says why,
    /// everything else with an error, so that it never looks like the end.
    fn cut(&mut self, rejection: &Rejection) -> Result<Frame<Bytes>, BrokenOff> {
        let Some(mut exchange) = self.exchange.take() else { return Err(BrokenOff::Cut(rejection.reason)) };
        exchange.cut(rejection);
        if !exchange.is_call() {
            return Err(BrokenOff::Cut(rejection.reason));
        }
        // With the upstream's body its stream ends.
        self.content = Content::Whole(Bytes::new());
        let shown = rejection.shown(exchange.hides_existence());
        let trailers = grpc::trailers(shown, &rejection.message(shown));
        exchange.call_ended(&trailers);
        Ok(Frame::trailers(trailers))
    }

    /// Why it ends while nothing of it may pass, because its client takes nothing.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<BrokenOff> {
        let rejection = match &mut self.content {
            // It is not the upstream that pauses.
            Content::Upstream(_, lasting, _) => ready!(lasting.poll_over(cx, None)),
            Content::Whole(_) | Content::Switched(_) => return Poll::Pending,
        };
        self.cut(&rejection).err().map_or(Poll::Pending, Poll::Ready)
    }

    /// What of a piece is not hidden; `None` if that is nothing, or has to be looked at together with what comes next.
    fn filtered(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Rejection> {
        let Content::Upstream(_, lasting, Some(events)) = &mut self.content else { return Ok(Some(frame)) };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Ok(Some(trailers)),
        };
        let (passed, items) = events.pass(&data, || lasting.decide_again())?;
        if let (Some(items), Some(exchange)) = (items, &mut self.exchange) {
            exchange.filtered(items);
        }
        Ok((!passed.is_empty()).then(|| Frame::data(passed)))
    }

    /// What of a piece travels on, if anything does; of trailers, what may be one.
    fn passed(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, BrokenOff> {
        let received = match frame.into_trailers() {
            Ok(received) => received,
            Err(data) => return Ok(Some(data)),
        };
        let kept = trailers(received)?;
        if let Some(exchange) = &mut self.exchange {
            exchange.call_ended(&kept);
        }
        self.complete();
        Ok((!kept.is_empty()).then(|| Frame::trailers(kept)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let body = self.get_mut();
        if let Some(spent) = body.spent {
            return Poll::Ready(Some(body.cut(&spent.into())));
        }
        let frame = match &mut body.content {
            Content::Switched(_) => None,
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Upstream(upstream, lasting, _) => {
                let frame = Pin::new(upstream).poll_frame(cx);
                // An answer in one piece that is there does not last.
                let lasts = match &frame {
                    Poll::Pending => true,
                    Poll::Ready(frame) => body.has_begun && frame.is_some(),
                };
                if frame.is_ready() {
                    lasting.pause.end();
                }
                let sent = || body.exchange.as_ref().map(Exchange::sent_upstream);
                if lasts && let Poll::Ready(rejection) = lasting.poll_over(cx, sent()) {
                    return Poll::Ready(Some(body.cut(&rejection)));
                }
                body.has_begun = true;
                // The request's body may still be on its way, and may have been cut off.
                if let Poll::Ready(Some(Err(_))) = &frame {
                    let is_too_slow = body.exchange.as_ref().is_some_and(Exchange::is_too_slow);
                    let too_slow = is_too_slow.then(|| Rejection::new(Reason::BodyTimeout));
                    if let Some(rejection) = too_slow.or_else(|| lasting.refused()) {
                        return Poll::Ready(Some(body.cut(&rejection)));
                    }
                }
                let frame = ready!(frame);
                let piece = frame.as_ref().and_then(|frame| frame.as_ref().ok());
                let passed = piece.zip(body.exchange.as_ref()).map_or(Ok(()), |(piece, exchange)| exchange.pass(piece));
                if let Err(spent) = passed {
                    // What has passed is sent before the connection or the stream ends, which drops what waits.
                    body.spent = Some(spent);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let frame = match frame.map(|frame| frame.map(|frame| body.filtered(frame))) {
                    Some(Ok(Ok(Some(frame)))) => Some(Ok(frame)),
                    Some(Ok(Ok(None))) => {
                        // Nothing of it may pass yet.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Some(Ok(Err(rejection))) => return Poll::Ready(Some(body.cut(&rejection))),
                    Some(Err(error)) => Some(Err(error)),
                    None => None,
                };
                frame.and_then(|frame| match frame {
                    Ok(frame) => body.passed(frame).transpose(),
                    Err(error) => Some(Err(error.into())),
                })
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(exchange), Some(data)) = (&mut body.exchange, frame.data_ref()) {
                    exchange.sent_to_client(data.len());
                }
                if body.is_end_stream() {
                    body.complete();
                }
            }
            // Dropped without `completed`: the record says that the answer broke off.
            Some(Err(_)) => body.exchange = None,
            None => body.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Switched(_) => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Upstream(upstream, ..) => upstream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Switched(_) => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Upstream(_, _, Some(_)) => SizeHint::default(),
            Content::Upstream(upstream, _, None) => upstream.size_hint(),
        }
    }
}
