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
    access::Reason,
    net::{Spent, UpstreamBody},
};

use super::{exchange::Exchange, lasting::Lasting, rejection::Rejection};

/// What the client gets: bytes that are there, or the upstream's body as it comes.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Bytes),
    Upstream(UpstreamBody, Box<Lasting>),
}

/// Why an answer broke off.
#[derive(Debug, Error)]
pub enum BrokenOff {
    /// The upstream broke it off.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// No more of it may pass.
    #[error(transparent)]
    Spent(#[from] Spent),
    /// It lasted until it was not permitted any more, or its request's body came too slowly.
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
    let is_head = exchange.is_head();
    super::upstream::mark(response.headers_mut(), exchange.marks());
    response.map(|content| {
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

    /// Ends it before its end: dropped without `completed`, its record says so.
    fn cut(&mut self, rejection: &Rejection) -> BrokenOff {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.cut(rejection);
        }
        BrokenOff::Cut(rejection.reason)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let body = self.get_mut();
        if let Some(spent) = body.spent {
            // An error, so that it never looks like the end. The record says why.
            body.exchange = None;
            return Poll::Ready(Some(Err(spent.into())));
        }
        let frame = match &mut body.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Upstream(upstream, lasting) => {
                let frame = Pin::new(upstream).poll_frame(cx);
                // An answer in one piece that is there does not last.
                let lasts = match &frame {
                    Poll::Pending => true,
                    Poll::Ready(frame) => body.has_begun && frame.is_some(),
                };
                if lasts && let Poll::Ready(rejection) = lasting.poll_over(cx) {
                    return Poll::Ready(Some(Err(body.cut(&rejection))));
                }
                body.has_begun = true;
                // The request's body may still be on its way, and may have been cut off.
                if let Poll::Ready(Some(Err(_))) = &frame {
                    let is_too_slow = body.exchange.as_ref().is_some_and(Exchange::is_too_slow);
                    let too_slow = is_too_slow.then(|| Rejection::new(Reason::BodyTimeout));
                    if let Some(rejection) = too_slow.or_else(|| lasting.refused()) {
                        return Poll::Ready(Some(Err(body.cut(&rejection))));
                    }
                }
                // Trailers end here: nobody has looked at what they say.
                let frame = ready!(frame).filter(|frame| !frame.as_ref().is_ok_and(Frame::is_trailers));
                let piece = frame.as_ref().and_then(|frame| frame.as_ref().ok());
                let passed = piece.zip(body.exchange.as_ref()).map_or(Ok(()), |(piece, exchange)| exchange.pass(piece));
                if let Err(spent) = passed {
                    // What has passed is sent before the connection or the stream ends, which drops what waits.
                    body.spent = Some(spent);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                frame.map(|frame| frame.map_err(BrokenOff::from))
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
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Upstream(upstream, _) => upstream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Upstream(upstream, _) => upstream.size_hint(),
        }
    }
}
