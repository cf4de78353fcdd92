//! The frames of HTTP/2, as they pass by.

/// How long the header of a frame is (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: FrameKind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// The kinds of frames that are told apart (RFC 9113, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Data,
    Headers,
    Reset,
    WindowUpdate,
    Continuation,
    /// PRIORITY, SETTINGS, PING, GOAWAY, and what nobody knows.
    Control,
}

impl FrameHead {
    fn of(header: [u8; HEADER]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let kind = match kind {
            0 => FrameKind::Data,
            1 => FrameKind::Headers,
            3 => FrameKind::Reset,
            8 => FrameKind::WindowUpdate,
            9 => FrameKind::Continuation,
            _ => FrameKind::Control,
        };
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// Whether a head ends with it.
    pub(super) fn ends_head(self) -> bool {
        matches!(self.kind, FrameKind::Headers | FrameKind::Continuation) && self.flags & 4 != 0
    }

    /// Whether it is the last one of its stream. Only DATA and HEADERS can be.
    pub(super) fn ends_stream(self) -> bool {
        matches!(self.kind, FrameKind::Data | FrameKind::Headers) && self.flags & 1 != 0
    }
}

/// One direction of a connection. It holds nothing but where in a frame it is.
#[derive(Debug)]
pub(super) struct Frames {
    // Bytes that are no header.
    payload: usize,
    header: [u8; HEADER],
    known: usize,
}

impl Frames {
    /// What begins with so many bytes that are no frame.
    pub(super) fn after(preface: usize) -> Self {
        Self { payload: preface, header: [0; HEADER], known: 0 }
    }

    /// Whether the next byte begins a frame.
    pub(super) fn is_between(&self) -> bool {
        self.payload == 0 && self.known == 0
    }

    /// How many of these bytes, which come next, belong to a frame that has begun before.
    pub(super) fn begun_before(&self, bytes: &[u8]) -> usize {
        if self.is_between() {
            return 0;
        }
        let mut alone = Self { header: self.header, ..*self };
        let mut end = self.payload;
        if self.known > 0 {
            let missing = HEADER - self.known;
            alone.follow(bytes.get(..missing).unwrap_or(bytes), |_| ());
            end = missing + alone.payload;
        }
        end.min(bytes.len())
    }

    /// Follows the bytes, and tells of each header in them.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            let passed = self.payload.min(bytes.len());
            self.payload -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            for (place, byte) in self.header.iter_mut().skip(self.known).zip(bytes) {
                *place = *byte;
            }
            let taken = bytes.len().min(HEADER - self.known);
            self.known += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.known == HEADER {
                let head = FrameHead::of(self.header);
                (self.payload, self.known) = (head.length, 0);
                tell(head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(0xff, usize::from(length)));
        frame
    }

    #[test]
    fn headers_are_seen_however_the_bytes_are_cut() {
        let mut bytes = vec![0xff; 24];
        for (kind, flags, length) in [(4, 0, 18), (1, 5, 40), (0, 0, 0), (0, 1, 200), (8, 0, 4), (3, 0, 4), (77, 1, 9)]
        {
            bytes.extend(frame(kind, flags, length));
        }
        for size in 1..bytes.len() {
            let (mut frames, mut seen) = (Frames::after(24), Vec::new());
            bytes.chunks(size).for_each(|piece| frames.follow(piece, |head| seen.push(head)));
            assert!(frames.is_between());
            let kinds: Vec<_> = seen.iter().map(|head| (head.kind, head.length, head.ends_stream())).collect();
            let expected = [
                (FrameKind::Control, 18, false),
                (FrameKind::Headers, 40, true),
                (FrameKind::Data, 0, false),
                (FrameKind::Data, 200, true),
                (FrameKind::WindowUpdate, 4, false),
                (FrameKind::Reset, 4, false),
                (FrameKind::Control, 9, false),
            ];
            assert_eq!(kinds, expected, "in pieces of {size}");
        }
        assert_eq!(Frames::after(0).begun_before(&[0; 30]), 0);
        let whole = frame(0, 0, 9);
        for cut in 1..whole.len() {
            let mut frames = Frames::after(0);
            frames.follow(&whole[..cut], |_| ());
            assert!(!frames.is_between());
            let rest = [&whole[cut..], &whole].concat();
            assert_eq!(frames.begun_before(&rest), whole.len() - cut);
            assert!(frames.begun_before(&rest[..1]) <= 1);
        }
    }
}
