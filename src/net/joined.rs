//! Small messages in one write: a head and its short body cost the kernel less as one piece than as two.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to so many bytes it costs less to copy them into one piece.
const SMALL: usize = 4 * 1024;

/// A connection that joins the pieces of small writes.
#[derive(Debug)]
pub(super) struct Joined<T> {
    inner: T,
    // The pieces of one write; nothing stays in it.
    whole: Vec<u8>,
}

impl<T> Joined<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, whole: Vec::new() }
    }

    /// What is below it.
    pub(super) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Joined<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Joined<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, whole } = self.get_mut();
        let inner = Pin::new(inner);
        if let [only] = slices {
            return inner.poll_write(cx, only);
        }
        if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
            return inner.poll_write_vectored(cx, slices);
        }
        whole.clear();
        slices.iter().for_each(|slice| whole.extend_from_slice(slice));
        // What is not taken of it comes again.
        inner.poll_write(cx, whole)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes some bytes of each write, and notes how many pieces came.
    #[derive(Debug, Default)]
    struct Taking {
        most: usize,
        pieces: Vec<usize>,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Taking {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.pieces.push(1);
            self.taken.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.pieces.push(slices.len());
            Poll::Ready(Ok(slices.first().map_or(0, |slice| slice.len())))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }
    }

    fn write(joined: &mut Joined<Taking>, pieces: &[&[u8]]) -> usize {
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(joined).poll_write_vectored(&mut cx, &slices) {
            Poll::Ready(Ok(written)) => written,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn small_pieces_are_one_write_and_large_ones_are_left_apart() {
        let mut joined = Joined::new(Taking { most: 6, ..Taking::default() });
        assert_eq!(write(&mut joined, &[b"head", b"body"]), 6);
        // The caller goes on where the write stopped.
        assert_eq!(write(&mut joined, &[b"dy"]), 2);
        assert_eq!(joined.inner.taken, b"headbody");
        let large = vec![b'x'; SMALL];
        assert_eq!(write(&mut joined, &[b"head", &large]), 4);
        assert_eq!(write(&mut joined, &[]), 0);
        assert_eq!(joined.inner.pieces, [1, 1, 2, 1]);
    }
}
