//! Streams of server-sent events, from one to the next (HTML, section 9.2.6).

use bytes::{Buf, Bytes, BytesMut};

/// An event is longer than one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Parts a stream into its events. What follows the last whole one waits, and is dropped with the stream, as clients do.
#[derive(Debug)]
pub(super) struct Events {
    held: BytesMut,
    // Where the last line begins that was seen, and up to where it has no end.
    line: usize,
    looked_at: usize,
    longest: usize,
}

impl Events {
    /// Of events of at most this many bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self { held: BytesMut::new(), line: 0, looked_at: 0, longest }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole event, with the empty line that ends it.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        match self.end() {
            Some(end) if end <= self.longest => {
                (self.line, self.looked_at) = (0, 0);
                Ok(Some(self.held.split_to(end).freeze()))
            }
            None if self.held.remaining() <= self.longest => Ok(None),
            Some(_) | None => Err(TooLong),
        }
    }

    /// Behind the first empty line: lines end in CR LF, LF or CR.
    fn end(&mut self) -> Option<usize> {
        loop {
            let rest = self.held.get(self.looked_at..)?;
            // What was looked at is not looked at again, in however many pieces a line comes.
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.looked_at = self.held.len();
                return None;
            };
            self.looked_at += length;
            let is_empty = self.looked_at == self.line;
            let after = match rest.get(length..) {
                Some([b'\r', b'\n', ..]) => 2,
                // What comes next may be its LF, but an event that ends does so already.
                Some([b'\r']) if !is_empty => return None,
                _ => 1,
            };
            self.line = self.looked_at + after;
            self.looked_at = self.line;
            if is_empty {
                return Some(self.line);
            }
        }
    }
}

/// The data of an event: its lines, joined. `None` if it has none.
pub(super) fn data(event: &[u8]) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = lines(event).filter_map(data_line).collect();
    if lines.is_empty() { None } else { Some(lines.join(&b'\n')) }
}

/// The event with other data.
pub(super) fn with_data(event: &[u8], data: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(event.len());
    let others = lines(event).filter(|line| data_line(line).is_none() && !line.is_empty());
    for line in others {
        written.extend_from_slice(line);
        written.push(b'\n');
    }
    // The white space of JSON has line ends; its strings have none.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        written.extend_from_slice(b"data: ");
        written.extend_from_slice(line);
        written.push(b'\n');
    }
    written.push(b'\n');
    written
}

fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let event = event.strip_prefix("\u{feff}".as_bytes()).unwrap_or(event);
    event.split(|byte| matches!(byte, b'\n' | b'\r'))
}

fn data_line(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data")?;
    match value.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => value.is_empty().then_some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut events, mut parted) = (Events::new(64), Vec::new());
        for piece in stream.chunks(piece) {
            events.take(piece);
            while let Some(event) = events.next().unwrap() {
                parted.push(event.to_vec());
            }
        }
        parted
    }

    #[test]
    fn events_end_in_empty_lines_of_every_kind() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\nid: 7\r\ndata:b\r\n\r\ndata: lost", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            (": ping\n\nevent: x\ndata: a\ndata\ndata:  b\n\n", vec!["", "a\n\n b"]),
            ("\u{feff}data: a\n\n\n\ndata: b\n\n", vec!["a", "", "", "b"]),
        ] {
            for piece in [1, 2, 3, 100] {
                let data: Vec<_> = parted(stream.as_bytes(), piece)
                    .iter()
                    .map(|event| String::from_utf8(data(event).unwrap_or_default()).unwrap())
                    .collect();
                let told = |texts: &[String]| texts.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
                let expected: Vec<_> = expected.iter().map(|text| (*text).to_owned()).collect();
                assert_eq!(told(&data), told(&expected), "{stream:?} {piece}");
            }
        }
    }

    #[test]
    fn an_event_is_as_long_as_it_may_be() {
        let mut events = Events::new(10);
        events.take(b"data: abc\n\n");
        assert_eq!(events.next(), Err(TooLong));
        let mut events = Events::new(11);
        events.take(b"data: abc\n\n");
        assert!(events.next().unwrap().is_some());
        events.take(b"data: abcdefgh");
        assert_eq!(events.next(), Err(TooLong));
    }

    #[test]
    fn other_data_takes_the_place_of_all_lines() {
        let event = b"id: 7\r\nevent: message\r\ndata: {\r\ndata: }\r\nretry: 5\r\n\r\n";
        let written = with_data(event, b"{\n}");
        assert_eq!(written, b"id: 7\nevent: message\nretry: 5\ndata: {\ndata: }\n\n");
        assert_eq!(data(&written).unwrap(), b"{\n}");
    }
}
