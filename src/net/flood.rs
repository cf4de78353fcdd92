//! Floods of HTTP/2 frames: each costs the sender nothing, asks for nothing, and is work here.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Instant, Sleep, sleep},
};

use super::frames::{FrameHead, FrameKind, Frames};

/// What is counted together.
const WITHIN: Duration = Duration::from_secs(10);
/// PING, SETTINGS, PRIORITY and unknown frames within that time, beside one for each frame that has a use.
const CONTROL: u64 = 1000;
/// Window updates within that time, beside [`UPDATES_FOR_DATA`].
const UPDATES: u64 = 1000;
/// Window updates for each DATA frame that was sent.
const UPDATES_FOR_DATA: u64 = 10;
/// Streams that are reset within that time, beside one for each that was answered to its end.
const RESETS: u64 = 100;
/// Frames within that time that carry nothing and end nothing.
const EMPTY: u64 = 100;

/// GOAWAY for all streams, ENHANCE_YOUR_CALM (RFC 9113, sections 6.8 and 7): which requests were heard is not told, so
/// that none of them is sent again.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];
/// How long the rest of a flood is taken, unread, so that the client hears why it ends.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// What a client sends too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// PING, SETTINGS, PRIORITY, unknown frames.
    Control,
    /// WINDOW_UPDATE, far more than there was data.
    WindowUpdates,
    /// Requests that are taken back at once (CVE-2023-44487).
    Resets,
    /// DATA or CONTINUATION without anything in it.
    EmptyFrames,
    /// What the protocol's own implementation counts: streams that are reset before they are looked at or by mistakes,
    /// and heads in endless pieces.
    Protocol,
}

/// What was found, for the one who tells of it.
pub(super) type Found = Arc<OnceLock<Flood>>;

/// How many streams have begun: their heads came whole.
pub(super) type Begun = Arc<AtomicU64>;

/// An HTTP/2 connection whose frames are counted. One that is flooded ends: whoever reads from it sees its end.
///
/// No clock is read as long as the counts are low: within which time they came is asked when they are not.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    received: Frames,
    sent: Frames,
    tally: Tally,
    since: Instant,
    found: Found,
    // The last stream that has begun, whether the rest of its head is yet to come, and how many have begun.
    last: u32,
    is_coming: bool,
    begun: Begun,
    // How much of the GOAWAY was sent, and until when the rest of the flood is taken.
    told: usize,
    afterwards: Option<Pin<Box<Sleep>>>,
}

/// What has passed.
#[derive(Debug, Default)]
struct Tally {
    control: u64,
    updates: u64,
    resets: u64,
    empty: u64,
    // What has a use.
    received: u64,
    sent: u64,
    ended: u64,
}

impl Tally {
    fn receive(&mut self, head: FrameHead) {
        let count = match head.kind {
            FrameKind::Data | FrameKind::Continuation if head.length == 0 && !head.ends_stream() => &mut self.empty,
            FrameKind::Data | FrameKind::Headers | FrameKind::Continuation => &mut self.received,
            FrameKind::Reset => &mut self.resets,
            FrameKind::WindowUpdate => &mut self.updates,
            FrameKind::Control => &mut self.control,
        };
        *count += 1;
    }

    fn send(&mut self, head: FrameHead) {
        self.sent += u64::from(head.kind == FrameKind::Data);
        self.ended += u64::from(head.ends_stream());
    }

    fn flood(&self) -> Option<Flood> {
        let counts = [
            (Flood::Control, self.control, CONTROL + self.received + self.sent),
            (Flood::WindowUpdates, self.updates, UPDATES + UPDATES_FOR_DATA * self.sent),
            (Flood::Resets, self.resets, RESETS + self.ended),
            (Flood::EmptyFrames, self.empty, EMPTY),
        ];
        counts.into_iter().find(|(_, count, most)| count > most).map(|(flood, ..)| flood)
    }
}

impl<T> Counted<T> {
    /// A connection that begins with the client's preface of so many bytes.
    pub(super) fn new(inner: T, preface: usize) -> (Self, Found, Begun) {
        let (found, begun) = (Found::default(), Begun::default());
        let counted = Self {
            inner,
            received: Frames::after(preface),
            sent: Frames::after(0),
            tally: Tally::default(),
            since: Instant::now(),
            found: Arc::clone(&found),
            last: 0,
            is_coming: false,
            begun: Arc::clone(&begun),
            told: 0,
            afterwards: None,
        };
        (counted, found, begun)
    }

    fn is_flooded(&self) -> bool {
        self.found.get().is_some()
    }

    /// How many of these bytes may be read: all, or to the end of the frame before a flood.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let begun_before = self.received.begun_before(bytes);
        let Self { received, tally, last, is_coming, begun, .. } = self;
        // Nobody else writes it.
        let has_come = || begun.store(begun.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        received.follow(bytes, |head| {
            tally.receive(head);
            if std::mem::take(is_coming) {
                has_come();
            }
            // Trailers end a head too, of a stream that is there.
            if head.ends_head() && head.stream > *last {
                (*last, *is_coming) = (head.stream, true);
            }
        });
        if *is_coming && received.is_between() {
            *is_coming = false;
            has_come();
        }
        let Some(flood) = tally.flood() else { return bytes.len() };
        let now = Instant::now();
        if now.duration_since(std::mem::replace(&mut self.since, now)) > WITHIN {
            // They came in a longer time.
            self.tally = Tally::default();
            return bytes.len();
        }
        // The first one is the one that is told.
        let _ = self.found.set(flood);
        if !self.sent.is_between() {
            self.told = GOAWAY.len();
        }
        begun_before
    }

    fn note_sent(&mut self, mut written: usize, slices: &[IoSlice<'_>]) {
        let Self { sent, tally, .. } = self;
        for slice in slices {
            let now = written.min(slice.len());
            sent.follow(slice.get(..now).unwrap_or_default(), |head| tally.send(head));
            written -= now;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_flooded() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let passed = this.pass(buffer.filled().get(before..).unwrap_or_default());
        buffer.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_flooded() {
            // Answers to a flood are not sent.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = ready!(match slices {
            [only] => Pin::new(&mut this.inner).poll_write(cx, only),
            several => Pin::new(&mut this.inner).poll_write_vectored(cx, several),
        })?;
        this.note_sent(written, slices);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_flooded() { Poll::Ready(Ok(())) } else { Pin::new(&mut this.inner).poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        /// Reads of one turn: others have a turn too.
        const READS: usize = 32;
        let this = self.get_mut();
        if !this.is_flooded() {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        let afterwards = this.afterwards.get_or_insert_with(|| Box::pin(sleep(AFTERWARDS)));
        if afterwards.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        while let Some(left) = GOAWAY.get(this.told..).filter(|left| !left.is_empty()) {
            this.told += ready!(Pin::new(&mut this.inner).poll_write(cx, left))?;
        }
        ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        // A socket that is closed with something unread in it resets the connection, and the client would not hear why.
        let mut unread = [0; 4096];
        for _ in 0..READS {
            let mut buffer = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const DATA: u8 = 0;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(0, usize::from(length)));
        frame
    }

    /// What so many frames are, after what was sent.
    fn found(received: &[u8], times: usize, sent: &[u8]) -> Option<Flood> {
        let (mut counted, found, _) = Counted::new((), 0);
        counted.note_sent(sent.len(), &[IoSlice::new(sent)]);
        for _ in 0..times {
            counted.pass(received);
        }
        found.get().copied()
    }

    #[test]
    fn a_stream_has_begun_when_its_head_is_whole_however_the_bytes_are_cut() {
        let of = |stream: u8, mut frame: Vec<u8>| {
            frame[8] = stream;
            frame
        };
        let (ends_head, more) = (4, 0);
        // Each with the streams that have begun by then: one in two frames, one with a body and trailers.
        let steps = [
            (of(1, frame(1, more, 20)), 0),
            (of(1, frame(9, ends_head, 7)), 1),
            (of(3, frame(1, ends_head, 30)), 2),
            (of(3, frame(DATA, 0, 9)), 2),
            (of(3, frame(1, ends_head | 1, 5)), 2),
            (of(5, frame(1, ends_head, 0)), 3),
        ];
        for size in 1..40 {
            let (mut counted, _, begun) = Counted::new((), 0);
            for (bytes, expected) in &steps {
                let (last, rest) = bytes.split_last().unwrap();
                for piece in rest.chunks(size) {
                    counted.pass(piece);
                }
                assert!(begun.load(Ordering::Relaxed) <= *expected, "before the end of a frame, in pieces of {size}");
                counted.pass(&[*last]);
                assert_eq!(begun.load(Ordering::Relaxed), *expected, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn frames_that_ask_for_nothing_are_a_flood_when_there_are_too_many() {
        for (received, most, flood) in [
            (frame(PING, 0, 8), CONTROL, Flood::Control),
            (frame(SETTINGS, 0, 0), CONTROL, Flood::Control),
            (frame(2, 0, 5), CONTROL, Flood::Control),
            (frame(0xee, 0, 5), CONTROL, Flood::Control),
            (frame(UPDATE, 0, 4), UPDATES, Flood::WindowUpdates),
            (frame(RESET, 0, 4), RESETS, Flood::Resets),
            (frame(DATA, 0, 0), EMPTY, Flood::EmptyFrames),
            (frame(9, 0, 0), EMPTY, Flood::EmptyFrames),
        ] {
            let most = usize::try_from(most).unwrap();
            assert_eq!(found(&received, most, &[]), None, "{flood:?}");
            assert_eq!(found(&received, most + 1, &[]), Some(flood));
        }
        let ordinary = [frame(1, 4, 30), frame(DATA, 0, 100), frame(PING, 0, 8), frame(DATA, 1, 0)].concat();
        assert_eq!(found(&ordinary, 20_000, &[]), None, "a ping for each request");
    }

    #[test]
    fn what_was_answered_may_be_acknowledged_and_taken_back() {
        let answered = frame(DATA, 1, 0).repeat(100);
        assert_eq!(found(&frame(UPDATE, 0, 4), 2000, &answered), None);
        assert_eq!(found(&frame(UPDATE, 0, 4), 2001, &answered), Some(Flood::WindowUpdates));
        assert_eq!(found(&frame(RESET, 0, 4), 200, &answered), None);
        assert_eq!(found(&frame(RESET, 0, 4), 201, &answered), Some(Flood::Resets));
    }

    #[test]
    fn what_comes_over_a_long_time_is_no_flood() {
        let (mut counted, found, _) = Counted::new((), 0);
        for _ in 0..20 {
            counted.pass(&frame(PING, 0, 8).repeat(900));
            counted.since = counted.since.checked_sub(WITHIN * 2).unwrap();
        }
        assert_eq!(found.get(), None);
        counted.pass(&frame(PING, 0, 8).repeat(2000));
        counted.pass(&frame(PING, 0, 8).repeat(2000));
        assert_eq!(found.get(), Some(&Flood::Control));
    }

    #[tokio::test]
    async fn who_floods_is_told_to_calm_down() {
        let (near, mut far) = duplex(1 << 20);
        let (mut counted, found, _) = Counted::new(near, 24);
        far.write_all(&[0xff; 24]).await.unwrap();
        far.write_all(&frame(PING, 0, 8).repeat(2000)).await.unwrap();
        counted.write_all(&frame(SETTINGS, 0, 0)).await.unwrap();
        let mut all = Vec::new();
        counted.read_to_end(&mut all).await.unwrap();
        assert_eq!(found.get(), Some(&Flood::Control));
        counted.write_all(b"no answer").await.unwrap();
        counted.shutdown().await.unwrap();
        drop(counted);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, [frame(SETTINGS, 0, 0), GOAWAY.to_vec()].concat());
    }
}
