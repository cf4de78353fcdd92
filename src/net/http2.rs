//! Serving HTTP/2 on a connection.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant, Sleep, sleep},
};

use super::{
    drain::DrainSignal,
    ending::Ending,
    flood::{Begun, Counted, Flood, Found},
    pause::jittered,
    peer::Peer,
    preface::PREFACE,
    problem::HeadProblem,
    server::{Handler, ServerSettings},
    streams::{Pieces, Streams, TunnelOpen},
    switched::Switched,
    unread::Unread,
};

/// Serves the connection, from its preface on, until it ends, or has to.
pub(super) async fn http2<T, H>(io: T, peer: Peer, settings: ServerSettings, mut drain: DrainSignal, handler: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let (io, flood, begun) = Counted::new(Unread::new(io, settings.unread), PREFACE.len());
    let shared = Arc::new((handler.for_connection(&peer), peer.clone(), drain.clone()));
    let (answering, heard) = (Arc::clone(&shared), Arc::new(AtomicU64::new(0)));
    let (hearing, telling) = (Arc::clone(&heard), Arc::clone(&shared));
    let mut unheard = Unheard { begun, heard: Arc::clone(&heard), told: 0 };
    let is_used = || heard.load(Ordering::Relaxed) > 0;
    let service = service_fn(move |request| {
        let (shared, request) = (Arc::clone(&answering), Box::new(request));
        // Nobody else writes it.
        hearing.store(hearing.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Box::pin(async move {
            let mut response = shared.0.respond(&shared.1, request).await;
            if let Some(switched) = response.extensions_mut().remove::<Switched>() {
                let (drain, open) = (shared.2.clone(), TunnelOpen::here());
                tokio::spawn(async move {
                    switched.run(drain).await;
                    drop(open);
                });
            }
            Ok::<_, Infallible>(response.map(Pieces::of))
        })
    });
    let streams = Streams::new(settings.unread, move || {
        telling.0.ended(Ending::UnreadStream);
        tracing::debug!(peer = %telling.1.address, "a stream ended whose answer was not read");
    });
    let mut builder = builder(settings, streams.clone());
    if shared.0.takes_streams() {
        builder.enable_connect_protocol();
    }
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let begun = Instant::now();
    let mut term = Term::new(settings, (streams.clone(), Arc::clone(&heard)), begun);
    let ended = {
        let mut work = pin!(poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            if polled.is_ready() {
                return polled.map(Some);
            }
            // As long as there are streams one may be on its way.
            if unheard.are_some() && !term.is_told && streams.resting_since().is_some() {
                unheard.tell(&shared.0, &shared.1);
            }
            let must_leave = shared.0.is_over() && !term.is_told;
            let due = if must_leave { Some(Due::Leave(None)) } else { term.due(cx) };
            match due {
                None => Poll::Pending,
                Some(Due::End) => Poll::Ready(None),
                Some(Due::Leave(ending)) => {
                    term.leave();
                    ending.into_iter().for_each(|ending| shared.0.ended(ending));
                    connection.as_mut().graceful_shutdown();
                    // What it has to tell is sent with its next turn.
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }));
        let ended = drain.unless_ordered(work.as_mut(), None).await.ok();
        if ended.is_some() || is_used() {
            ended
        } else {
            // The first request may be on its way: one that comes after the client was told to go is tried again by it,
            // but a connection that ends before its first frame has told it nothing.
            let mut left = pin!(drain.left_for(settings.linger));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if is_used() => Poll::Ready(None),
                Poll::Pending => left.as_mut().poll(cx).map(|()| None),
            })
            .await
        }
    };
    let ended = match ended {
        Some(ended) => {
            // Of a flood it is not told of each stream; after the drain was ordered clients ask elsewhere.
            if flood.get().is_none() {
                unheard.tell(&shared.0, &peer);
            }
            ended
        }
        None => {
            connection.as_mut().graceful_shutdown();
            term.leave();
            poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => term.due(cx).map_or(Poll::Pending, |_| Poll::Ready(None)),
            })
            .await
        }
    };
    tell(ended, &flood, &shared.0, &peer, begun);
}

fn builder(settings: ServerSettings, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    // All of them are said: what others take for granted changes.
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .max_concurrent_streams(settings.streams)
        .max_header_list_size(64 * 1024)
        .header_table_size(4096)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// The streams that no request came of: the protocol's implementation refused their heads by itself, or they were taken
/// back before they were looked at.
struct Unheard {
    begun: Begun,
    heard: Arc<AtomicU64>,
    told: u64,
}

impl Unheard {
    fn count(&self) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed) + self.told;
        self.begun.load(Ordering::Relaxed).saturating_sub(heard)
    }

    fn are_some(&self) -> bool {
        self.count() > 0
    }

    /// Tells of each of them, once.
    fn tell<H: Handler>(&mut self, handler: &H, peer: &Peer) {
        let count = self.count();
        self.told += count;
        (0..count).for_each(|_| handler.malformed(peer, HeadProblem::Stream));
    }
}

/// What a connection has to do because of the time.
enum Due {
    /// To end in order.
    Leave(Option<Ending>),
    /// To end.
    End,
}

/// How long a connection may go on, with streams and without.
struct Term {
    settings: ServerSettings,
    streams: Streams,
    age: Pin<Box<Sleep>>,
    rest: Pin<Box<Sleep>>,
    is_told: bool,
    // Requests so far, and how many there were when its client, which was told to go, should ask no more.
    heard: Arc<AtomicU64>,
    last: Option<u64>,
    // Whom both wake.
    waiting: Option<Waker>,
}

impl Term {
    fn new(settings: ServerSettings, (streams, heard): (Streams, Arc<AtomicU64>), begun: Instant) -> Self {
        let rest = tokio::time::sleep_until(begun + settings.idle);
        let (age, rest) = (Box::pin(sleep(jittered(settings.age))), Box::pin(rest));
        Self { settings, streams, age, rest, is_told: false, heard, last: None, waiting: None }
    }

    /// From now on its client has been told to go. What is there may be finished; a client that does not answer any more is
    /// not waited for.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.rest.as_mut().reset(Instant::now() + self.settings.handshake);
            self.waiting = None;
        }
    }

    fn due(&mut self, cx: &mut Context<'_>) -> Option<Due> {
        let is_watched = self.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_watched && !self.age.is_elapsed() && !self.rest.is_elapsed() {
            return None;
        }
        self.waiting = Some(cx.waker().clone());
        if !self.is_told && self.age.as_mut().poll(cx).is_ready() {
            return Some(Due::Leave(Some(Ending::Age)));
        }
        while self.rest.as_mut().poll(cx).is_ready() {
            let limit = if self.is_told { self.settings.handshake } else { self.settings.idle };
            let now = Instant::now();
            if self.is_told {
                // It has had the time to hear it; HTTP/2 waits for a client that does not say that it has.
                let heard = self.heard.load(Ordering::Relaxed);
                if heard > *self.last.get_or_insert(heard) {
                    return Some(Due::End);
                }
            }
            let until = self.streams.resting_since().unwrap_or(now) + limit;
            if until > now {
                self.rest.as_mut().reset(until);
                continue;
            }
            if self.is_told {
                return Some(Due::End);
            }
            return Some(Due::Leave(Some(Ending::Idle)));
        }
        None
    }
}

/// Tells why the connection ended, if that was not its client's wish.
fn tell<H: Handler>(ended: Option<hyper::Result<()>>, found: &Found, handler: &H, peer: &Peer, begun: Instant) {
    let lived = begun.elapsed();
    let error = ended.and_then(Result::err);
    let flood =
        found.get().copied().or_else(|| error.as_ref().filter(|error| is_calmed(error)).map(|_| Flood::Protocol));
    if let Some(flood) = flood {
        let ending = Ending::Flood(flood);
        handler.ended(ending);
        tracing::warn!(peer = %peer.address, reason = ending.name(), ?lived, "a flooded connection was ended");
        return;
    }
    let Some(error) = error else { return };
    if cause(&error).and_then(h2::Error::get_io).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        handler.ended(Ending::UnreadAnswer);
    }
    tracing::debug!(%error, peer = %peer.address, ?lived, "an HTTP/2 connection ended");
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|cause| cause.downcast_ref())
}

/// Whether the protocol's implementation has told the client to calm down.
fn is_calmed(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}
