//! JSON on one line, written straight into the buffer: there is a record for every request.

use std::{
    cell::Cell,
    fmt::Write,
    time::{Duration, SystemTime},
};

use crate::access::ByteClasses;

/// The name of a member, as JSON has it. Made by [`name!`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Name(pub(super) &'static str);

/// A member's name with its quotes and its colon, made while compiling: it is copied in one piece. Names hold nothing
/// that JSON escapes.
macro_rules! name {
    ($name:literal) => {
        $crate::audit::line::Name(concat!("\"", $name, "\":"))
    };
}
pub(super) use name;

/// An object that is being written. Every member is followed by a comma; the object's end takes the place of the last.
#[derive(Debug)]
pub(super) struct Object<'a> {
    line: &'a mut Vec<u8>,
}

impl Object<'_> {
    /// Writes the members that `members` names, in their order.
    pub(super) fn write(line: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        line.push(b'{');
        members(&mut Object { line: &mut *line });
        end(line, b'}');
    }

    /// A member whose value `write` writes.
    #[inline]
    pub(super) fn member(&mut self, name: Name, write: impl FnOnce(&mut Vec<u8>)) {
        self.line.extend_from_slice(name.0.as_bytes());
        write(self.line);
        self.line.push(b',');
    }

    #[inline]
    pub(super) fn text(&mut self, name: Name, value: &str) {
        self.member(name, |line| text(line, value));
    }

    /// Nothing, if there is no value.
    #[inline]
    pub(super) fn text_if(&mut self, name: Name, value: Option<&str>) {
        value.into_iter().for_each(|value| self.text(name, value));
    }

    /// A text that by its kind holds nothing that JSON escapes.
    #[inline]
    pub(super) fn plain(&mut self, name: Name, value: impl AsRef<[u8]>) {
        self.member(name, |line| {
            line.push(b'"');
            line.extend_from_slice(value.as_ref());
            line.push(b'"');
        });
    }

    /// Nothing, if there is no value.
    #[inline]
    pub(super) fn number_if(&mut self, name: Name, value: Option<u64>) {
        value.into_iter().for_each(|value| self.number(name, value));
    }

    #[inline]
    pub(super) fn number(&mut self, name: Name, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.member(name, |line| line.extend_from_slice(buffer.format(value).as_bytes()));
    }

    #[inline]
    pub(super) fn flag(&mut self, name: Name, value: bool) {
        self.member(name, |line| line.extend_from_slice(if value { b"true" } else { b"false" }));
    }

    #[inline]
    pub(super) fn object(&mut self, name: Name, members: impl FnOnce(&mut Object<'_>)) {
        self.member(name, |line| Object::write(line, members));
    }

    /// An array of whatever `write` makes of each item.
    pub(super) fn array<T>(
        &mut self,
        name: Name,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) {
        self.member(name, |line| {
            line.push(b'[');
            for item in items {
                write(line, item);
                line.push(b',');
            }
            end(line, b']');
        });
    }
}

/// Ends an object or an array, after its last comma or its beginning.
fn end(line: &mut Vec<u8>, bracket: u8) {
    match line.last_mut() {
        Some(last) if *last == b',' => *last = bracket,
        Some(_) | None => line.push(bracket),
    }
}

/// A time (RFC 3339, UTC, microseconds). A clock before 1970 is wrong; its records are kept all the same.
pub(super) fn time(line: &mut Vec<u8>, time: SystemTime) {
    thread_local! {
        // The last second that was written, and how: many records are of one.
        static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
    }
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = SECOND.get();
    if second != since.as_secs() {
        let whole = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs()));
        let mut written = String::with_capacity(text.len());
        // After the year 9999 there is no such text: the record is kept all the same.
        let _ = write!(written, "{}", humantime::format_rfc3339_seconds(whole.unwrap_or(SystemTime::UNIX_EPOCH)));
        second = since.as_secs();
        text = written.as_bytes().try_into().unwrap_or(*b"0000-00-00T00:00:00Z");
        SECOND.set((second, text));
    }
    line.push(b'"');
    line.extend_from_slice(text.split_last().map_or(&[], |(_zone, text)| text));
    line.push(b'.');
    let mut rest = since.subsec_micros();
    for unit in [100_000, 10_000, 1_000, 100, 10, 1] {
        // A digit, below 10.
        line.push(b'0' + u8::try_from(rest / unit).unwrap_or_default());
        rest %= unit;
    }
    line.extend_from_slice(b"Z\"");
}

/// What JSON escapes in a string (RFC 8259, section 7).
static ESCAPED: ByteClasses = ByteClasses::of(&[(CONTROLS, 1), (b"\"\\", 1)], 0);
const CONTROLS: &[u8] = b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
    \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";

/// A string. What JSON escapes is rare, and left to `serde_json`.
pub(super) fn text(line: &mut Vec<u8>, value: &str) {
    if ESCAPED.all(value.as_bytes()) == 0 {
        line.push(b'"');
        line.extend_from_slice(value.as_bytes());
        line.push(b'"');
    } else if serde_json::to_writer(&mut *line, value).is_err() {
        // Text is always written into memory; if it were not, the line would still be JSON.
        line.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let values = ["", "plain", "é\u{2028}\u{7f}", "quo\"te", "back\\slash", "line\nbreak\u{0}\u{1f}"];
        for value in values {
            let mut line = Vec::new();
            Object::write(&mut line, |object| {
                object.text(name!("text"), value);
                object.plain(name!("plain"), "GET");
                object.number(name!("number"), u64::MAX);
                object.object(name!("inner"), |inner| inner.flag(name!("flag"), true));
                object.object(name!("empty"), |_| ());
                object.array(name!("nothing"), [""; 0], text);
                object.array(name!("items"), values, text);
            });
            assert!(!line.contains(&b'\n'));
            let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let inner = serde_json::json!({ "flag": true });
            let expected = serde_json::json!({
                "text": value, "plain": "GET", "number": u64::MAX, "inner": inner, "empty": {}, "nothing": [], "items": values
            });
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_time_is_written_to_the_microsecond() {
        let written = |since: Duration| {
            let mut line = Vec::new();
            time(&mut line, SystemTime::UNIX_EPOCH + since);
            String::from_utf8(line).unwrap()
        };
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000, 1_999, "2023-11-14T22:13:20.000001Z"),
            (1_700_000_000, 999_999_999, "2023-11-14T22:13:20.999999Z"),
            (1_700_000_001, 120_000_000, "2023-11-14T22:13:21.120000Z"),
            (1_700_000_000, 0, "2023-11-14T22:13:20.000000Z"),
            (300_000_000_000, 0, "0000-00-00T00:00:00.000000Z"),
        ] {
            assert_eq!(written(Duration::new(seconds, nanoseconds)), format!("\"{expected}\""));
        }
    }
}
