//! Tuples as a YAML document.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::{Location, Spanned};

use super::tuples::{Collector, Written, WrittenTuple};
use crate::access::Place;

/// Reads a list of tuples, alone or under `tuples`.
pub(super) fn read(text: &str, collector: &mut Collector) {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_aliases: 0,
            max_depth: 16,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Document<'_>>(text, options) {
        Ok(Document(tuples)) => tuples.iter().for_each(|tuple| entry(tuple, collector)),
        Err(error) => {
            let at = error.location().map(|location| place(&location)).unwrap_or_default();
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            collector.report.add(at, format!("this is not a list of tuples: {message}"), None);
        }
    }
}

fn entry(written: &Spanned<Fields<'_>>, collector: &mut Collector) {
    let at = place(&written.referenced);
    let mut tuple = WrittenTuple { place: at, user: None, relation: None, object: None };
    let mut is_whole = true;
    for (key, value) in &written.value.0 {
        let at = place(&key.referenced);
        let Some(value) = value else {
            is_whole = false;
            let (message, help) = match key.value.as_ref() {
                "condition" => ("conditions are not supported yet".to_owned(), None),
                other => (
                    format!("`{other}` is not a key that is known here"),
                    Some("a tuple has `user`, `relation` and `object`".to_owned()),
                ),
            };
            collector.report.add(at, message, help);
            continue;
        };
        let field = match key.value.as_ref() {
            "user" => &mut tuple.user,
            "relation" => &mut tuple.relation,
            _ => &mut tuple.object,
        };
        *field = Some(Written { text: &value.value, place: place(&value.referenced) });
    }
    if is_whole {
        collector.add(tuple);
    }
}

fn place(location: &Location) -> Place {
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// A list of tuples, alone or under `tuples`.
struct Document<'a>(Vec<Spanned<Fields<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wrapped<'a> {
            #[serde(borrow)]
            tuples: Vec<Spanned<Fields<'a>>>,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Vec<Spanned<Fields<'de>>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tuples, alone or under `tuples`")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut tuples = Vec::new();
                while let Some(tuple) = sequence.next_element()? {
                    tuples.push(tuple);
                }
                Ok(tuples)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Ok(Wrapped::deserialize(MapAccessDeserializer::new(map))?.tuples)
            }
        }

        Ok(Self(deserializer.deserialize_any(Either)?))
    }
}

type Text<'a> = Spanned<Cow<'a, str>>;

/// The keys of a tuple, and the values of those that are known.
struct Fields<'a>(Vec<(Text<'a>, Option<Text<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(Text<'de>, Option<Text<'de>>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tuple with `user`, `relation` and `object`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::with_capacity(3);
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let value = if matches!(key.value.as_ref(), "user" | "relation" | "object") {
                        Some(map.next_value()?)
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        None
                    };
                    fields.push((key, value));
                }
                Ok(fields)
            }
        }

        Ok(Self(deserializer.deserialize_map(Pairs)?))
    }
}
