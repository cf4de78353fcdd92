//! Tuples as a YAML document.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{
    plain,
    tuples::{Collector, Written, WrittenTuple},
};
use crate::access::Place;

/// Reads a list of tuples, alone or under `tuples`.
pub(super) fn read(text: &str, collector: &mut Collector<'_, '_>) {
    if plain::read(text, collector) {
        return;
    }
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
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        deserializer.deserialize_any(Tuples { collector: &mut *collector, is_inner: false })
    });
    if let Err(error) = read {
        let at = error.location().map(|location| place(&location)).unwrap_or_default();
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        collector.report.add(at, format!("this is not a list of tuples: {message}"), None);
    }
}

fn entry(written: &Spanned<Fields<'_>>, collector: &mut Collector<'_, '_>) {
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

/// A list of tuples, alone or under `tuples`, handed on one by one.
struct Tuples<'c, 'm, 't> {
    collector: &'c mut Collector<'m, 't>,
    // It is what stands under `tuples`.
    is_inner: bool,
}

impl<'de> DeserializeSeed<'de> for Tuples<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tuples<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_inner { "a list of tuples" } else { "a list of tuples, alone or under `tuples`" })
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(tuple) = sequence.next_element::<Spanned<Fields<'de>>>()? {
            entry(&tuple, self.collector);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_there = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != "tuples" || is_there {
                return Err(A::Error::custom(format!("`{key}` does not belong here, a document has `tuples`")));
            }
            is_there = true;
            map.next_value_seed(Tuples { collector: &mut *self.collector, is_inner: true })?;
        }
        if is_there { Ok(()) } else { Err(A::Error::missing_field("tuples")) }
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
