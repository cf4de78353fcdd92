//! Which protocol a connection in the clear speaks, by its first bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads the first bytes, and no more than tell the protocol; `None` if the peer closed or broke off before.
pub(super) async fn preface<T: AsyncRead + Unpin>(mut io: T) -> Option<(Protocol, Replayed<T>)> {
    // Most heads fit, so that they are parsed from one read.
    let mut begin = BytesMut::with_capacity(2048);
    let protocol = loop {
        let read = io.read_buf(&mut begin).await.ok()?;
        if begin.starts_with(PREFACE) {
            break Protocol::Http2;
        }
        if !PREFACE.starts_with(&begin) {
            break Protocol::Http1;
        }
        if read == 0 {
            return None;
        }
    };
    Some((protocol, Replayed { begin: begin.freeze(), io }))
}

impl<T> Replayed<T> {
    /// A connection of which nothing was read yet.
    pub(super) fn unread(io: T) -> Self {
        Self { begin: Bytes::new(), io }
    }
}

/// A connection whose first bytes were read already: whoever reads it gets them first.
pub(super) struct Replayed<T> {
    begin: Bytes,
    io: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Replayed<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begin.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let count = self.begin.len().min(into.remaining());
        let (now, _) = self.begin.split_at(count);
        into.put_slice(now);
        self.begin.advance(count);
        if self.begin.is_empty() {
            // Gives its memory back.
            self.begin = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Replayed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chunks: &'static [&'static [u8]]) -> Option<(bool, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64);
            let sending = tokio::spawn(async move {
                for chunk in chunks {
                    tokio::io::AsyncWriteExt::write_all(&mut client, chunk).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let (protocol, mut io) = preface(server).await?;
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.unwrap();
            sending.await.unwrap();
            Some((matches!(protocol, Protocol::Http2), all))
        })
    }

    #[test]
    fn the_first_bytes_tell_and_are_read_again() {
        assert_eq!(told(&[b"GET / HTTP/1.1\r\n\r\n"]), Some((false, b"GET / HTTP/1.1\r\n\r\n".to_vec())));
        assert_eq!(told(&[b"P", b"OST / HTTP/1.1"]), Some((false, b"POST / HTTP/1.1".to_vec())));
        let http2 = [PREFACE, b"frames"].concat();
        assert_eq!(told(&[b"PRI * HT", b"TP/2.0\r\n\r\nSM\r\n\r\nframes"]), Some((true, http2)));
        assert_eq!(told(&[b"PRI "]), None);
        assert_eq!(told(&[]), None);
    }
}
