//! The body of a request, which must not come too slowly.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use super::{body::BodyError, rest::hear_out};

/// How slowly a body may come. Only the time counts in which it is waited for: an upstream that takes it slowly does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many bytes make up for a second of waiting.
    pub bytes_per_second: u32,
    /// So long it may be waited for in one piece, or fall behind.
    pub pause: Duration,
}

/// What happens to the rest of a body that is dropped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It is heard out, within bounds, so that its client gets to know the answer.
    HeardOut,
    /// If nobody has asked for it, it is left unread, and its connection or stream ends: the client may wait for a word to
    /// send it at all.
    Left,
}

/// The body of a request as it comes. It breaks off with [`BodyError::TooSlow`].
#[derive(Debug)]
pub struct RequestBody {
    // `None` once it has ended, or broken off.
    incoming: Option<Incoming>,
    pace: Pace,
    rest: Rest,
    // Of one that was waited for, which most are not.
    late: Option<Box<Late>>,
}

#[derive(Debug)]
struct Late {
    // How long it may still be waited for.
    left: Duration,
    // Until when, while it is.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Late {
    fn new(pace: Pace) -> Self {
        let until = Instant::now() + pace.pause;
        Self { left: pace.pause, until: Some(until), sleep: Box::pin(sleep_until(until)) }
    }

    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.left);
        if until < self.sleep.deadline() {
            self.sleep.as_mut().reset(until);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= until {
                return Poll::Ready(());
            }
            // It was set before something came.
            self.sleep.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn came(&mut self, bytes: usize, pace: Pace) {
        if let Some(until) = self.until.take() {
            self.left = until.saturating_duration_since(Instant::now());
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let gained = Duration::from_secs(1) * bytes / pace.bytes_per_second.max(1);
        self.left = self.left.saturating_add(gained).min(pace.pause);
    }
}

impl RequestBody {
    /// The body, waited for within this pace.
    pub fn new(incoming: Incoming, pace: Pace, rest: Rest) -> Self {
        Self { incoming: Some(incoming), pace, rest, late: None }
    }

    /// The same, with another longest pause.
    #[must_use]
    pub fn pausing(mut self, pause: Duration) -> Self {
        self.pace.pause = pause;
        self
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.rest == Rest::HeardOut
            && let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream())
        {
            hear_out(incoming);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        // Who waited for a word to send it has it now.
        this.rest = Rest::HeardOut;
        let polled = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                let late = this.late.get_or_insert_with(|| Box::new(Late::new(this.pace)));
                late.poll_too_late(cx).map(|()| Some(Err(BodyError::TooSlow)))
            }
            Poll::Ready(frame) => {
                if let Some(late) = &mut this.late {
                    let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                    late.came(data.map_or(0, Bytes::len), this.pace);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_makes_up_for_the_waiting_and_saves_nothing() {
        let pace = Pace { bytes_per_second: 500, pause: Duration::from_secs(10) };
        let mut late = Late::new(pace);
        late.came(1_000_000, pace);
        assert_eq!(late.left, pace.pause, "much at once is no reason to pause for longer");
        late.left = Duration::from_secs(1);
        late.came(500, pace);
        assert_eq!(late.left, Duration::from_secs(2));
        late.until = Some(Instant::now());
        late.came(0, pace);
        assert_eq!(late.left, Duration::ZERO, "nothing makes up for nothing");
        let hasty = Pace { pause: Duration::from_millis(5), ..pace };
        let mut late = Late::new(hasty);
        std::future::poll_fn(|cx| late.poll_too_late(cx)).await;
        late.came(1, hasty);
        assert!(std::future::poll_fn(|cx| Poll::Ready(late.poll_too_late(cx))).await.is_pending());
        std::future::poll_fn(|cx| late.poll_too_late(cx)).await;
    }
}
