//! Reading the body of a question, within bounds.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long a body may be, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) bytes: usize,
    /// From the head to the end of the body.
    pub(super) time: Duration,
}

/// The bounds of what applications ask (the bytes are OpenFGA's limit).
pub(super) const QUESTION: Bounds = Bounds { bytes: 616_448, time: Duration::from_secs(10) };

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BodyProblem {
    /// It is longer than any question is.
    #[error("The number of bytes of a request exceeds the allowed limit of {0}")]
    TooLong(usize),
    /// It ended before its end.
    #[error("the body broke off")]
    BrokenOff,
    /// It did not come in time.
    #[error("the body took too long")]
    TooSlow,
}

/// The whole body.
pub(super) async fn read(body: Incoming, bounds: Bounds) -> Result<Bytes, BodyProblem> {
    match timeout(bounds.time, Limited::new(body, bounds.bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyProblem::TooLong(bounds.bytes)),
        Ok(Err(_)) => Err(BodyProblem::BrokenOff),
        Err(_) => Err(BodyProblem::TooSlow),
    }
}

/// Room for the bodies of all questions together.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A part of the room. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// Bodies of so many bytes together.
    const BYTES: usize = 64 * 1024 * 1024;
    /// The least that a request counts for, which bounds their number.
    const LEAST: usize = 64 * 1024;

    /// All room there is.
    pub(super) fn whole() -> Self {
        Self(Arc::new(Semaphore::new(Self::BYTES)))
    }

    /// Room for a body: for its length if it says so, else for the longest. `None` if there is no more.
    pub(super) fn take(&self, body: &impl Body) -> Option<Taken> {
        let most = u64::try_from(QUESTION.bytes).unwrap_or(u64::MAX);
        let bytes = body.size_hint().exact().unwrap_or(most).min(most);
        let bytes = u32::try_from(bytes).ok()?.max(u32::try_from(Self::LEAST).ok()?);
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?;
        Some(Taken { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn all_bodies_together_are_bounded() {
        let room = Room::whole();
        let short = Full::new(Bytes::from_static(b"{}"));
        let mut taken: Vec<_> = std::iter::from_fn(|| room.take(&short)).collect();
        assert_eq!(taken.len(), 1_024);
        taken.clear();
        // Nobody knows how long it will be.
        let unknown = StreamBody::new(stream::empty::<Result<Frame<Bytes>, Infallible>>());
        taken.extend(std::iter::from_fn(|| room.take(&unknown)));
        assert_eq!(taken.len(), Room::BYTES / QUESTION.bytes);
        assert!(taken.len() * QUESTION.bytes <= Room::BYTES);
        taken.pop();
        assert!(room.take(&short).is_some());
    }
}
