//! HTTP/2 by hand, so that a test can say any frames.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The flag of a frame after which the stream has nothing more.
pub(crate) const END_STREAM: u8 = 1;
/// The flag of a head that is whole.
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 32;

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

pub(crate) fn ping() -> Vec<u8> {
    frame(6, 0, 0, &[7; 8])
}

pub(crate) fn window_update(stream: u32, more: u32) -> Vec<u8> {
    frame(8, 0, stream, &more.to_be_bytes())
}

/// The head of a request with a token, and these more bytes of its block.
pub(crate) fn request_head(method: &str, path: &str, token: &str, more: &[u8]) -> Vec<u8> {
    let mut block = vec![0x86];
    block.extend(indexed(2, method));
    block.extend(indexed(4, path));
    block.extend(indexed(1, "api.acme.example"));
    if !token.is_empty() {
        block.extend(indexed(23, &format!("Bearer {token}")));
    }
    block.extend(more);
    block
}

/// A field that is not remembered, its name from the static table (RFC 7541, section 6.2.2).
fn indexed(name: u8, value: &str) -> Vec<u8> {
    let mut field = if name < 15 { vec![name] } else { vec![15, name - 15] };
    field.extend(text(value));
    field
}

/// A field that is not remembered, with its name.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A field that is remembered: from then on `0xbe` stands for it (RFC 7541, section 6.2.1).
pub(crate) fn remembered(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128 + 128).unwrap());
            length /= 128;
        }
        bytes.push(u8::try_from(length).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}

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

/// A connection that has begun.
pub(crate) struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[])
    }

    /// With these settings, each a number and its value.
    pub(crate) fn open_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [name.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat())
            .collect();
        let mut connection = Self { stream };
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        connection.send(frame(4, 0, 0, &payload));
        connection
    }

    /// One on which [`Http2::told`] can read all answers.
    pub(crate) fn reading(address: SocketAddr) -> Self {
        // No dynamic table for the answers: what they say can be read one by one.
        let mut connection = Self::open_with(address, &[(1, 0)]);
        connection.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // As much as all answers of a test may need.
        connection.send(window_update(0, 0x3f00_0000));
        connection
    }

    /// Sends it, and says whether it was taken.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(frame(kind, flags, stream, payload));
    }

    /// A whole head of these fields, and with it the request; in as many frames as it takes.
    pub(crate) fn head(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = block(fields);
        let mut pieces = block.chunks(16 * 1024).peekable();
        let mut kind = 1;
        while let Some(piece) = pieces.next() {
            let ends_head = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let ends_stream = if kind == 1 { END_STREAM } else { 0 };
            self.frame(std::mem::replace(&mut kind, 9), ends_head | ends_stream, stream, piece);
        }
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
            let Some((kind, flags, of, payload)) = self.next() else { return Told::GoneAway(None) };
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

    /// The next frame: its kind, its flags, its stream and what is in it; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// Reads to the end, and says with which error the connection was given up, if that was said.
    pub(crate) fn given_up(&mut self) -> Option<u32> {
        let mut error = None;
        while let Some((kind, _, _, payload)) = self.next() {
            if kind == 7 {
                error = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        error
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
