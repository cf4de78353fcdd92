//! Tuples as a YAML document.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{
    plain::{self, Rest},
    report::Report,
    tuple_condition::WrittenCondition,
    tuples::{Collector, Written, WrittenTuple},
    yaml_fault::YamlFault,
    yaml_tree::{Node, Value, find, node, place},
};
use crate::access::Place;

const KEYS: &str = "a tuple has `user`, `relation`, `object` and perhaps `condition`";

/// Reads a list of tuples, alone or under `tuples`, and returns whether there was nothing but white space.
pub(super) fn read(input: &mut dyn BufRead, collector: &mut Collector<'_, '_>) -> io::Result<bool> {
    let Some(Rest { is_inner, lines_before, held }) = plain::read(input, collector)? else { return Ok(false) };
    // The reader would take other encodings, by the marks of their byte orders.
    if str::from_utf8(&held).is_err_and(|error| error.error_len().is_some()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the text is not UTF-8"));
    }
    // The rest of a list is a list. Empty lines stand for those that were read, so that places are right.
    let before = io::repeat(b'\n').take(lines_before.into());
    let begin = if is_inner { "tuples:" } else { "" };
    let is_begun = is_inner || lines_before > 0;
    let mut watched = Watched { input: held.as_slice().chain(input), is_blank: !is_begun, error: None };
    whole(begin.as_bytes().chain(before).chain(&mut watched), collector);
    watched.error.map_or(Ok(watched.is_blank), Err)
}

/// A reader that remembers what was remarkable.
struct Watched<R> {
    input: R,
    /// All was white space.
    is_blank: bool,
    error: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer);
        match &read {
            Ok(length) => self.is_blank &= buffer.get(..*length).unwrap_or_default().trim_ascii().is_empty(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.error = Some(io::Error::new(error.kind(), error.to_string())),
        }
        read
    }
}

fn whole(input: impl Read, collector: &mut Collector<'_, '_>) {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_reader_input_bytes: None,
            max_aliases: 0,
            max_depth: 16,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    let read = serde_saphyr::with_deserializer_from_reader_with_options(input, options, |deserializer| {
        deserializer.deserialize_any(Tuples { collector: &mut *collector, is_inner: false })
    });
    if let Err(error) = read {
        let YamlFault { place, message, help } = YamlFault::of(&error);
        collector.report.add(place, format!("this is not a list of tuples: {message}"), help.map(str::to_owned));
    }
}

fn entry(written: &Spanned<Fields<'_>>, collector: &mut Collector<'_, '_>) {
    let at = place(&written.referenced);
    let mut tuple = WrittenTuple { place: at, user: None, relation: None, object: None, condition: None };
    let mut is_whole = true;
    let condition = written.value.0.iter().find_map(|(_, held)| match held {
        Held::Condition(node) => ConditionParts::read(node, &mut collector.report),
        Held::Text(_) | Held::Unknown => None,
    });
    for (key, held) in &written.value.0 {
        let at = place(&key.referenced);
        let value = match held {
            Held::Text(value) => value,
            Held::Condition(node) => {
                tuple.condition = condition.as_ref().map(|parts| parts.written(at));
                is_whole &= condition.is_some() || node.value == Value::Null;
                continue;
            }
            Held::Unknown => {
                is_whole = false;
                collector.report.add(
                    at,
                    format!("`{}` is not a key that is known here", key.value),
                    Some(KEYS.to_owned()),
                );
                continue;
            }
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

/// Reads a list of tuples within a document.
pub(super) fn read_list(list: &Node, collector: &mut Collector<'_, '_>) {
    for node in list.list("a list of tuples", &mut collector.report) {
        let before = collector.report.count();
        let entries = node.entries("a tuple", &["user", "relation", "object", "condition"], &mut collector.report);
        let mut field = |name: &str| {
            let node = find(entries, name)?;
            node.text(&format!("`{name}`"), &mut collector.report).map(|text| Written { text, place: node.place })
        };
        let (user, relation, object) = (field("user"), field("relation"), field("object"));
        let condition = entries.iter().find(|entry| entry.key == "condition");
        let parts = condition.and_then(|entry| ConditionParts::read(&entry.value, &mut collector.report));
        let condition = condition.zip(parts.as_ref()).map(|(entry, parts)| parts.written(entry.place));
        if collector.report.count() == before {
            collector.add(WrittenTuple { place: node.place, user, relation, object, condition });
        }
    }
}

/// What a condition of a tuple says.
struct ConditionParts {
    name: Option<(String, Place)>,
    context: Option<(String, Place)>,
}

impl ConditionParts {
    /// `None` if there is no condition, or after a problem.
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let before = report.count();
        let entries = match node.value {
            Value::Null => return None,
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                node.entries("a condition", &["name", "context"], report)
            }
        };
        let name = find(entries, "name").and_then(|node| Some((node.text("`name`", report)?.to_owned(), node.place)));
        let context = find(entries, "context").filter(|node| node.value != Value::Null);
        let context = context.map(|node| (node.to_json().to_string(), node.place));
        (report.count() == before).then_some(Self { name, context })
    }

    fn written(&self, place: Place) -> WrittenCondition<'_> {
        let [name, context] =
            [&self.name, &self.context].map(|part| part.as_ref().map(|(text, place)| Written { text, place: *place }));
        WrittenCondition { place, name, context }
    }
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
struct Fields<'a>(Vec<(Text<'a>, Held<'a>)>);

/// What a tuple has under a key.
enum Held<'a> {
    Text(Text<'a>),
    Condition(Node),
    Unknown,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(Text<'de>, Held<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tuple with `user`, `relation` and `object`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::with_capacity(3);
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let value = match key.value.as_ref() {
                        "user" | "relation" | "object" => Held::Text(map.next_value()?),
                        "condition" => Held::Condition(node(map.next_value::<Spanned<Value>>()?)),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            Held::Unknown
                        }
                    };
                    fields.push((key, value));
                }
                Ok(fields)
            }
        }

        Ok(Self(deserializer.deserialize_map(Pairs)?))
    }
}
