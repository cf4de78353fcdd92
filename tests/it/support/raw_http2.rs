//! HTTP/2 by hand, so that a test can say any frames.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 32;

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Answer {
        status: u16,
        body: String,
    },
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was given up, with this code; without one it was just closed.
    GoneAway(Option<u32>),
}

impl Told {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            Self::Reset(_) | Self::GoneAway(_) => None,
        }
    }

    pub(crate) fn reason(&self) -> String {
        let Self::Answer { body, .. } = self else { return String::new() };
        let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        json["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection that has greeted.
pub(crate) struct Frames {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Frames {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self { stream, unread: Vec::new() };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // No dynamic table for the answers: what they say can be read one by one.
        frames.frame(4, 0, 0, &[0, 1, 0, 0, 0, 0]);
        // As much as all answers of a test may need.
        frames.frame(8, 0, 0, &[0x3f, 0, 0, 0]);
        frames
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.send(&[&head, payload].concat());
    }

    /// A whole head of these fields, and with it the request.
    pub(crate) fn head(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.frame(1, END_STREAM | END_HEADERS, stream, &block(fields));
    }

    /// A whole request.
    pub(crate) fn request(&mut self, stream: u32, fields: &[(&str, &str)], body: &[u8]) {
        if body.is_empty() {
            return self.head(stream, fields);
        }
        self.frame(1, END_HEADERS, stream, &block(fields));
        self.frame(0, END_STREAM, stream, body);
    }

    /// What comes of this stream.
    pub(crate) fn told(&mut self, stream: u32) -> Told {
        let (mut status, mut body) = (None, Vec::new());
        loop {
            let Some((kind, flags, of, payload)) = self.next_frame() else { return Told::GoneAway(None) };
            let code = |at: usize| payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
            match kind {
                0 if of == stream => body.extend_from_slice(&payload),
                1 if of == stream => status = status.or(Some(status_of(&payload))),
                3 if of == stream => {
                    return status.map_or(Told::Reset(code(0).unwrap()), |status| answer(status, &body));
                }
                4 if flags & 1 == 0 => self.frame(4, 1, 0, &[]),
                6 if flags & 1 == 0 => self.frame(6, 1, 0, &payload),
                // In order (code 0) it ends the connection, not the stream.
                7 if code(4) != Some(0) => return Told::GoneAway(code(4)),
                _ => {}
            }
            if matches!(kind, 0 | 1) && of == stream && flags & END_STREAM != 0 {
                return answer(status.unwrap(), &body);
            }
        }
    }

    fn next_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        self.fill(9)?;
        let head: Vec<u8> = self.unread.drain(..9).collect();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        self.fill(length)?;
        let payload = self.unread.drain(..length).collect();
        Some((head[3], head[4], u32::from_be_bytes(head[5..9].try_into().unwrap()), payload))
    }

    fn fill(&mut self, length: usize) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        while self.unread.len() < length {
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.unread.extend_from_slice(&piece[..read]),
            }
        }
        Some(())
    }
}

/// Fields as literals that are never indexed (RFC 7541, section 6.2.3).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            length(text.chars().count(), &mut block);
            // As in the other direction, each character is one byte.
            block.extend(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        }
    }
    block
}

fn length(mut length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(u8::try_from(length).unwrap());
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).unwrap());
}

fn answer(status: u16, body: &[u8]) -> Told {
    Told::Answer { status, body: String::from_utf8_lossy(body).into_owned() }
}

/// The status, which is the first field of an answer.
fn status_of(block: &[u8]) -> u16 {
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        // A literal whose name is `:status`: three digits, as they are or by the code of Huffman.
        _ if block[1] & 0x80 == 0 => std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap(),
        _ => {
            let bits: String = block[2..].iter().take(3).map(|byte| format!("{byte:08b}")).collect();
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let short = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
                let long = u16::from_str_radix(&bits[at..at + 6], 2).unwrap();
                let (digit, length) = if short < 3 { (short, 5) } else { (long - 0b01_0110, 6) };
                status = status * 10 + digit;
                at += length;
            }
            status
        }
    }
}
