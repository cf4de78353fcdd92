//! Tuples as one JSON document, of which only a part is held at a time.

use std::io;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use serde_json::value::RawValue;

use super::{json::Entries, placed_json::malformed, tuples::Collector, window::Window};

/// Reads a list of tuples, alone or under `tuples`, and returns whether there was nothing at all.
pub(super) fn read(input: &mut dyn io::BufRead, collector: &mut Collector<'_, '_>) -> io::Result<bool> {
    let mut input = input;
    let mut document = Document { window: Window::new(&mut input)?, entries: Entries::new(collector) };
    let is_blank = document.window.next_byte()?.is_none();
    match document.read() {
        Ok(()) | Err(Stop::Malformed) => Ok(is_blank),
        Err(Stop::Unreadable(error)) => Err(error),
    }
}

/// Why there is nothing more to read.
enum Stop {
    /// Something is not JSON, and was reported.
    Malformed,
    Unreadable(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

struct Document<'i, 'c, 'm, 't> {
    window: Window<'i>,
    entries: Entries<'c, 'm, 't>,
}

impl Document<'_, '_, '_, '_> {
    fn read(&mut self) -> Result<(), Stop> {
        match self.window.next_byte()? {
            Some(b'[') => self.list()?,
            Some(b'{') => self.object()?,
            Some(_) | None => self.unexpected("an object is expected", Some("write `{…}`"))?,
        }
        match self.window.next_byte()? {
            None => Ok(()),
            Some(_) => Err(self.malformed("trailing characters")),
        }
    }

    /// A list of tuples, which begins here.
    fn list(&mut self) -> Result<(), Stop> {
        self.window.skip(1);
        if self.window.next_byte()? == Some(b']') {
            self.window.skip(1);
            return Ok(());
        }
        loop {
            self.entry()?;
            match self.window.next_byte()? {
                Some(b',') => self.window.skip(1),
                Some(b']') => {
                    self.window.skip(1);
                    return Ok(());
                }
                Some(_) => return Err(self.malformed("expected `,` or `]`")),
                None => return Err(self.malformed("EOF while parsing a list")),
            }
            if self.window.next_byte()? == Some(b']') {
                return Err(self.malformed("trailing comma"));
            }
        }
    }

    fn entry(&mut self) -> Result<(), Stop> {
        self.window.next_byte()?;
        let (text, place) = (self.window.text(), self.window.place());
        if let Some(rest) = self.entries.plain(text, place) {
            let length = text.len() - rest.len();
            self.window.skip(length);
            return Ok(());
        }
        let length = self.next_length()?;
        match serde_json::from_str(self.window.text().get(..length).unwrap_or_default()) {
            Ok(entry) => self.entries.close_look(entry, place),
            Err(error) => return Err(self.not_json(&error)),
        }
        self.window.skip(length);
        Ok(())
    }

    /// The members of the object that begins here.
    fn object(&mut self) -> Result<(), Stop> {
        let begin = self.window.place();
        let mut known = HashSet::<String, RandomState>::default();
        self.window.skip(1);
        if self.window.next_byte()? == Some(b'}') {
            self.window.skip(1);
            self.entries.collector.report.add(begin, "`tuples` is missing", None);
            return Ok(());
        }
        loop {
            self.member(&mut known)?;
            match self.window.next_byte()? {
                Some(b',') => self.window.skip(1),
                Some(b'}') => {
                    self.window.skip(1);
                    return Ok(());
                }
                Some(_) => return Err(self.malformed("expected `,` or `}`")),
                None => return Err(self.malformed("EOF while parsing an object")),
            }
        }
    }

    fn member(&mut self, known: &mut HashSet<String, RandomState>) -> Result<(), Stop> {
        match self.window.next_byte()? {
            Some(b'"') => {}
            Some(b'}') => return Err(self.malformed("trailing comma")),
            Some(_) => return Err(self.malformed("key must be a string")),
            None => return Err(self.malformed("EOF while parsing an object")),
        }
        let length = self.next_length()?;
        let key = serde_json::from_str::<String>(self.window.text().get(..length).unwrap_or_default());
        let key = key.map_err(|error| self.not_json(&error))?;
        self.window.skip(length);
        match self.window.next_byte()? {
            Some(b':') => self.window.skip(1),
            Some(_) => return Err(self.malformed("expected `:`")),
            None => return Err(self.malformed("EOF while parsing an object")),
        }
        let next = self.window.next_byte()?;
        let place = self.window.place();
        let report = &mut self.entries.collector.report;
        if known.contains(&key) {
            report.add(place, format!("`{key}` is there twice"), None);
        } else if key != "tuples" {
            let help = "a document has `tuples`".to_owned();
            report.add(place, format!("`{key}` is not a key that is known here"), Some(help));
        } else if next == Some(b'[') {
            known.insert(key);
            return self.list();
        } else {
            report.add(place, "a list of tuples is expected", None);
        }
        known.insert(key);
        let length = self.next_length()?;
        self.window.skip(length);
        Ok(())
    }

    /// Reports a value that does not belong here.
    fn unexpected(&mut self, message: &str, help: Option<&str>) -> Result<(), Stop> {
        let place = self.window.place();
        let length = self.next_length()?;
        self.window.skip(length);
        self.entries.collector.report.add(place, message, help.map(str::to_owned));
        Ok(())
    }

    /// How long the value is that comes next, of which all is held then.
    fn next_length(&mut self) -> Result<usize, Stop> {
        loop {
            let (text, is_ended) = (self.window.text(), self.window.is_ended());
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
            match values.next() {
                // A number may go on in what is not held yet.
                Some(Ok(_)) if is_ended || values.byte_offset() < text.len() => return Ok(values.byte_offset()),
                Some(Err(error)) if is_ended || !error.is_eof() => return Err(self.not_json(&error)),
                None if is_ended => return Err(self.malformed("EOF while parsing a value")),
                Some(_) | None => self.window.more()?,
            }
        }
    }

    fn not_json(&mut self, error: &serde_json::Error) -> Stop {
        malformed(&mut self.entries.collector.report, self.window.place(), error);
        Stop::Malformed
    }

    fn malformed(&mut self, message: &str) -> Stop {
        let place = self.window.place();
        self.entries.collector.report.add(place, format!("this is not JSON: {message}"), None);
        Stop::Malformed
    }
}
