//! Answers of which nothing more is taken up while their client takes nothing.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::server::Handler;

/// Whether something waits to be written to a connection that its other end does not take. It is set and asked by the one task
/// of the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Stuck(Arc<AtomicBool>);

impl Stuck {
    /// Sets it, and says what it was.
    pub(super) fn replace(&self, is_stuck: bool) -> bool {
        let was = self.is_set();
        if was != is_stuck {
            self.0.store(is_stuck, Ordering::Relaxed);
        }
        was
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An answer over HTTP/1.1. hyper takes up to a head's longest of it before it looks whether any of that was taken: for each
/// client that does not read, that much and what its upstream has sent behind it would be in memory.
pub(super) struct Held<H: Handler> {
    body: H::Body,
    stuck: Stuck,
}

impl<H: Handler> Held<H> {
    pub(super) fn new(body: H::Body, stuck: Stuck) -> Self {
        Self { body, stuck }
    }
}

impl<H: Handler> Body for Held<H> {
    type Data = Bytes;
    type Error = <H::Body as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, <H::Body as Body>::Error>>> {
        let Self { body, stuck } = self.get_mut();
        if stuck.is_set() {
            // Whoever writes wakes the task when something is taken.
            return H::poll_held(body, cx).map(|error| Some(Err(error)));
        }
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<H: Handler> fmt::Debug for Held<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("stuck", &self.stuck).finish_non_exhaustive()
    }
}
