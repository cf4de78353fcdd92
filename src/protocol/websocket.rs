//! The frames of WebSocket connections, as far as their borders (RFC 6455).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

/// What a server joins to a client's key (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What ends a connection (RFC 6455, section 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// An endpoint goes away.
    GoingAway,
    /// A frame that none may send.
    ProtocolError,
    /// It is not permitted.
    PolicyViolation,
}

impl CloseCode {
    const fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::PolicyViolation => 1008,
        }
    }

    /// The frame that tells a client.
    pub fn to_client(self) -> [u8; 4] {
        let [high, low] = self.number().to_be_bytes();
        [0x88, 0x02, high, low]
    }

    /// The frame that tells a server, masked by these bytes.
    pub fn to_server(self, mask: [u8; 4]) -> [u8; 8] {
        let [high, low] = self.number().to_be_bytes();
        let [first, second, third, fourth] = mask;
        [0x88, 0x82, first, second, third, fourth, high ^ first, low ^ second]
    }
}

/// Whether a client's key is the base64 of 16 bytes.
pub fn is_websocket_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// What a server has to answer to a client's key.
pub fn websocket_accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat()))
}

/// A frame that nobody may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadFrame {
    /// Clients mask what they send, servers do not (section 5.1).
    #[error("a frame is masked that must not be, or is not that must be")]
    Mask,
    /// An opcode that is reserved.
    #[error("a frame has an unknown opcode")]
    Opcode,
    /// A control frame in parts, or longer than 125 bytes; a length of more than 63 bits.
    #[error("a frame has a length that it must not have")]
    Length,
}

/// Who sends the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// Follows the bytes of one direction from frame to frame.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    sender: Sender,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a head: bytes so far, bytes in all, whether it is of a control frame, the length so far.
    Head { taken: u8, all: u8, is_control: bool, length: u64 },
    /// In a payload, with so many bytes left.
    Payload(u64),
}

const BETWEEN: State = State::Head { taken: 0, all: 2, is_control: false, length: 0 };

impl Frames {
    /// At the beginning of a connection.
    pub const fn of(sender: Sender) -> Self {
        Self { sender, state: BETWEEN }
    }

    /// Whether a frame has ended, and the next one has not begun.
    pub fn is_between(&self) -> bool {
        self.state == BETWEEN
    }

    /// Follows these bytes.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), BadFrame> {
        while !bytes.is_empty() {
            let taken = self.step(bytes)?;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// How many of these bytes there are to the end of the frame that has begun; none between two frames.
    pub fn to_end(mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        while !self.is_between()
            && let Some(rest) = bytes.get(count..).filter(|rest| !rest.is_empty())
            && let Ok(taken) = self.step(rest)
        {
            count += taken;
        }
        count
    }

    /// Takes a byte of a head, or what there is of a payload, and says how many bytes that was.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, BadFrame> {
        let Some(byte) = bytes.first().copied() else { return Ok(0) };
        match self.state {
            State::Payload(left) => {
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - u64::try_from(here).unwrap_or(left);
                self.state = if left == 0 { BETWEEN } else { State::Payload(left) };
                Ok(here)
            }
            State::Head { taken, all, is_control, length } => {
                self.state = self.next(byte, (taken, all, is_control, length))?;
                Ok(1)
            }
        }
    }

    fn next(&self, byte: u8, (taken, all, is_control, length): (u8, u8, bool, u64)) -> Result<State, BadFrame> {
        let mask = match self.sender {
            Sender::Client => 4,
            Sender::Server => 0,
        };
        let (all, is_control, length) = match taken {
            0 => match byte & 0x0f {
                0x0..=0x2 => (all, false, 0),
                // A control frame is whole.
                0x8..=0xa if byte & 0x80 != 0 => (all, true, 0),
                0x8..=0xa => return Err(BadFrame::Length),
                _ => return Err(BadFrame::Opcode),
            },
            1 if (byte & 0x80 != 0) != (self.sender == Sender::Client) => return Err(BadFrame::Mask),
            1 => match byte & 0x7f {
                126 | 127 if is_control => return Err(BadFrame::Length),
                126 => (4 + mask, is_control, 0),
                127 => (10 + mask, is_control, 0),
                length => (2 + mask, is_control, u64::from(length)),
            },
            2 if all == 10 + mask && byte & 0x80 != 0 => return Err(BadFrame::Length),
            // The last four are the mask, and between two and them is the length.
            _ if taken < all - mask => (all, is_control, length << 8 | u64::from(byte)),
            _ => (all, is_control, length),
        };
        Ok(match (taken + 1 == all, length) {
            (true, 0) => BETWEEN,
            (true, length) => State::Payload(length),
            (false, length) => State::Head { taken: taken + 1, all, is_control, length },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sender: Sender, first: u8, length: usize) -> Vec<u8> {
        let masked = if sender == Sender::Client { 0x80 } else { 0 };
        let mut frame = vec![first];
        match u16::try_from(length) {
            Ok(short @ 0..=125) => frame.push(masked | u8::try_from(short).unwrap()),
            Ok(middle) => {
                frame.push(masked | 126);
                frame.extend(middle.to_be_bytes());
            }
            Err(_) => {
                frame.push(masked | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        if masked > 0 {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![0x81; length]);
        frame
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        // RFC 6455, section 1.3.
        assert_eq!(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="] {
            assert!(!is_websocket_key(key), "{key}");
        }
    }

    #[test]
    fn borders_of_frames_are_found_in_pieces_of_every_size() {
        for sender in [Sender::Client, Sender::Server] {
            let frames: Vec<Vec<u8>> = [(0x81, 0), (0x02, 125), (0x80, 126), (0x89, 4), (0x82, 70_000), (0x88, 2)]
                .map(|(first, length)| frame(sender, first, length))
                .into();
            let all = frames.concat();
            let mut borders = Vec::new();
            frames.iter().fold(0, |end, frame| {
                borders.push(end + frame.len());
                end + frame.len()
            });
            for size in [1, 2, 3, 7, 1000, all.len()] {
                let (mut following, mut end) = (Frames::of(sender), 0);
                assert!(following.is_between());
                for piece in all.chunks(size) {
                    let next = borders.iter().find(|border| **border >= end).unwrap() - end;
                    let expected = if following.is_between() { 0 } else { next.min(all.len() - end) };
                    assert_eq!(following.to_end(&all[end..]), expected);
                    following.follow(piece).unwrap();
                    end += piece.len();
                    assert_eq!(following.is_between(), borders.contains(&end), "{size} {end}");
                }
            }
        }
    }

    #[test]
    fn frames_that_nobody_may_send_are_refused() {
        let said = |sender: Sender, bytes: &[u8]| Frames::of(sender).follow(bytes).err();
        assert_eq!(said(Sender::Client, &[0x81, 0x05]), Some(BadFrame::Mask));
        assert_eq!(said(Sender::Server, &[0x81, 0x85]), Some(BadFrame::Mask));
        assert_eq!(said(Sender::Server, &[0x83]), Some(BadFrame::Opcode));
        assert_eq!(said(Sender::Client, b"GET / HTTP/1.1\r\n"), Some(BadFrame::Opcode));
        assert_eq!(said(Sender::Server, &[0x09]), Some(BadFrame::Length));
        assert_eq!(said(Sender::Server, &[0x89, 126]), Some(BadFrame::Length));
        assert_eq!(said(Sender::Server, &[0x82, 127, 0x80]), Some(BadFrame::Length));
    }

    #[test]
    fn closing_frames_are_frames() {
        let mut frames = Frames::of(Sender::Server);
        frames.follow(&CloseCode::PolicyViolation.to_client()).unwrap();
        assert!(frames.is_between());
        let masked = CloseCode::GoingAway.to_server([1, 2, 3, 4]);
        let mut frames = Frames::of(Sender::Client);
        frames.follow(&masked).unwrap();
        assert!(frames.is_between());
        assert_eq!(u16::from_be_bytes([masked[6] ^ 1, masked[7] ^ 2]), 1001);
    }
}
