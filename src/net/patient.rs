//! Connections that are asked again only after they have said that there is something to read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read at once. Of large bodies hyper would read as much as a head may be long, and each piece waits in
/// memory until the other side takes it. With less than 16 KiB its buffers grow no further than that.
const MOST: usize = 12 * 1024;

/// A connection to which nobody goes in vain: whoever was told to wait is told so again, without a look at the socket,
/// until the socket has woken somebody.
///
/// hyper looks whether there is something to read whenever its task is woken, most often by something else.
#[derive(Debug)]
pub(super) struct Patient<T> {
    inner: T,
    heard: Heard,
    // None until the first read had to wait.
    waiting: Option<Waiting>,
}

/// Whether a connection has said anything since somebody last asked it something: set by every byte that comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Waiting {
    bell: Arc<Bell>,
    // Rings that bell.
    waker: Waker,
}

/// Passes on that there is something to read, and remembers it.
#[derive(Debug)]
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Waiting {
    fn of(task: &Waker) -> Self {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), task: task.clone() });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl<T> Patient<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, heard: Heard::default(), waiting: None }
    }

    /// What is noted of it, for the one who asks.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// What is below it.
    pub(super) fn into_inner(self) -> T {
        self.inner
    }
}

/// Reads no more than so many bytes.
fn at_most<R>(most: usize, buffer: &mut ReadBuf<'_>, read: impl FnOnce(&mut ReadBuf<'_>) -> R) -> R {
    if buffer.remaining() <= most {
        return read(buffer);
    }
    let mut some = ReadBuf::new(buffer.initialize_unfilled_to(most));
    let outcome = read(&mut some);
    let count = some.filled().len();
    buffer.advance(count);
    outcome
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, heard, waiting } = self.get_mut();
        // Another task has to be woken by another bell.
        let waiting = match waiting {
            Some(waiting) if waiting.bell.task.will_wake(cx.waker()) => waiting,
            other => other.insert(Waiting::of(cx.waker())),
        };
        if !waiting.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before it is asked: what rings from now on is not lost.
        waiting.bell.has_rung.store(false, Ordering::Release);
        let before = buffer.filled().len();
        let read =
            at_most(MOST, buffer, |some| Pin::new(inner).poll_read(&mut Context::from_waker(&waiting.waker), some));
        if read.is_ready() {
            if buffer.filled().len() > before {
                heard.0.store(true, Ordering::Relaxed);
            }
            // Nobody waits, so nothing will ring.
            waiting.bell.has_rung.store(true, Ordering::Release);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
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
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Counts how often it is asked.
    #[derive(Debug)]
    struct Counting<T>(T, Arc<AtomicUsize>);

    impl<T: AsyncRead + Unpin> AsyncRead for Counting<T> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    #[tokio::test]
    async fn a_socket_is_asked_again_when_it_has_something_to_say() {
        // In a task of its own, as connections are: what a runtime itself waits by has more than one face.
        tokio::spawn(asked_when_there_is_something()).await.unwrap();
    }

    async fn asked_when_there_is_something() {
        let (near, mut far) = duplex(64);
        let asked = Arc::new(AtomicUsize::new(0));
        let mut patient = Patient::new(Counting(near, Arc::clone(&asked)));
        let heard = patient.heard();
        let mut byte = [0];
        for round in 0..3 {
            // Its task is woken by something else, again and again.
            poll_fn(|cx| {
                for _ in 0..5 {
                    assert!(Pin::new(&mut patient).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            assert_eq!((asked.load(Ordering::Relaxed), heard.is_set()), (2 * round + 1, false));
            far.write_all(b"x").await.unwrap();
            assert_eq!(patient.read(&mut byte).await.unwrap(), 1);
            assert_eq!((asked.load(Ordering::Relaxed), heard.is_set()), (2 * round + 2, true));
            heard.clear();
        }
        drop(far);
        assert_eq!(patient.read(&mut byte).await.unwrap(), 0);
        assert_eq!(patient.read(&mut byte).await.unwrap(), 0);
        assert!(!heard.is_set(), "an end is no word");
    }

    #[tokio::test]
    async fn whichever_task_waits_is_woken() {
        let (near, mut far) = duplex(64);
        let mut patient = Patient::new(near);
        // Here, where nobody will wait for it any more.
        let waiting = poll_fn(|cx| {
            let mut byte = [0];
            Poll::Ready(Pin::new(&mut patient).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending())
        });
        assert!(waiting.await);
        let elsewhere = tokio::spawn(async move {
            let mut bytes = [0; 2];
            patient.read_exact(&mut bytes).await.unwrap();
            bytes
        });
        for byte in [b"a", b"b"] {
            tokio::task::yield_now().await;
            far.write_all(byte).await.unwrap();
        }
        assert_eq!(&elsewhere.await.unwrap(), b"ab");
    }

    #[tokio::test]
    async fn no_more_is_read_at_once_than_may_wait() {
        let (near, mut far) = duplex(256 * 1024);
        let mut patient = Patient::new(near);
        far.write_all(&[b'x'; 100_000]).await.unwrap();
        drop(far);
        let (mut all, mut pieces) = (vec![0; 128 * 1024], Vec::new());
        let mut filled = 0;
        loop {
            let read = patient.read(&mut all[filled..]).await.unwrap();
            if read == 0 {
                break;
            }
            pieces.push(read);
            filled += read;
        }
        assert_eq!((filled, pieces.iter().max()), (100_000, Some(&MOST)));
        assert!(all[..filled].iter().all(|byte| *byte == b'x'));
    }
}
