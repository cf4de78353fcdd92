//! Where a chunked body ends (RFC 9112, section 7.1), by nothing but what its grammar allows.

/// All chunk extensions of one body together.
const EXTENSIONS: usize = 4 * 1024;
/// All trailers of one body together, and how many there may be.
const TRAILERS: usize = 8 * 1024;
const LINES: u8 = 50;
/// More digits than any size has, zeros before it among them.
const DIGITS: u8 = 16;

/// A body that is being followed, byte by byte where it is no data.
///
/// A line that one reader ends where another one goes on would hide a request from one of them: lines end in CRLF, and
/// what is neither is refused, also where a parser may be lenient (sections 2.2 and 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    // Of the chunk that the current line begins.
    size: u64,
    extensions: usize,
    trailers: usize,
    lines: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a size, after so many digits.
    Size(u8),
    /// After a size and white space.
    Space,
    /// In an extension.
    Extension,
    /// In a quoted string of an extension, or after the backslash in it.
    Quoted,
    Escaped,
    /// After the CR of a size's line.
    SizeEnd,
    /// In data, with so many bytes left.
    Data(u64),
    /// After data.
    DataEnd,
    /// After the CR behind data.
    DataLineEnd,
    /// At the beginning of a trailer's line, or within it.
    Trailer,
    InTrailer,
    /// After the CR of an empty line, or of a trailer's.
    LastEnd,
    TrailerEnd,
}

/// The framing cannot be followed, from this byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclear(pub(super) usize);

impl Chunks {
    /// A body that begins.
    pub(super) fn new() -> Self {
        Self { place: Place::Size(0), size: 0, extensions: 0, trailers: 0, lines: 0 }
    }

    /// Goes on by these bytes; how many of them belong to the body, if it has ended.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Unclear> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Place::Data(left) = self.place {
                let here = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                let skipped = left.min(here);
                self.place = if skipped == left { Place::DataEnd } else { Place::Data(left - skipped) };
                at = at.saturating_add(usize::try_from(skipped).unwrap_or(usize::MAX));
                continue;
            }
            let is_end = self.place == Place::LastEnd && *byte == b'\n';
            if is_end {
                return Ok(Some(at + 1));
            }
            self.place = self.next(*byte).ok_or(Unclear(at))?;
            at += 1;
        }
        Ok(None)
    }

    /// Where the byte leads, if it may stand there and is not too many of its kind.
    fn next(&mut self, byte: u8) -> Option<Place> {
        let is_text = byte == b'\t' || !byte.is_ascii_control();
        match self.place {
            Place::Extension | Place::Quoted | Place::Escaped => self.extensions += 1,
            Place::Trailer | Place::InTrailer => self.trailers += 1,
            _ => {}
        }
        if self.extensions > EXTENSIONS || self.trailers > TRAILERS {
            return None;
        }
        if let (Place::Size(digits), Some(digit)) = (self.place, char::from(byte).to_digit(16)) {
            self.size = if digits == 0 { u64::from(digit) } else { self.size << 4 | u64::from(digit) };
            return (digits < DIGITS).then(|| Place::Size(digits + 1));
        }
        match (self.place, byte) {
            (Place::Size(1..) | Place::Space | Place::Extension, b'\r') => Some(Place::SizeEnd),
            (Place::Size(1..) | Place::Space, b';') => Some(Place::Extension),
            (Place::Size(1..) | Place::Space, b' ' | b'\t') => Some(Place::Space),
            (Place::Extension, b'"') => Some(Place::Quoted),
            (Place::Extension, _) if is_text => Some(Place::Extension),
            (Place::Quoted, b'"') => Some(Place::Extension),
            (Place::Quoted, b'\\') => Some(Place::Escaped),
            (Place::Quoted | Place::Escaped, _) if is_text => Some(Place::Quoted),
            (Place::SizeEnd, b'\n') if self.size == 0 => Some(Place::Trailer),
            (Place::SizeEnd, b'\n') => Some(Place::Data(self.size)),
            (Place::DataEnd, b'\r') => Some(Place::DataLineEnd),
            (Place::DataLineEnd, b'\n') => Some(Place::Size(0)),
            (Place::Trailer, b'\r') => Some(Place::LastEnd),
            (Place::InTrailer, b'\r') => Some(Place::TrailerEnd),
            (Place::Trailer, _) if is_text && self.lines < LINES => {
                self.lines += 1;
                Some(Place::InTrailer)
            }
            (Place::InTrailer, _) if is_text => Some(Place::InTrailer),
            (Place::TrailerEnd, b'\n') => Some(Place::Trailer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body with something behind it, fed in pieces of every size: how long the body is.
    fn followed(body: &[u8]) -> Result<Option<usize>, Unclear> {
        let in_pieces = |size: usize| {
            let (mut chunks, mut before) = (Chunks::new(), 0);
            for piece in body.chunks(size) {
                match chunks.follow(piece) {
                    Ok(None) => before += piece.len(),
                    Ok(Some(end)) => return Ok(Some(before + end)),
                    Err(Unclear(at)) => return Err(Unclear(before + at)),
                }
            }
            Ok(None)
        };
        let whole = in_pieces(body.len());
        for size in 1..body.len() {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}: {}", String::from_utf8_lossy(body));
        }
        whole
    }

    #[test]
    fn a_body_ends_after_its_last_line() {
        for body in [
            "0\r\n\r\n",
            "3\r\na\nb\r\n0\r\n\r\n",
            "A;x;y=\"a\\\"; b\"\r\n0123\r\n4567\r\n000 ;z\r\na: b\r\nc: d\r\n\r\n",
        ] {
            assert_eq!(followed(format!("{body}GET / HTTP/1.1\r\n").as_bytes()), Ok(Some(body.len())), "{body}");
        }
        assert_eq!(followed(b"3\r\nabc\r\n0\r\na: b\r\n"), Ok(None));
    }

    #[test]
    fn what_two_readers_would_end_in_two_places_is_refused() {
        for (body, at) in [
            // Lines that end in one byte.
            ("3\nabc", 1),
            ("3;a\nabc", 3),
            ("3\rabc", 2),
            ("0\r\n\n", 3),
            ("0\r\na: b\n\nPUT", 7),
            ("0\r\na: b\rc: d", 8),
            ("0\r\n\rx", 4),
            // Data that is longer or shorter than it says.
            ("3\r\nabcd\r\n", 6),
            ("3\r\nabc\n", 6),
            ("3\r\nabc\rx", 7),
            // Sizes that are none, or too long to be read alike.
            ("\r\n", 0),
            (";a\r\n", 0),
            ("3x\r\n", 1),
            ("0x3\r\n", 1),
            ("+3\r\n", 0),
            ("3 3\r\n", 2),
            ("00000000000000003\r\n", 16),
            // Extensions that do not end, or hold what no line holds.
            ("3;a=\"b\r\n", 6),
            ("3;a\0\r\n", 3),
        ] {
            assert_eq!(followed(body.as_bytes()), Err(Unclear(at)), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_data_has_a_longest() {
        let extension = |length: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(length));
        assert!(Chunks::new().follow(extension(EXTENSIONS - 1).as_bytes()).is_ok_and(|end| end.is_some()));
        assert_eq!(Chunks::new().follow(extension(EXTENSIONS).as_bytes()), Err(Unclear(2 + EXTENSIONS)));
        let small = format!("{}0\r\n\r\n", "1;x\r\na\r\n".repeat(EXTENSIONS));
        assert!(Chunks::new().follow(small.as_bytes()).is_err(), "they count together");
        let trailers = |count: u8, length: usize| {
            format!("0\r\n{}\r\n", format!("a: {}\r\n", "b".repeat(length)).repeat(count.into()))
        };
        assert!(Chunks::new().follow(trailers(LINES, 100).as_bytes()).is_ok_and(|end| end.is_some()));
        assert!(Chunks::new().follow(trailers(LINES + 1, 1).as_bytes()).is_err());
        assert!(Chunks::new().follow(trailers(2, TRAILERS / 2).as_bytes()).is_err());
    }
}
