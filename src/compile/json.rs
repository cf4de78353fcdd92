//! Tuples as JSON, one on each line or each by itself.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    placed_json::{Fields, Places, advance, malformed, text},
    tuple_condition::WrittenCondition,
    tuples::{Collector, Written, WrittenTuple},
};
use crate::{access::Place, policy::TupleText};

/// The longest line, in bytes: far longer than a tuple with the largest context can be.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Reads one tuple on each line, and returns whether all lines were blank. Blank lines are skipped.
pub(super) fn read_lines(input: &mut dyn BufRead, collector: &mut Collector<'_, '_>) -> io::Result<bool> {
    let mut line = Vec::new();
    let (mut is_blank, mut entries) = (true, Entries::new(collector));
    for number in 1.. {
        line.clear();
        (&mut *input).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        let place = Place { line: number, column: 1 };
        let text = match std::str::from_utf8(&line) {
            Ok("") => break,
            Ok(_) if line.len() as u64 == LONGEST_LINE => {
                let message = format!("the line is longer than {} KiB", LONGEST_LINE / 1024);
                entries.collector.report.add(place, message, None);
                break;
            }
            Ok(text) => text.trim_end_matches(['\n', '\r']),
            Err(_) => {
                entries.collector.report.add(place, "the line is not UTF-8", None);
                break;
            }
        };
        let text = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        if text.trim_ascii_start().is_empty() {
            continue;
        }
        is_blank = false;
        let place = advance(place, text.strip_suffix(text.trim_ascii_start()).unwrap_or_default());
        let is_read = entries.plain(text, place).is_some_and(|rest| rest.trim_ascii_start().is_empty());
        if !is_read {
            match serde_json::from_str::<&RawValue>(text) {
                Ok(entry) => entries.close_look(entry, place),
                Err(error) => malformed(&mut entries.collector.report, Place { line: number, column: 1 }, &error),
            }
        }
    }
    Ok(is_blank)
}

/// Takes tuples one by one.
pub(super) struct Entries<'c, 'm, 't> {
    pub(super) collector: &'c mut Collector<'m, 't>,
    // The last plain entry stood under `key`.
    is_keyed: bool,
}

/// A tuple with all its fields and nothing else. Serde refuses repeated fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    relation: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
}

/// A tuple as OpenFGA's API writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyed<'a> {
    #[serde(borrow)]
    key: Plain<'a>,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<IgnoredAny>,
}

impl<'c, 'm, 't> Entries<'c, 'm, 't> {
    pub(super) fn new(collector: &'c mut Collector<'m, 't>) -> Self {
        Self { collector, is_keyed: false }
    }

    /// Reads an entry that has nothing special, which is almost every one, and gives the text behind it. `None`, and
    /// nothing is read, if it must be looked at closely, or does not end in this text.
    pub(super) fn plain<'a>(&mut self, text: &'a str, place: Place) -> Option<&'a str> {
        // Serde reads a list for a struct as well.
        if !text.trim_ascii_start().starts_with('{') {
            return None;
        }
        let plain = || first::<Plain<'a>>(text).map(|(plain, rest)| (plain, false, rest));
        let keyed = || first::<Keyed<'a>>(text).map(|(keyed, rest)| (keyed.key, true, rest));
        let read = if self.is_keyed { keyed().or_else(plain) } else { plain().or_else(keyed) };
        let (Plain { user, relation, object }, is_keyed, rest) = read?;
        // What stands under `key` may be such a list too.
        if is_keyed && text.strip_suffix(rest).is_some_and(|entry| entry.contains('[')) {
            return None;
        }
        self.is_keyed = is_keyed;
        let tuple = TupleText { user: &user, relation: &relation, object: &object };
        self.collector.add_text(tuple, None, place).is_ok().then_some(rest)
    }

    /// Reads any entry, which stands in this place, and reports what is wrong with it.
    pub(super) fn close_look(&mut self, entry: &RawValue, place: Place) {
        let places = Places::new(entry.get(), place);
        Reader { places, collector: &mut *self.collector }.close_look(entry);
    }
}

/// A value at the beginning of a text, and the text behind it.
fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, &'a str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

/// Looks at an entry closely.
struct Reader<'a, 'c, 'm, 't> {
    places: Places<'a>,
    collector: &'c mut Collector<'m, 't>,
}

impl<'a> Reader<'a, '_, '_, '_> {
    fn close_look(&mut self, entry: &'a RawValue) {
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
