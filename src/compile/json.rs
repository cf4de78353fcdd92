//! Tuples as JSON documents and as JSON lines.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    placed_json::{Fields, Places, malformed, text},
    tuple_condition::WrittenCondition,
    tuples::{Collector, Written, WrittenTuple},
};
use crate::access::Place;

/// Reads a list of tuples, alone or under `tuples`.
pub(super) fn read(text: &str, collector: &mut Collector) {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(document) => Reader { places: Places::new(text, 1), collector }.document(document),
        Err(error) => malformed(&mut collector.report, Place::default(), &error),
    }
}

/// Reads one tuple on each line. Blank lines are skipped.
pub(super) fn read_lines(text: &str, collector: &mut Collector) {
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<&RawValue>(line) {
            Ok(entry) => Reader { places: Places::new(line, number), collector }.entry(entry),
            Err(error) => malformed(&mut collector.report, Place { line: number, column: 1 }, &error),
        }
    }
}

struct Reader<'a, 'c> {
    places: Places<'a>,
    collector: &'c mut Collector,
}

impl<'a> Reader<'a, '_> {
    fn document(&mut self, document: &'a RawValue) {
        if document.get().starts_with('[') {
            return self.list(document);
        }
        let place = self.places.of(document.get());
        let Some(fields) = self.fields(document, place) else { return };
        if fields.is_empty() {
            self.collector.report.add(place, "`tuples` is missing", None);
        }
        for (key, value) in fields {
            let place = self.places.of(value.get());
            if key == "tuples" {
                self.list(value);
            } else {
                self.unknown(place, &key, "a document has `tuples`");
            }
        }
    }

    fn list(&mut self, list: &'a RawValue) {
        let place = self.places.of(list.get());
        match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
            Ok(entries) => entries.into_iter().for_each(|entry| self.entry(entry)),
            Err(_) => self.collector.report.add(place, "a list of tuples is expected", None),
        }
    }

    fn entry(&mut self, entry: &'a RawValue) {
        let place = self.places.of(entry.get());
        let Some(fields) = self.fields(entry, place) else { return };
        match fields.iter().find(|(key, _)| key == "key") {
            Some((_, key)) => {
                for (name, value) in &fields {
                    // OpenFGA's API writes the time of a tuple beside its key.
                    if !matches!(name.as_ref(), "key" | "timestamp") {
                        let place = self.places.of(value.get());
                        self.unknown(place, name, "beside `key` stands `timestamp` or nothing");
                    }
                }
                let inner = self.places.of(key.get());
                if let Some(fields) = self.fields(key, inner) {
                    self.tuple(place, &fields);
                }
            }
            None => self.tuple(place, &fields),
        }
    }

    fn tuple(&mut self, place: Place, fields: &[(Cow<'a, str>, &'a RawValue)]) {
        let texts: Vec<Cow<'a, str>> = fields.iter().map(|(_, value)| text(value).unwrap_or_default()).collect();
        let mut tuple = WrittenTuple { place, user: None, relation: None, object: None, condition: None };
        let condition = fields.iter().find(|(key, value)| key == "condition" && value.get() != "null");
        let parts = condition.and_then(|(_, written)| self.condition(written));
        let mut is_whole = true;
        for ((key, value), written) in fields.iter().zip(&texts) {
            let place = self.places.of(value.get());
            let field = match key.as_ref() {
                "user" => &mut tuple.user,
                "relation" => &mut tuple.relation,
                "object" => &mut tuple.object,
                "condition" if value.get() == "null" => continue,
                "condition" => {
                    tuple.condition = parts.as_ref().map(|parts| parts.written(place));
                    is_whole &= parts.is_some();
                    continue;
                }
                _ => {
                    is_whole = false;
                    self.unknown(place, key, "a tuple has `user`, `relation`, `object` and perhaps `condition`");
                    continue;
                }
            };
            *field = Some(Written { text: written, place });
            if text(value).is_none() {
                is_whole = false;
                self.collector.report.add(place, format!("`{key}` is not a text"), None);
            }
        }
        if is_whole {
            self.collector.add(tuple);
        }
    }

    /// The name and the context of a condition; `None` after a problem.
    fn condition(&mut self, written: &'a RawValue) -> Option<ConditionParts<'a>> {
        let place = self.places.of(written.get());
        let fields = self.fields(written, place)?;
        let mut parts = ConditionParts { name: None, context: None };
        for (key, value) in fields {
            let place = self.places.of(value.get());
            match (key.as_ref(), text(value)) {
                ("name", Some(name)) => parts.name = Some((name, place)),
                ("name", None) => {
                    self.collector.report.add(place, "`name` is not a text", None);
                    return None;
                }
                ("context", _) if value.get() == "null" => {}
                ("context", _) => parts.context = Some((value.get(), place)),
                _ => {
                    self.unknown(place, &key, "a condition has `name` and perhaps `context`");
                    return None;
                }
            }
        }
        Some(parts)
    }

    fn fields(&mut self, object: &'a RawValue, place: Place) -> Option<Vec<(Cow<'a, str>, &'a RawValue)>> {
        let Ok(Fields(fields)) = serde_json::from_str::<Fields<'a>>(object.get()) else {
            self.collector.report.add(place, "an object is expected", Some("write `{…}`".to_owned()));
            return None;
        };
        for (number, (key, value)) in fields.iter().enumerate() {
            if fields.iter().take(number).any(|(other, _)| other == key) {
                let place = self.places.of(value.get());
                self.collector.report.add(place, format!("`{key}` is there twice"), None);
                return None;
            }
        }
        Some(fields)
    }

    fn unknown(&mut self, place: Place, key: &str, help: &str) {
        self.collector.report.add(place, format!("`{key}` is not a key that is known here"), Some(help.to_owned()));
    }
}

struct ConditionParts<'a> {
    name: Option<(Cow<'a, str>, Place)>,
    context: Option<(&'a str, Place)>,
}

impl ConditionParts<'_> {
    fn written(&self, place: Place) -> WrittenCondition<'_> {
        WrittenCondition {
            place,
            name: self.name.as_ref().map(|(name, place)| Written { text: name, place: *place }),
            context: self.context.map(|(text, place)| Written { text, place }),
        }
    }
}
