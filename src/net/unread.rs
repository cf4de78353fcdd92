//! Clients that do not read: what waits for them is not kept for ever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Sleep, sleep},
};

use super::held::Stuck;

/// A connection whose writes fail with [`io::ErrorKind::TimedOut`] when nothing of them was taken for too long. As long
/// as nothing waits to be written it may rest.
#[derive(Debug)]
pub(super) struct Unread<T> {
    inner: T,
    patience: Duration,
    // Set while a write waits, which most never do.
    waiting: Option<Pin<Box<Sleep>>>,
    stuck: Stuck,
}

impl<T> Unread<T> {
    pub(super) fn new(inner: T, patience: Duration) -> Self {
        Self { inner, patience, waiting: None, stuck: Stuck::default() }
    }

    /// Whether a write waits, for the one who asks.
    pub(super) fn stuck(&self) -> Stuck {
        self.stuck.clone()
    }

    /// What is below it.
    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    /// Notes whether a write waits. A flush that does is no sign of it: over TLS it is over only when all was taken.
    fn noted(&self, cx: &Context<'_>, is_waiting: bool) {
        if self.stuck.replace(is_waiting) && !is_waiting {
            // Whoever has held back what comes next may go on, if nobody looks by himself.
            cx.waker().wake_by_ref();
        }
    }

    fn patiently<R>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unread<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unread<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.noted(cx, written.is_pending());
        this.patiently(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.noted(cx, written.is_pending());
        this.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.patiently(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.patiently(cx, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_takes_something_now_and_then_is_waited_for_and_who_takes_nothing_is_not() {
        let (near, mut far) = duplex(16);
        let mut near = Unread::new(near, Duration::from_millis(200));
        let reading = tokio::spawn(async move {
            let mut some = [0; 16];
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                far.read_exact(&mut some).await.unwrap();
            }
            far
        });
        near.write_all(&[0; 8 * 16]).await.unwrap();
        let _far = reading.await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
        near.write_all(&[0; 16]).await.unwrap();
        let failed = near.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
