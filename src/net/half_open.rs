//! Clients that have closed their side: an answer that they wait for still comes, as long as it moves.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Sleep, sleep},
};

/// What is read ahead of a client that is answered, in bytes. Whoever has sent more than that is not looked after: what it
/// is written to tells whether it is there.
const AHEAD: usize = 16 * 1024;
/// What is read at once where most often nothing comes, and where a head does.
const PIECE: usize = 512;
const HEAD: usize = 2048;

/// A connection that goes on after its client's end, and whose break is noticed while nothing is read from it.
///
/// hyper, told to allow for such clients, does not look at a connection while it answers. It does flush whenever it is
/// woken: this is where the connection is looked at.
#[derive(Debug)]
pub(super) struct HalfOpen<T> {
    inner: T,
    // How long nothing may be written after the client's end.
    silence: Duration,
    // What came while the connection was looked at: of the next requests.
    ahead: Vec<u8>,
    // The client's end; it has a time by which something must be written.
    end: Option<Pin<Box<Sleep>>>,
    // Nothing was written in so many flushes; a request that has come is one of them.
    quiet: u8,
}

impl<T> HalfOpen<T> {
    pub(super) fn new(inner: T, silence: Duration) -> Self {
        Self { inner, silence, ahead: Vec::new(), end: None, quiet: 0 }
    }

    /// What is below it, if no more came than was asked for.
    pub(super) fn into_inner(self) -> Option<T> {
        self.ahead.is_empty().then_some(self.inner)
    }

    /// Whether no more came than was read, and not the client's end either.
    pub(super) fn has_nothing_ahead(&self) -> bool {
        self.ahead.is_empty() && self.end.is_none()
    }

    fn has_written(&mut self) {
        self.quiet = 0;
        if let Some(end) = &mut self.end {
            end.as_mut().reset(tokio::time::Instant::now() + self.silence);
        }
    }
}

impl<T: AsyncRead + Unpin> HalfOpen<T> {
    fn after_write(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.has_written();
                Poll::Ready(written)
            }
            // Who does not take what is written may have gone, and hyper does not flush until it is written.
            Poll::Pending => self.poll_gone(cx).map(Err),
        }
    }

    /// Waits until something comes, or the client's end, and keeps it for the next read.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_nothing_ahead() { self.read_ahead::<HEAD>(cx) } else { Poll::Ready(Ok(())) }
    }

    fn read_ahead<const MOST: usize>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; MOST];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            self.end = Some(Box::pin(sleep(self.silence)));
        }
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Fails if nobody is there any more; is pending as long as somebody may be.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.end.is_none() && self.ahead.len() < AHEAD {
            if let Err(error) = ready!(self.read_ahead::<PIECE>(cx)) {
                return Poll::Ready(error);
            }
            // Who waits for the rest of a body is not told of it a second time.
            cx.waker().wake_by_ref();
        }
        match &mut self.end {
            None => Poll::Pending,
            Some(end) => end.as_mut().poll(cx).map(|()| io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HalfOpen<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let now = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(this.ahead.get(..now).unwrap_or_default());
            this.ahead.drain(..now);
            if this.ahead.is_empty() {
                // Gives its memory back.
                this.ahead = Vec::new();
            }
        } else if this.end.is_none() {
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        }
        this.quiet = 1;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HalfOpen<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.after_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        this.quiet = this.quiet.saturating_add(1);
        // After an answer comes the next request, or nothing: hyper reads that itself.
        if this.quiet > 1
            && let Poll::Ready(error) = this.poll_gone(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair(silence: Duration) -> (HalfOpen<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(1024);
        (HalfOpen::new(near, silence), far)
    }

    /// Flushes as hyper does whenever it is woken, until that fails.
    async fn gone(connection: &mut HalfOpen<DuplexStream>) -> io::ErrorKind {
        let flushed = poll_fn(|cx| match Pin::new(&mut *connection).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error.kind()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        });
        flushed.await
    }

    #[tokio::test]
    async fn who_has_closed_its_side_is_written_to_until_there_is_silence() {
        let (mut near, mut far) = pair(Duration::from_millis(60));
        far.write_all(b"ask").await.unwrap();
        far.shutdown().await.unwrap();
        let mut asked = [0; 3];
        near.read_exact(&mut asked).await.unwrap();
        for _ in 0..4 {
            let waited = tokio::time::timeout(Duration::from_millis(30), gone(&mut near)).await;
            assert!(waited.is_err(), "it moves: {waited:?}");
            near.write_all(b"piece").await.unwrap();
        }
        near.flush().await.unwrap();
        assert_eq!(gone(&mut near).await, io::ErrorKind::ConnectionAborted);
        assert_eq!(near.read(&mut asked).await.unwrap(), 0, "its end stays its end");
        drop(near);
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"piece".repeat(4));
    }

    #[tokio::test]
    async fn who_has_closed_its_side_and_takes_nothing_is_gone() {
        let (mut near, mut far) = pair(Duration::from_millis(30));
        far.shutdown().await.unwrap();
        let failed = near.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn who_leaves_after_the_beginning_of_a_next_request_is_gone() {
        let (mut near, mut far) = pair(Duration::from_millis(30));
        far.write_all(b"G").await.unwrap();
        near.flush().await.unwrap();
        near.flush().await.unwrap();
        far.write_all(b"ET /").await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(gone(&mut near).await, io::ErrorKind::ConnectionAborted);
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"GET /");
    }

    #[tokio::test]
    async fn what_is_read_ahead_is_bounded() {
        let (near, mut far) = duplex(4 * AHEAD);
        let mut near = HalfOpen::new(near, Duration::from_millis(10));
        far.write_all(&vec![7; 3 * AHEAD]).await.unwrap();
        far.shutdown().await.unwrap();
        for _ in 0..5 {
            near.flush().await.unwrap();
        }
        assert_eq!(near.ahead.len(), AHEAD);
        let mut all = Vec::new();
        near.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, vec![7; 3 * AHEAD]);
    }

    #[tokio::test]
    async fn what_comes_while_nobody_reads_is_not_lost() {
        let (mut near, mut far) = pair(Duration::from_secs(600));
        far.write_all(b"first").await.unwrap();
        let mut read = [0; 5];
        near.read_exact(&mut read).await.unwrap();
        far.write_all(b"next").await.unwrap();
        for _ in 0..3 {
            near.flush().await.unwrap();
        }
        far.shutdown().await.unwrap();
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"next");
    }
}
