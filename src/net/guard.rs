//! A look at each HTTP/1 head before the parser hides what is wrong with it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    chunks::{Chunks, Unclear},
    half_open::HalfOpen,
    problem::HeadProblem,
};

/// The longest head, request line and fields together.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

const EMPTY_LINE: &[u8] = b"\r\n";

/// What the guard refused, for the one who records it.
pub(super) type Refusal = Arc<OnceLock<HeadProblem>>;

/// A connection whose heads are looked at as they arrive.
///
/// hyper drops Content-Length beside Transfer-Encoding, drops fragments, and takes a bare LF for a line end: a request
/// that two readers understand in two ways would be invisible above it. The guard follows the framing of the
/// connection, and puts a byte that no parser takes in the place of a head that it refuses: so the refusal is answered
/// in its turn, with 400, and the connection is closed. A body whose framing is not clear breaks off where that begins:
/// nothing after it is a head, and nothing of it is made up.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    inner: T,
    state: State,
    // The head so far, if it did not come in one piece.
    head: Vec<u8>,
    refusal: Refusal,
    is_switched: Arc<AtomicBool>,
    // Whether a whole head has come since somebody asked.
    has_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a head.
    Head,
    /// In a body, with this many bytes left.
    Body(u64),
    /// In a chunked body.
    Chunks(Chunks),
    /// The head's framing fields are not clear: the parser or the service refuses it and closes, so nothing after it is
    /// a head.
    Opaque,
    /// A head was refused.
    Refused,
    /// A body cannot be followed.
    Broken,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T) -> (Self, Refusal) {
        let refusal = Refusal::default();
        let guarded = Self {
            inner,
            state: State::Head,
            head: Vec::new(),
            refusal: Arc::clone(&refusal),
            is_switched: Arc::default(),
            has_head: false,
        };
        (guarded, refusal)
    }

    /// To be set when the answer that is sent next ends HTTP on the connection (101): what comes after it is none.
    pub(super) fn switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_switched)
    }

    /// Follows the bytes; on a refusal returns where in `bytes` what is refused (or the last piece of a head) begins.
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let begin = bytes.len() - rest.len();
            rest = match self.state {
                State::Head => self.take_head(rest).map_err(|problem| {
                    self.state = State::Refused;
                    // The first refusal is the one that is answered.
                    let _ = self.refusal.set(problem);
                    begin
                })?,
                State::Body(left) => self.skip(rest, left),
                State::Chunks(mut chunks) => match chunks.follow(rest) {
                    Ok(Some(end)) => {
                        self.state = State::Head;
                        rest.get(end..).unwrap_or_default()
                    }
                    Ok(None) => {
                        self.state = State::Chunks(chunks);
                        &[]
                    }
                    Err(Unclear(at)) => {
                        self.state = State::Broken;
                        return Err(begin + at);
                    }
                },
                State::Opaque => return Ok(()),
                State::Refused | State::Broken => return Err(begin),
            };
        }
        Ok(())
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], HeadProblem> {
        // Empty lines before a request line are skipped (RFC 9112, section 2.2).
        if self.head.is_empty() && matches!(bytes.first(), Some(b'\r' | b'\n')) {
            if bytes.first() == Some(&b'\n') {
                return Err(HeadProblem::BareLineFeed);
            }
            return match bytes.get(1) {
                Some(b'\n') => Ok(bytes.get(2..).unwrap_or_default()),
                Some(_) => Err(HeadProblem::BareCarriageReturn),
                // A lone CR at the end of what came: the next byte tells.
                None => {
                    self.head.push(b'\r');
                    Ok(&[])
                }
            };
        }
        let known = self.head.len();
        let mut framing = Framing::default();
        // Almost every head comes in one piece: then its lines are looked at while its end is searched.
        let end = if known == 0 { find_whole(bytes, &mut framing)? } else { self.find_end(bytes)? };
        if known + end.unwrap_or(bytes.len()) > HEAD_BYTES {
            return Err(HeadProblem::TooLong);
        }
        let Some(end) = end else {
            self.head.extend_from_slice(bytes);
            return Ok(&[]);
        };
        let (last, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if known > 0 {
            self.head.extend_from_slice(last);
            let head = std::mem::take(&mut self.head);
            head.split(|byte| *byte == b'\n').for_each(|line| framing.line(line));
        }
        self.state = framing.next()?;
        // An empty line that came in two pieces is none.
        self.has_head |= known + end > EMPTY_LINE.len();
        Ok(rest)
    }

    /// Where in `bytes` the head that began in `self.head` ends, after its empty line.
    fn find_end(&self, bytes: &[u8]) -> Result<Option<usize>, HeadProblem> {
        for index in memchr_iter(b'\n', bytes) {
            // Some of the three bytes before it may have come before.
            let earlier = bytes.get(..index).unwrap_or_default();
            let mut earlier = earlier.iter().rev().chain(self.head.iter().rev()).copied();
            let [last, second, third] = std::array::from_fn(|_| earlier.next().unwrap_or(0));
            if last != b'\r' {
                return Err(HeadProblem::BareLineFeed);
            }
            if (third, second) == (b'\r', b'\n') || (self.head == b"\r" && index == 0) {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if here < left {
            self.state = State::Body(left - here);
            return &[];
        }
        self.state = State::Head;
        usize::try_from(left).ok().and_then(|left| bytes.get(left..)).unwrap_or_default()
    }
}

impl<T> Guarded<HalfOpen<T>> {
    /// What is below it, if no more came than the last head and its body.
    pub(super) fn into_inner(self) -> Option<T> {
        if self.state == State::Head && self.head.is_empty() { self.inner.into_inner() } else { None }
    }

    /// Whether no more came than the last head and its body, and not the client's end either.
    pub(super) fn is_between_requests(&self) -> bool {
        self.state == State::Head && self.head.is_empty() && self.inner.has_nothing_ahead()
    }

    /// Whether a whole head has come since this was asked last: empty lines are none.
    pub(super) fn take_asked(&mut self) -> bool {
        std::mem::take(&mut self.has_head)
    }
}

impl<T: AsyncRead + Unpin> Guarded<HalfOpen<T>> {
    /// Waits until something comes, the client's end for example, which is kept for the next read; an error is not.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ahead(cx)
    }
}

/// Where in `bytes` the head that begins there ends, after its empty line; its lines are noted in `framing`.
fn find_whole(bytes: &[u8], framing: &mut Framing) -> Result<Option<usize>, HeadProblem> {
    let mut begin = 0;
    for index in memchr_iter(b'\n', bytes) {
        let line = bytes.get(std::mem::replace(&mut begin, index + 1)..index).unwrap_or_default();
        match line.split_last() {
            Some((b'\r', [])) => return Ok(Some(begin)),
            Some((b'\r', line)) => framing.line(line),
            Some(_) | None => return Err(HeadProblem::BareLineFeed),
        }
    }
    Ok(None)
}

/// What the lines of a head say of what follows it.
#[derive(Debug, Default)]
struct Framing {
    in_fields: bool,
    fragment: bool,
    repeated: bool,
    unclear: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Notes the next line, without its LF.
    fn line(&mut self, line: &[u8]) {
        if !std::mem::replace(&mut self.in_fields, true) {
            self.fragment = memchr(b'#', line).is_some();
            return;
        }
        // Only two fields frame a message, and their names begin with two letters.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return;
        }
        let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else { return };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            // Digits alone (RFC 9110, section 8.6): the library's own reading takes a sign too.
            let is_number = value.iter().all(u8::is_ascii_digit);
            let number =
                std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
            self.unclear |= number.is_none();
            self.repeated |= self.length.replace(number.unwrap_or(0)).is_some();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.unclear |= self.chunked || !value.eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
        }
    }

    /// What follows the head, now that it is complete, or why the head is refused.
    fn next(&self) -> Result<State, HeadProblem> {
        match (self.length, self.chunked) {
            _ if self.fragment => Err(HeadProblem::Fragment),
            _ if self.repeated => Err(HeadProblem::UnclearFraming),
            (Some(_), true) => Err(HeadProblem::TwoFramings),
            _ if self.unclear => Ok(State::Opaque),
            (None, true) => Ok(State::Chunks(Chunks::new())),
            (Some(length), false) if length > 0 => Ok(State::Body(length)),
            (Some(_) | None, false) => Ok(State::Head),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        /// No request line begins like this.
        const ILLEGAL: &[u8] = b"\0\r\n\r\n";
        let guarded = self.get_mut();
        let broken = || Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a body cannot be followed")));
        if guarded.is_switched.load(Ordering::Relaxed) {
            // What was refused before the answer is not what the client sent.
            if matches!(guarded.state, State::Refused | State::Broken) {
                return broken();
            }
            return Pin::new(&mut guarded.inner).poll_read(cx, buffer);
        }
        if guarded.state == State::Broken {
            return broken();
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut guarded.inner).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if let Err(refused_at) = guarded.inspect(read) {
            buffer.set_filled(before + refused_at);
            if guarded.state == State::Broken {
                // What came before it is the body's.
                return if refused_at == 0 { broken() } else { Poll::Ready(Ok(())) };
            }
            let room = buffer.remaining().min(ILLEGAL.len());
            buffer.put_slice(ILLEGAL.get(..room).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the guard says of a connection's bytes, fed in pieces of every size.
    fn refusals(bytes: &[u8]) -> Option<HeadProblem> {
        let verdict = |size: usize| {
            let (mut guard, refusal) = Guarded::new(());
            for piece in bytes.chunks(size) {
                if guard.inspect(piece).is_err() {
                    break;
                }
            }
            refusal.get().copied()
        };
        let whole = verdict(bytes.len().max(1));
        for size in 1..bytes.len() {
            assert_eq!(verdict(size), whole, "in pieces of {size}: {}", String::from_utf8_lossy(bytes));
        }
        whole
    }

    const BAD: &str = "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn what_the_parser_would_hide_is_refused() {
        assert!(refusals(BAD.as_bytes()) == Some(HeadProblem::TwoFramings));
        assert!(refusals(b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n") == Some(HeadProblem::Fragment));
        assert!(refusals(b"GET / HTTP/1.1\nHost: a\n\n") == Some(HeadProblem::BareLineFeed));
        assert!(refusals(b"GET / HTTP/1.1\r\nHost: a\n\r\n") == Some(HeadProblem::BareLineFeed));
        assert!(refusals(b"\nGET / HTTP/1.1\r\n\r\n") == Some(HeadProblem::BareLineFeed));
    }

    #[test]
    fn ordinary_requests_pass() {
        assert_eq!(refusals(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(refusals(b"\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n#\n#GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_head_after_a_body_is_looked_at() {
        for body in [
            "Content-Length: 5\r\n\r\nab\ncd",
            "Transfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n10;x=\"y\"\r\n0123456789#\nabcd\r\n0\r\n\r\n",
            "Transfer-Encoding: Chunked\r\n\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\n",
            "Content-Length: 0\r\n\r\n",
        ] {
            let good = format!("POST / HTTP/1.1\r\n{body}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(refusals(good.as_bytes()), None, "{body}");
            let bad = format!("POST / HTTP/1.1\r\n{body}{BAD}");
            assert!(refusals(bad.as_bytes()) == Some(HeadProblem::TwoFramings), "{body}");
        }
    }

    #[test]
    fn framing_that_cannot_be_followed_is_refused() {
        assert_eq!(
            refusals(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
            Some(HeadProblem::UnclearFraming)
        );
        // A body breaks off, and nothing after it is a head to anybody.
        for body in ["00000000000000003\r\nabc\r\n", "3\r\nabc\r\n0\r\na: b\n\n", "3\r\nabc\r\n0\r\n\n"] {
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (mut guard, _) = Guarded::new(());
            assert!(guard.inspect(format!("{head}{body}GET / HTTP/1.1\r\n\r\n").as_bytes()).is_err(), "{body}");
            assert_eq!(guard.inspect(b"GET / HTTP/1.1\r\n\r\n"), Err(0));
        }
    }

    #[test]
    fn nothing_is_a_head_after_a_framing_that_is_not_clear() {
        for field in ["Transfer-Encoding: gzip, chunked", "Content-Length: +5"] {
            // The service refuses it and closes: what follows is never told of as somebody's request.
            assert_eq!(refusals(format!("POST / HTTP/1.1\r\n{field}\r\n\r\n{BAD}").as_bytes()), None, "{field}");
        }
    }

    #[test]
    fn a_head_has_a_longest() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES));
        let (mut guard, refusal) = Guarded::new(());
        let refused = long.as_bytes().chunks(4096).any(|piece| guard.inspect(piece).is_err());
        assert!(refused && refusal.get().is_some());
    }
}
