//! JSON on one line, written straight into the buffer: there is a record for every request.

/// An object that is being written. Names are the program's own, and hold nothing that JSON escapes.
#[derive(Debug)]
pub(super) struct Object<'a> {
    line: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Writes the members that `members` names, in their order.
    pub(super) fn write(line: &'a mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        line.push(b'{');
        members(&mut Object { line: &mut *line, is_empty: true });
        line.push(b'}');
    }

    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.line.push(b',');
        }
        self.line.push(b'"');
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
        self.line
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        text(self.name(name), value);
    }

    /// Nothing, if there is no value.
    pub(super) fn text_if(&mut self, name: &'static str, value: Option<&str>) {
        value.into_iter().for_each(|value| self.text(name, value));
    }

    /// Nothing, if there is no value.
    pub(super) fn number_if(&mut self, name: &'static str, value: Option<u64>) {
        value.into_iter().for_each(|value| self.number(name, value));
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.name(name).extend_from_slice(buffer.format(value).as_bytes());
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.name(name), members);
    }

    /// An array of whatever `write` makes of each item.
    pub(super) fn array<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) {
        let line = self.name(name);
        line.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            write(line, item);
        }
        line.push(b']');
    }
}

/// A string. What JSON escapes is rare, and left to `serde_json`.
pub(super) fn text(line: &mut Vec<u8>, value: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    // Every byte is looked at, with no branch between them.
    if value.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
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
                object.text("text", value);
                object.number("number", u64::MAX);
                object.object("inner", |inner| inner.flag("flag", true));
                object.array("items", values, text);
            });
            assert!(!line.contains(&b'\n'));
            let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let inner = serde_json::json!({ "flag": true });
            let expected = serde_json::json!({ "text": value, "number": u64::MAX, "inner": inner, "items": values });
            assert_eq!(read, expected);
        }
    }
}
