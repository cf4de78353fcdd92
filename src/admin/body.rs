//! Reading the body of a question, within bounds.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long a body may be, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) bytes: usize,
    /// From the head to the end of the body.
    pub(super) time: Duration,
    /// From one piece of it to the next.
    pub(super) pause: Duration,
}

/// The bounds of what applications ask (the bytes are OpenFGA's limit).
pub(super) const QUESTION: Bounds =
    Bounds { bytes: 616_448, time: Duration::from_secs(10), pause: Duration::from_secs(3) };

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
    /// The bodies of others take all room.
    #[error("too many requests at one time")]
    NoRoom,
}

/// Room for the bodies of all questions together. It is taken as they come, so that who announces much and sends little
/// keeps nobody out.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A part of the room. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Semaphore>,
    // One that holds all that was taken.
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Bodies of so many bytes together.
    const BYTES: usize = 64 * 1024 * 1024;
    /// The least that a body counts for which is still to come.
    const LEAST_COMING: usize = 4 * 1024;
    /// The least that a request counts for whose body has come, which bounds how many wait and are answered.
    const LEAST_WHOLE: usize = 64 * 1024;

    /// All room there is.
    pub(super) fn whole() -> Self {
        Self::of(Self::BYTES)
    }

    /// Room for so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// The whole body, and the room that its request takes as long as it is worked on.
    pub(super) async fn read(
        &self,
        mut body: impl Body<Data = Bytes> + Unpin,
        bounds: Bounds,
    ) -> Result<(Bytes, Taken), BodyProblem> {
        let too_long = BodyProblem::TooLong(bounds.bytes);
        if body.size_hint().lower() > u64::try_from(bounds.bytes).unwrap_or(u64::MAX) {
            return Err(too_long);
        }
        let end = Instant::now() + bounds.time;
        let mut taken = Taken { room: Arc::clone(&self.0), permit: None };
        taken.grow_to(Self::LEAST_COMING)?;
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let next = (Instant::now() + bounds.pause).min(end);
            let frame = match timeout_at(next, body.frame()).await {
                Err(_) => return Err(BodyProblem::TooSlow),
                Ok(Some(Err(_))) => return Err(BodyProblem::BrokenOff),
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers say nothing that is asked for.
            let Ok(piece) = frame.into_data() else { continue };
            let length = bytes.len() + piece.len();
            if length > bounds.bytes {
                return Err(too_long);
            }
            // By doubling, so that many small pieces are not copied again and again.
            if length > bytes.capacity() {
                let capacity = length.max(2 * bytes.capacity()).max(Self::LEAST_COMING).min(bounds.bytes.max(length));
                taken.grow_to(capacity)?;
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&piece);
        }
        taken.grow_to(Self::LEAST_WHOLE)?;
        Ok((bytes.into(), taken))
    }
}

impl Taken {
    /// Takes what is missing to so many bytes.
    fn grow_to(&mut self, bytes: usize) -> Result<(), BodyProblem> {
        let has = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(bytes.saturating_sub(has)).map_err(|_| BodyProblem::NoRoom)?;
        let more = Arc::clone(&self.room).try_acquire_many_owned(missing).map_err(|_| BodyProblem::NoRoom)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, future::join_all, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use tokio::spawn;

    use super::*;

    fn piece(bytes: &'static [u8]) -> Result<Frame<Bytes>, Infallible> {
        Ok(Frame::data(Bytes::from_static(bytes)))
    }

    /// A body that begins with this, and then nothing comes.
    fn stalled(begin: &'static [u8]) -> impl Body<Data = Bytes> + Unpin + Send {
        StreamBody::new(stream::iter([piece(begin)]).chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_is_read_whole() {
        let pieces = (0..100_000).map(|_| piece(b"12345"));
        let (read, taken) = Room::whole().read(StreamBody::new(stream::iter(pieces)), QUESTION).await.unwrap();
        assert_eq!(read, "12345".repeat(100_000));
        assert!(taken.permit.unwrap().num_permits() >= read.len());
        let (read, _) = Room::whole().read(Full::new(Bytes::new()), QUESTION).await.unwrap();
        assert!(read.is_empty());
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_too_slow_is_refused() {
        let room = Room::whole();
        let bounds = Bounds { bytes: 8, time: Duration::from_secs(20), pause: Duration::from_millis(5) };
        let too_long = BodyProblem::TooLong(8);
        assert_eq!(room.read(Full::new(Bytes::from_static(b"123456789")), bounds).await.unwrap_err(), too_long);
        let pieces = StreamBody::new(stream::iter([piece(b"1234"), piece(b"56789")]));
        assert_eq!(room.read(pieces, bounds).await.unwrap_err(), too_long);
        assert_eq!(room.read(stalled(b"1234"), bounds).await.unwrap_err(), BodyProblem::TooSlow);
        // No piece is late, and there is no end to them.
        let dripping = StreamBody::new(Box::pin(stream::repeat_with(|| piece(b"")).then(|empty| async {
            tokio::task::yield_now().await;
            empty
        })));
        let bounds = Bounds { time: Duration::from_millis(20), pause: Duration::from_secs(20), ..bounds };
        assert_eq!(room.read(dripping, bounds).await.unwrap_err(), BodyProblem::TooSlow);
        assert_eq!(room.0.available_permits(), Room::BYTES);
    }

    #[tokio::test]
    async fn all_requests_together_are_bounded() {
        let room = Room::whole();
        let short = || room.read(Full::new(Bytes::from_static(b"{}")), QUESTION);
        let mut taken = Vec::new();
        let refusal = loop {
            match short().await {
                Ok((_, share)) => taken.push(share),
                Err(problem) => break problem,
            }
        };
        assert_eq!((taken.len(), refusal), (1_024, BodyProblem::NoRoom));
        taken.pop();
        assert!(short().await.is_ok());
        taken.clear();
        let long = Bytes::from(vec![b' '; QUESTION.bytes]);
        let long = || room.read(Full::new(long.clone()), QUESTION);
        while let Ok((_, share)) = long().await {
            taken.push(share);
        }
        assert_eq!(taken.len(), Room::BYTES / QUESTION.bytes);
    }

    #[tokio::test]
    async fn who_sends_nothing_keeps_nobody_out() {
        let room = Arc::new(Room::of(4 * 1024 * 1024));
        let bounds = Bounds { time: Duration::from_secs(600), pause: Duration::from_secs(600), ..QUESTION };
        let reading: Vec<_> = (0..500)
            .map(|_| {
                let room = Arc::clone(&room);
                spawn(async move { room.read(stalled(b"{"), bounds).await.map(drop) })
            })
            .collect();
        while room.0.available_permits() > 4 * 1024 * 1024 - 500 * Room::LEAST_COMING {
            tokio::task::yield_now().await;
        }
        // Were they given what they may send, there would be room for six.
        let whole = room.read(Full::new(Bytes::from(vec![b' '; QUESTION.bytes])), QUESTION).await;
        assert!(whole.is_ok());
        reading.iter().for_each(tokio::task::JoinHandle::abort);
        join_all(reading).await;
        drop(whole);
        assert_eq!(room.0.available_permits(), 4 * 1024 * 1024);
    }
}
