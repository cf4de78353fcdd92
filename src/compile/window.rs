//! The part of a text that is being read, with its place.

use std::io::{self, Read};

use super::placed_json::advance;
use crate::access::Place;

/// So many bytes are read at once.
const STEP: usize = 256 * 1024;

/// A text that is held only from what is being read on, as far as it is needed.
pub(super) struct Window<'i> {
    input: &'i mut dyn Read,
    text: String,
    // INVARIANT: on a boundary of a character.
    start: usize,
    place: Place,
    // The beginning of a character whose end is not read yet.
    partial: Vec<u8>,
    is_ended: bool,
}

impl<'i> Window<'i> {
    /// The beginning of a text, without the mark of its byte order.
    pub(super) fn new(input: &'i mut dyn Read) -> io::Result<Self> {
        let place = Place { line: 1, column: 1 };
        let mut window = Self { input, text: String::new(), start: 0, place, partial: Vec::new(), is_ended: false };
        window.more()?;
        if window.text.starts_with('\u{feff}') {
            window.start = '\u{feff}'.len_utf8();
        }
        Ok(window)
    }

    /// What follows, as far as it is held.
    pub(super) fn text(&self) -> &str {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// Where that begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Whether nothing comes after what is held.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Goes on by so many bytes.
    pub(super) fn skip(&mut self, length: usize) {
        self.place = advance(self.place, self.text().get(..length).unwrap_or_default());
        self.start += length;
    }

    /// Skips what JSON takes for white space, and gives the byte behind it. `None` at the end.
    pub(super) fn next_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            let text = self.text();
            let length = text.len() - text.trim_start_matches([' ', '\n', '\r', '\t']).len();
            if length > 0 {
                self.skip(length);
            }
            match self.text().bytes().next() {
                None if !self.is_ended => self.more()?,
                next => return Ok(next),
            }
        }
    }

    /// Holds more of the text: twice as much, so that what is long is not read again too often.
    pub(super) fn more(&mut self) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.drain(..self.start);
        self.start = 0;
        bytes.append(&mut self.partial);
        let step = STEP.max(bytes.len());
        bytes.reserve_exact(step);
        let read = (&mut *self.input).take(u64::try_from(step).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        self.is_ended = read < step;
        self.text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let problem = error.utf8_error();
                let mut bytes = error.into_bytes();
                if problem.error_len().is_some() || self.is_ended {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the text is not UTF-8"));
                }
                self.partial = bytes.split_off(problem.valid_up_to());
                String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_however_much_of_it_is_held() {
        let text: String =
            (0..100_000).map(|n| if n % 70 == 0 { "é\n".to_owned() } else { format!("é{n}  ") }).collect();
        let mut input = text.as_bytes();
        let mut window = Window::new(&mut input).unwrap();
        let mut offset = 0;
        while offset < text.len() {
            while window.text().len() < 9.min(text.len() - offset) {
                window.more().unwrap();
            }
            assert_eq!(window.text().get(..2), text.get(offset..offset + 2));
            if offset % 1000 < 9 {
                assert_eq!(window.place(), Place::of_offset(&text, offset));
            }
            let length = text.get(offset..).unwrap().chars().take(7).map(char::len_utf8).sum();
            window.skip(length);
            offset += length;
        }
        assert!(window.next_byte().unwrap().is_none() && window.is_ended());
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        for bytes in [&b"ab\xff"[..], b"\xc3", b"\xc3a"] {
            assert!(Window::new(&mut &*bytes).is_err());
        }
        assert_eq!(Window::new(&mut "\u{feff}é".as_bytes()).unwrap().text(), "é");
    }
}
