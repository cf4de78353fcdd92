//! Tuples in the one form of YAML that almost every long list of them has.

use std::{
    io::{self, BufRead, Read},
    ops::Range,
};

use super::tuples::{Collector, Written, WrittenTuple};
use crate::access::Place;

/// Texts that YAML takes for something else than a text, in lower case.
const NOT_TEXTS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"];

/// A line with more bytes than this is not plain.
const LONGEST_LINE: u64 = 64 * 1024;

/// The part of a document that is not plain, from the entry on in which that shows.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Whether the list stands under `tuples`.
    pub(super) is_inner: bool,
    /// How many lines come before.
    pub(super) lines_before: u32,
    /// What was read of it already, whole lines if they are not too long.
    pub(super) held: Vec<u8>,
}

/// Reads a list whose entries have three lines, each a key and a text without quotes, as far as there is nothing else.
/// Returns what remains, if anything does.
pub(super) fn read(input: &mut dyn BufRead, collector: &mut Collector<'_, '_>) -> io::Result<Option<Rest>> {
    let mut rest = Rest::default();
    let mut entry: Option<Entry> = None;
    let mut indent = None;
    for number in 1.. {
        let mut start = rest.held.len();
        let length = (&mut *input).take(LONGEST_LINE).read_until(b'\n', &mut rest.held)?;
        if number == 1 && rest.held.starts_with("\u{feff}".as_bytes()) {
            rest.held.drain(.."\u{feff}".len());
        }
        if length == 0 {
            let Some(entry) = entry else { return Ok(Some(rest)) };
            entry.tell(&rest.held, collector);
            return Ok(None);
        }
        let line = rest.held.get(start..).unwrap_or_default();
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            continue;
        }
        if number == 1 && line == b"tuples:" {
            rest = Rest { is_inner: true, lines_before: 1, held: Vec::new() };
            continue;
        }
        let Some(Line { depth, begins, key, value }) = Line::read(line) else { return Ok(Some(rest)) };
        if *indent.get_or_insert(depth) != depth {
            return Ok(Some(rest));
        }
        let place = |column: usize| Place { line: number, column: u32::try_from(column + 1).unwrap_or(u32::MAX) };
        if begins {
            if let Some(entry) = entry.take() {
                entry.tell(&rest.held, collector);
            }
            rest.held.drain(..start);
            (start, rest.lines_before) = (0, number - 1);
            entry = Some(Entry { place: place(depth), fields: [const { None }; 3] });
        }
        let field = entry.as_mut().and_then(|entry| entry.fields.get_mut(key)).filter(|field| field.is_none());
        let Some(field) = field else { return Ok(Some(rest)) };
        *field = Some((start + value.start..start + value.end, place(value.start)));
    }
    Ok(Some(rest))
}

const KEYS: [&[u8]; 3] = [b"user: ", b"relation: ", b"object: "];

/// An entry's place, and where its fields are among what is held.
struct Entry {
    place: Place,
    fields: [Option<(Range<usize>, Place)>; 3],
}

impl Entry {
    fn tell(&self, held: &[u8], collector: &mut Collector<'_, '_>) {
        let [user, relation, object] = self.fields.each_ref().map(|field| {
            let (range, place) = field.as_ref()?;
            let text = std::str::from_utf8(held.get(range.clone())?).ok()?;
            Some(Written { text, place: *place })
        });
        collector.add(WrittenTuple { place: self.place, user, relation, object, condition: None });
    }
}

/// A line with a key that is known and a value that is surely a text.
struct Line {
    /// How many bytes come before the key.
    depth: usize,
    begins: bool,
    /// Of `KEYS`.
    key: usize,
    value: Range<usize>,
}

impl Line {
    fn read(line: &[u8]) -> Option<Self> {
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let body = line.get(indent..)?;
        let begins = body.starts_with(b"- ");
        let depth = if begins { indent + 2 } else { indent };
        let body = line.get(depth..)?;
        let key = KEYS.iter().position(|key| body.starts_with(key))?;
        let start = depth + KEYS.get(key)?.len();
        is_text(line.get(start..)?).then_some(Self { depth, begins, key, value: start..line.len() })
    }
}

fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| is_plain(*byte))
        && value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.last() != Some(&b':')
        && !(value.len() <= 5 && NOT_TEXTS.iter().any(|other| value.eq_ignore_ascii_case(other.as_bytes())))
}

/// Whether a byte has no meaning to YAML within a text.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b':' | b'#' | b'*' | b'_' | b'-' | b'.' | b'/' | b'@' | b'|' | b'+' | b',' | b'=')
}
