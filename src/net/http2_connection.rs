//! One HTTP/2 connection to an upstream, which many requests share.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hyper::{
    client::conn::http2,
    rt::{Executor, Read, Write},
};
use hyper_util::rt::TokioTimer;
use tokio::sync::OwnedSemaphorePermit;

use super::body::OutboundBody;

/// At most this many streams on one connection, if the upstream does not allow for fewer.
const STREAMS: u32 = 100;
/// What the upstream may send of one answer before it is read, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// As much as all streams together: an answer that nobody reads holds up no other.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// The longest head and the longest trailers of an answer, decoded, in bytes (RFC 9113, section 6.5.2).
const HEADER_LIST: u32 = 64 * 1024;
/// How many streams that were reset here are remembered, for what is on its way to them.
const RESET_STREAMS: usize = 50;
/// How often streams may be reset because the upstream broke the protocol, before the connection ends.
const ERROR_RESETS: usize = 64;
/// A connection with open streams is asked for a sign of life so often.
const PING: Duration = Duration::from_secs(20);
/// It is closed if none comes for so long.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) type Sender = http2::SendRequest<OutboundBody>;
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection with room for several streams.
#[derive(Debug)]
pub(super) struct Multiplexed {
    sender: Sender,
    load: Arc<Load>,
}

/// How many streams there are, and may be.
#[derive(Debug)]
struct Load {
    streams: AtomicUsize,
    // What the upstream allows for at the moment.
    limit: AtomicUsize,
}

/// The place of one request on a connection, until its answer is read or given up.
#[derive(Debug)]
pub(super) struct Stream(Arc<Load>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Multiplexed {
    /// The preface of both sides on a new connection, the upstream's settings among it: before they are there nobody
    /// knows how many streams it takes. It takes up the slot until it ends.
    pub(super) async fn handshake<T>(io: T, slot: Option<OwnedSemaphorePermit>) -> io::Result<Self>
    where
        T: Read + Write + Send + Unpin + 'static,
    {
        let tasks = Tasks::default();
        let mut builder = http2::Builder::new(tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(0)
            .max_header_list_size(HEADER_LIST)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(ERROR_RESETS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, mut connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let mut bytes = tasks.first().ok_or_else(|| io::Error::other("the connection does not begin"))?;
        let (moving, waiting) = (&mut bytes, &mut connection);
        let limit = poll_fn(move |cx| match (moving.as_mut().poll(cx), waiting.current_max_send_streams()) {
            (Poll::Ready(()), _) => Poll::Ready(Err(io::Error::other("it does not speak HTTP/2"))),
            (Poll::Pending, 0) => Poll::Pending,
            (Poll::Pending, limit) => Poll::Ready(Ok(limit)),
        });
        let load = Arc::new(Load { streams: AtomicUsize::new(0), limit: AtomicUsize::new(limit.await?) });
        let (told, mut dispatch) = (Arc::clone(&load), Some(Box::pin(connection)));
        let moving = poll_fn(move |cx| {
            // What comes may end what is dispatched, or change how many streams there may be.
            for turn in [Turn::Dispatch, Turn::Bytes, Turn::Dispatch] {
                match turn {
                    Turn::Bytes if bytes.as_mut().poll(cx).is_ready() => return Poll::Ready(()),
                    Turn::Bytes => {}
                    Turn::Dispatch => {
                        if let Some(connection) = &mut dispatch {
                            if connection.as_mut().poll(cx).is_ready() {
                                dispatch = None;
                            } else {
                                told.limit.store(connection.current_max_send_streams(), Ordering::Relaxed);
                            }
                        }
                    }
                }
            }
            Poll::Pending
        });
        tokio::spawn(async move {
            moving.await;
            drop(slot);
        });
        Ok(Self { sender, load })
    }

    /// A place for one more request; none if the connection is full, or takes no more.
    pub(super) fn stream(&self) -> Option<(Sender, Stream)> {
        if !self.has_room() {
            return None;
        }
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        Some((self.sender.clone(), Stream(Arc::clone(&self.load))))
    }

    /// Whether there is a place for one more request.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.load.limit.load(Ordering::Relaxed).min(usize::try_from(STREAMS).unwrap_or(usize::MAX));
        !self.is_closed() && self.load.streams.load(Ordering::Relaxed) < limit
    }

    /// Whether it takes no more requests: it ended, or the upstream said that it will (GOAWAY). Answers that are on their
    /// way still come.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.load.streams.load(Ordering::Relaxed) == 0
    }
}

/// Whose turn it is on a connection.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// The requests.
    Dispatch,
    /// What is read and written.
    Bytes,
}

/// Runs what a connection consists of. Its first part moves the bytes, and is kept: whoever runs it sees at once what the
/// upstream says of its limits.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<First>>);

#[derive(Default)]
enum First {
    #[default]
    Awaited,
    Here(Work),
    Taken,
}

impl Tasks {
    fn first(&self) -> Option<Work> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *first, First::Taken) {
            First::Here(work) => Some(work),
            First::Awaited | First::Taken => None,
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, work: F) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let First::Awaited = *first {
            *first = First::Here(Box::pin(work));
        } else {
            tokio::spawn(work);
        }
    }
}
