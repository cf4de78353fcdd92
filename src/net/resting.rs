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
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use hyper::service::service_fn;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{sleep, timeout},
    };

    use super::*;
    use crate::net::{half_open::HalfOpen, joined::Joined, patient::Patient, unread::Unread};

    const PAUSE: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(30);
    const LONG: Duration = Duration::from_secs(600);
    const ALWAYS: Times = Times { head: LONG, idle: LONG };
    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A connection with room for so much in each direction, which answers the body's length, after the time that the path
    /// says in milliseconds.
    fn serving(
        room: usize,
        times: Times,
    ) -> (Serving<DuplexStream, impl HttpService<Incoming, ResBody = Full<Bytes>> + Clone + Unpin>, DuplexStream) {
        let (near, far) = duplex(room);
        let io = HalfOpen::new(Joined::new(Unread::new(Patient::new(near), LONG)), LONG);
        let service = service_fn(|request: Request<Incoming>| {
            Box::pin(async move {
                let slow = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
                let body = request.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or(0);
                sleep(Duration::from_millis(slow)).await;
                Ok::<_, Infallible>(Response::new(Full::from(format!("<{body}>"))))
            })
        });
        (Serving::resting_after(PAUSE, Guarded::new(io).0, service, times), far)
    }

    /// Serves until it rests.
    macro_rules! rests {
        ($serving:expr) => {
            let mut rounds = 0;
            while !matches!($serving.stage, Stage::Resting(..)) {
                assert!(timeout(PAUSE, &mut $serving).await.is_err(), "it has ended");
                rounds += 1;
                assert!(rounds < 1000, "it does not rest");
            }
        };
    }

    /// Serves for a while, in which it must not rest.
    macro_rules! stays {
        ($serving:expr) => {
            assert!(timeout(4 * PAUSE, &mut $serving).await.is_err(), "it has ended");
            assert!(matches!($serving.stage, Stage::Speaking(..)), "it rests");
        };
    }

    /// Serves until the client has got this at the end of an answer.
    macro_rules! answers {
        ($serving:expr, $far:expr, $end:expr) => {
            let mut got = Vec::new();
            while !got.ends_with($end) {
                tokio::select! {
                    read = timeout(PATIENCE, $far.read_buf(&mut got)) => assert!(read.expect("an answer").unwrap() > 0),
                    _ = &mut $serving => panic!("it has ended"),
                }
            }
        };
    }

    #[tokio::test]
    async fn a_connection_rests_between_requests_and_goes_on() {
        let (mut serving, mut far) = serving(4096, ALWAYS);
        // Before the first one too.
        rests!(serving);
        for _ in 0..3 {
            far.write_all(ASKED).await.unwrap();
            answers!(serving, far, b"<0>");
            rests!(serving);
        }
        // A head that is longer than what is looked at, in pieces.
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES / 2));
        for piece in long.as_bytes().chunks(3000) {
            far.write_all(piece).await.unwrap();
            assert!(timeout(Duration::from_millis(1), &mut serving).await.is_err());
        }
        answers!(serving, far, b"<0>");
        rests!(serving);
        // Two at once, and an empty line after them.
        far.write_all(&[ASKED, ASKED, b"\r\n"].concat()).await.unwrap();
        answers!(serving, far, b"<0>");
        rests!(serving);
        far.write_all(ASKED).await.unwrap();
        answers!(serving, far, b"<0>");
    }

    #[tokio::test]
    async fn what_has_begun_is_no_rest() {
        let (mut serving, mut far) = serving(64, ALWAYS);
        rests!(serving);
        for piece in [&ASKED[..1], &ASKED[1..20]] {
            far.write_all(piece).await.unwrap();
            stays!(serving);
        }
        far.write_all(&ASKED[20..]).await.unwrap();
        answers!(serving, far, b"<0>");
        // An answer that is not there yet.
        far.write_all(b"GET /150 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stays!(serving);
        answers!(serving, far, b"<0>");
        // A body that has not come, at rest before.
        rests!(serving);
        far.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        stays!(serving);
        far.write_all(b"cde").await.unwrap();
        // An answer that has no room.
        stays!(serving);
        answers!(serving, far, b"<5>");
        rests!(serving);
        // A line end that is one, or none.
        far.write_all(b"\r").await.unwrap();
        stays!(serving);
    }

    #[tokio::test]
    async fn a_rest_ends_with_the_client_with_its_time_or_in_order() {
        let (mut resting, far) = serving(4096, ALWAYS);
        rests!(resting);
        drop(far);
        resting.await.unwrap();

        let (mut resting, mut far) = serving(4096, Times { head: LONG, idle: 5 * PAUSE });
        rests!(resting);
        resting.await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);

        // Empty lines are no request.
        let (resting, mut far) = serving(4096, Times { head: 10 * PAUSE, idle: 10 * PAUSE });
        let lines = async {
            for piece in [&b"\r\n"[..], b"\r", b"\n"].into_iter().cycle().take(60) {
                far.write_all(piece).await.unwrap();
                sleep(2 * PAUSE).await;
            }
        };
        tokio::select! {
            _ended = resting => {}
            () = lines => panic!("it goes on"),
        }

        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        resting.graceful_shutdown();
        (&mut resting).await.unwrap();
        resting.graceful_shutdown();
        resting.await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);

        // Not either after an empty line, which it was woken by.
        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        far.write_all(b"\r\n").await.unwrap();
        assert!(timeout(PAUSE / 4, &mut resting).await.is_err());
        resting.graceful_shutdown();
        resting.await.unwrap();

        // A head has its own time.
        let (mut begun, mut far) = serving(4096, Times { head: 6 * PAUSE, idle: LONG });
        rests!(begun);
        far.write_all(&ASKED[..9]).await.unwrap();
        assert!(begun.await.is_err());

        // Who has closed its side is answered first.
        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        far.write_all(ASKED).await.unwrap();
        far.shutdown().await.unwrap();
        resting.await.unwrap();
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("<0>"), "{answer}");
    }
}
