//! A YAML document as a tree in which every value knows its place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{report::Report, yaml_fault::YamlFault};
use crate::{access::Place, policy::did_you_mean};

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

/// Reads a document, or reports what is wrong with it.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_depth: 64,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options) {
        Ok(spanned) => Some(node(spanned)),
        Err(error) => {
            let YamlFault { place, message, help } = YamlFault::of(&error);
            report.add(place, format!("this is not YAML: {message}"), help.map(str::to_owned));
            None
        }
    }
}

/// The place of a location of the YAML reader.
pub(super) fn place(location: &Location) -> Place {
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// A value that was read with its place.
pub(super) fn node(spanned: Spanned<Value>) -> Node {
    Node { place: place(&spanned.referenced), value: spanned.value }
}

impl Node {
    /// The entries of a map with these keys. Other keys are reported, with the nearest that is known.
    pub(super) fn entries(&self, what: &str, known: &[&str], report: &mut Report) -> &[Entry] {
        let entries = match &self.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                report.add(self.place, format!("{what} has {}", keys(known)), None);
                &[]
            }
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let help = did_you_mean(&entry.key, known.iter().copied());
            let help = help.unwrap_or_else(|| format!("{what} has {}", keys(known)));
            report.add(entry.place, format!("`{}` is not a key that is known here", entry.key), Some(help));
        }
        entries
    }

    /// The entries of a map with any keys.
    pub(super) fn map(&self, what: &str, report: &mut Report) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                report.add(self.place, format!("{what} is expected"), None);
                &[]
            }
        }
    }

    /// The elements of a list.
    pub(super) fn list(&self, what: &str, report: &mut Report) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                report.add(self.place, format!("{what} is expected"), None);
                &[]
            }
        }
    }

    /// A text.
    pub(super) fn text(&self, what: &str, report: &mut Report) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                report.add(self.place, format!("{what} is expected, as text"), None);
                None
            }
        }
    }

    /// The same as JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => text.as_str().into(),
            Value::List(elements) => elements.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// The value of a key.
pub(super) fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn keys(known: &[&str]) -> String {
    known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                // JSON has no infinity and no NaN.
                Ok(serde_json::Number::from_f64(value).map_or_else(|| Value::Text(value.to_string()), Value::Number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(Value::Text(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = sequence.next_element::<Spanned<Value>>()? {
                    elements.push(node(element));
                }
                Ok(Value::List(elements))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    let value = node(map.next_value::<Spanned<Value>>()?);
                    entries.push(Entry { place: place(&key.referenced), key: key.value, value });
                }
                Ok(Value::Map(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
