//! Connections of HTTP/1.1 on which nothing is asked: they give back what they only need while something is.

use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    body::{Body, Incoming},
    rt::Timer,
    server::conn::http1::{Builder, UpgradeableConnection},
    service::HttpService,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{Duration, Instant},
};

use super::{
    deadline::{ConnectionTimer, Deadline},
    guard::{Guarded, HEAD_BYTES},
    http1::Received,
};

/// After a pause of so long a connection rests. Clients that are busy ask sooner, and what hundreds of others have given back
/// serves the next that come: an allocator gives little of it back to the system.
const PAUSE: Duration = Duration::from_millis(200);

/// How far a connection is on its way to rest. hyper, whenever it waits for a head, looks at the time first, which tells that
/// a rest is due, and flushes then, which tells that nothing is left to be sent.
#[derive(Debug, Default)]
struct Rest(AtomicU8);

impl Rest {
    /// Something is done, or was not long ago.
    const AWAKE: u8 = 0;
    /// Nothing that came waits for an answer, and for a while nothing has come.
    const DUE: u8 = 1;
    /// Nothing is left to be sent either.
    const READY: u8 = 2;

    fn is(&self, step: u8) -> bool {
        // One task goes through all of this.
        self.0.load(Ordering::Relaxed) == step
    }

    fn set(&self, step: u8) {
        self.0.store(step, Ordering::Relaxed);
    }
}

/// A connection that is lent to hyper, which gives nothing back that may be upgraded: it comes back when what hyper made of it
/// is dropped.
#[derive(Debug)]
pub(super) struct Lent<T> {
    inner: Option<Received<T>>,
    back: Option<oneshot::Sender<Received<T>>>,
    rest: Arc<Rest>,
}

impl<T> Lent<T> {
    /// The connection, which is kept.
    pub(super) fn into_inner(mut self) -> Option<Received<T>> {
        self.inner.take()
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Received<T>>>
    where
        T: Unpin,
    {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Some((inner, back)) = self.inner.take().zip(self.back.take()) {
            // Nobody wants it back where all of the connection has ended.
            let _ = back.send(inner);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.inner()?.poll_read(cx, buffer))?;
        this.rest.set(Rest::AWAKE);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().inner()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.inner()?.poll_flush(cx))?;
        if this.rest.is(Rest::DUE) && this.inner.as_ref().is_some_and(Guarded::is_between_requests) {
            this.rest.set(Rest::READY);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().inner()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().inner()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

/// The time for a head, as hyper asks for it, and within that the time after which who is not asked anything may rest.
#[derive(Debug, Clone)]
struct HeadTimer {
    timer: ConnectionTimer,
    // What is left of that time after the pause.
    left: Duration,
    rest: Arc<Rest>,
}

/// Ends when there is no more time for a head.
#[derive(Debug)]
struct HeadDeadline {
    // Until the rest is due.
    pause: Option<Deadline>,
    end: Deadline,
    rest: Arc<Rest>,
}

impl Future for HeadDeadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(pause).poll(cx));
            self.pause = None;
            self.rest.set(Rest::DUE);
        }
        Pin::new(&mut self.end).poll(cx)
    }
}

impl hyper::rt::Sleep for HeadDeadline {}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(std::time::Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let end = Instant::from(deadline);
        // The clock is not read a second time.
        let pause = end.checked_sub(self.left).map(|pause| self.timer.until(pause));
        Box::pin(HeadDeadline { pause, end: self.timer.until(end), rest: Arc::clone(&self.rest) })
    }
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For a whole head, from its first byte on.
    pub(super) head: Duration,
    /// For the pause before it.
    pub(super) idle: Duration,
}

/// What HTTP/1.1 is served by: it gives back its buffers while nothing is asked for [`PAUSE`].
pub(super) struct Serving<T, S>
where
    S: HttpService<Incoming>,
{
    stage: Stage<T, S>,
    service: S,
    times: Times,
    // When the pause is over: empty lines do not make it longer.
    until: Instant,
    is_leaving: bool,
    // After which it rests.
    pause: Duration,
    timer: HeadTimer,
}

enum Stage<T, S>
where
    S: HttpService<Incoming>,
{
    /// hyper has the connection, and gives it back.
    Speaking(Pin<Box<UpgradeableConnection<TokioIo<Lent<T>>, S>>>, oneshot::Receiver<Received<T>>),
    /// Nothing is asked, at most until then.
    Resting(Received<T>, Deadline),
    /// The end is being told.
    Ending(Received<T>),
    Ended,
}

impl<T, S, B> Serving<T, S>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    /// Serves the connection, of which nothing was read yet, by this service.
    pub(super) fn new(io: Received<T>, service: S, times: Times) -> Self {
        Self::resting_after(PAUSE, io, service, times)
    }

    fn resting_after(pause: Duration, io: Received<T>, service: S, times: Times) -> Self {
        // Who has less time for a head than that rests before it is over.
        let pause = pause.min(times.head / 2);
        let timer = HeadTimer { timer: ConnectionTimer::new(), left: times.head - pause, rest: Arc::default() };
        let until = Instant::now() + times.idle;
        let mut serving = Self { stage: Stage::Ended, service, times, until, is_leaving: false, pause, timer };
        serving.speak(io);
        serving
    }

    fn speak(&mut self, io: Received<T>) {
        let (back, given_back) = oneshot::channel();
        self.timer.rest.set(Rest::AWAKE);
        let lent = Lent { inner: Some(io), back: Some(back), rest: Arc::clone(&self.timer.rest) };
        let mut builder = Builder::new();
        builder
            .timer(self.timer.clone())
            .header_read_timeout(self.times.head)
            .max_buf_size(HEAD_BYTES)
            .half_close(true);
        let speaking = builder.serve_connection(TokioIo::new(lent), self.service.clone()).with_upgrades();
        self.stage = Stage::Speaking(Box::pin(speaking), given_back);
    }

    /// The connection, which nobody serves then.
    fn take(&mut self) -> Option<Received<T>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Speaking(speaking, mut given_back) => {
                drop(speaking);
                given_back.try_recv().ok()
            }
            Stage::Resting(io, _) | Stage::Ending(io) => Some(io),
            Stage::Ended => None,
        }
    }

    /// Takes no request after the one that is answered.
    pub(super) fn graceful_shutdown(&mut self) {
        self.is_leaving = true;
        if let Stage::Speaking(speaking, _) = &mut self.stage {
            speaking.as_mut().graceful_shutdown();
        } else if let Some(io) = self.take() {
            self.stage = Stage::Ending(io);
        }
    }
}

impl<T, S, B> Future for Serving<T, S>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B> + Clone + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Speaking(speaking, _) => {
                    if let Poll::Ready(ended) = speaking.as_mut().poll(cx) {
                        return Poll::Ready(ended);
                    }
                    if !this.timer.rest.is(Rest::READY) {
                        return Poll::Pending;
                    }
                    let Some(mut io) = this.take() else { continue };
                    if this.is_leaving {
                        this.stage = Stage::Ending(io);
                        continue;
                    }
                    if io.take_asked() {
                        this.until = Instant::now() + this.times.idle.saturating_sub(this.pause);
                    }
                    this.stage = Stage::Resting(io, this.timer.timer.until(this.until));
                }
                Stage::Resting(io, until) => match io.poll_ahead(cx) {
                    Poll::Ready(Ok(())) => {
                        let Some(io) = this.take() else { continue };
                        this.speak(io);
                    }
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "a connection at rest ended");
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending => {
                        ready!(Pin::new(until).poll(cx));
                        this.graceful_shutdown();
                    }
                },
                Stage::Ending(io) => {
                    // Who is gone already need not be told.
                    let _ = ready!(Pin::new(io).poll_shutdown(cx));
                    return Poll::Ready(Ok(()));
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
