//! The parts of a JSON text, each with its place.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::report::Report;
use crate::access::Place;

/// Between two known places lie at most so many bytes.
const STRIDE: usize = 4096;

/// Finds the line and the column of a part of a text. Fastest when parts are asked for in their order.
pub(super) struct Places<'a> {
    text: &'a str,
    known_offset: usize,
    known: Place,
    first: Place,
    // Known places, one for each stride. Made only when parts are asked for in another order.
    strides: Vec<(usize, Place)>,
}

impl<'a> Places<'a> {
    /// Of a text that begins at this place.
    pub(super) fn new(text: &'a str, first: Place) -> Self {
        Self { text, known_offset: 0, known: first, first, strides: Vec::new() }
    }

    pub(super) fn of(&mut self, part: &str) -> Place {
        // Raw values are slices of the text, so their distance from its beginning is their place.
        let offset = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        if offset < self.known_offset {
            (self.known_offset, self.known) = self.stride_before(offset);
        }
        self.known = advance(self.known, self.text.get(self.known_offset..offset).unwrap_or_default());
        self.known_offset = offset;
        self.known
    }

    fn stride_before(&mut self, offset: usize) -> (usize, Place) {
        let mut last = self.strides.last().copied().unwrap_or((0, self.first));
        if self.strides.is_empty() {
            self.strides.push(last);
        }
        while last.0 + STRIDE <= offset {
            let end = (last.0 + STRIDE..).find(|end| self.text.is_char_boundary(*end)).unwrap_or(self.text.len());
            last = (end, advance(last.1, self.text.get(last.0..end).unwrap_or_default()));
            self.strides.push(last);
        }
        let number = self.strides.partition_point(|(start, _)| *start <= offset);
        self.strides.get(number.saturating_sub(1)).copied().unwrap_or(last)
    }
}

/// The place behind a text that begins at a place.
pub(super) fn advance(mut place: Place, between: &str) -> Place {
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    match between.rsplit_once('\n') {
        Some((lines, last)) => {
            let newlines = lines.bytes().filter(|byte| *byte == b'\n').count();
            place.line = place.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX)).saturating_add(1);
            place.column = count(last).saturating_add(1);
        }
        None => place.column = place.column.saturating_add(count(between)),
    }
    place
}

/// The keys and values of an object, in the order they are written, repeated keys among them.
pub(super) struct Fields<'a>(pub(super) Vec<Field<'a>>);

/// A key and its value.
pub(super) type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// The text of a value that is one.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// Reports that a text which begins at `start` is not JSON.
pub(super) fn malformed(report: &mut Report, start: Place, error: &serde_json::Error) {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let line = number(error.line()).saturating_add(start.line.saturating_sub(1));
    let before = if error.line() <= 1 { start.column.saturating_sub(1) } else { 0 };
    let place = Place { line, column: number(error.column()).saturating_add(before).max(1) };
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    report.add(place, format!("this is not JSON: {message}"), None);
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<Field<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key.0, value));
                }
                Ok(fields)
            }
        }

        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        Ok(Self(deserializer.deserialize_map(Pairs)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_any_order() {
        let text: String = (0..2000).map(|n| if n % 7 == 0 { "é\n".to_owned() } else { format!("{n} ") }).collect();
        let offsets: Vec<usize> = (0..text.len()).filter(|offset| text.is_char_boundary(*offset)).collect();
        let mut places = Places::new(&text, Place { line: 1, column: 1 });
        for number in 0..offsets.len() {
            let offset = offsets[(number * 7919) % offsets.len()];
            assert_eq!(places.of(text.get(offset..).unwrap()), Place::of_offset(&text, offset), "{offset}");
        }
    }
}
