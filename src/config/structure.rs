//! The schema of the configuration, and every place where a file does not follow it.

use std::fmt;

use jsonschema::{ValidationError, error::ValidationErrorKind, paths::LocationSegment};
use schemars::schema_for;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::{access::Place, policy::did_you_mean};

use super::{file::File, located::Located, mistakes, problems::Problems};

/// The JSON Schema of the configuration (draft 2020-12).
pub fn schema() -> Value {
    schema_for!(File).to_value()
}

/// A YAML document with the place of each key and value.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Scalar(Value),
    Sequence(Vec<Located<Node>>),
    Mapping(Vec<(Located<String>, Located<Node>)>),
}

/// Reports every place where the document does not follow the schema.
pub(super) fn check(document: &Located<Node>, problems: &mut Problems) {
    let value = document.value.to_value();
    let validator = match jsonschema::validator_for(&schema()) {
        Ok(validator) => validator,
        Err(error) => {
            problems.add(Place::default(), format!("the schema of the configuration is broken: {error}"));
            return;
        }
    };
    for error in validator.iter_errors(&value) {
        report(document, &error, problems);
    }
}

fn report(document: &Located<Node>, error: &ValidationError<'_>, problems: &mut Problems) {
    let path: Vec<LocationSegment<'_>> = error.instance_path().iter().collect();
    let (place, node) = document.at(&path);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for key in unexpected {
                let place = node.and_then(|node| node.key_place(key)).unwrap_or(place);
                let known = known_keys(error);
                let message = format!("unknown key `{key}`");
                match did_you_mean(key, known.iter().map(String::as_str)) {
                    Some(advice) => problems.add_with_help(place, message, advice),
                    None => problems.add_with_help(place, message, format!("known here: {}", known.join(", "))),
                }
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            problems.add(place, format!("the key `{name}` is missing here"));
        }
        ValidationErrorKind::AnyOf { context } if meant(context, error).is_some() => {
            meant(context, error).into_iter().flatten().for_each(|error| report(document, error, problems));
        }
        ValidationErrorKind::Type { .. } if path.is_empty() && matches!(node, Some(Node::Scalar(Value::Null))) => {
            let help = "it has at least `listen` and `policy`; `portcullis schema` prints all there is";
            problems.add_with_help(place, "the configuration is empty", help);
        }
        _ => match mistakes::said(error) {
            (message, Some(help)) => problems.add_with_help(place, message, help),
            (message, None) => problems.add(place, message),
        },
    }
}

/// What is wrong by the one alternative that was meant: an optional section is a mapping or nothing, and a mapping is
/// meant as a section.
fn meant<'e>(
    alternatives: &'e [Vec<ValidationError<'static>>],
    error: &ValidationError<'_>,
) -> Option<&'e [ValidationError<'static>]> {
    let is_other_type = |wrong: &ValidationError<'_>| {
        matches!(wrong.kind(), ValidationErrorKind::Type { .. }) && wrong.instance_path() == error.instance_path()
    };
    let mut possible = alternatives.iter().filter(|wrong| !wrong.iter().any(is_other_type));
    possible.next().filter(|_| possible.next().is_none()).map(Vec::as_slice)
}

/// The keys that the schema allows where the error is.
fn known_keys(error: &ValidationError<'_>) -> Vec<String> {
    let whole = schema();
    // The error's path ends in the keyword that refused; before it is the object's schema, with references followed.
    let path = error.schema_path().as_str();
    let object = path.rsplit_once('/').map_or("", |(object, _)| object);
    let mut at = &whole;
    for step in object.split('/').skip(1) {
        let next = match at {
            Value::Array(elements) => step.parse().ok().and_then(|index: usize| elements.get(index)),
            _ if step == "$ref" => {
                at.get(step).and_then(Value::as_str).and_then(|target| whole.pointer(target.get(1..)?))
            }
            _ => at.get(step.replace("~1", "/").replace("~0", "~")),
        };
        match next {
            Some(next) => at = next,
            None => return Vec::new(),
        }
    }
    let properties = at.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

impl Node {
    fn to_value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Sequence(elements) => Value::Array(elements.iter().map(|element| element.to_value()).collect()),
            Self::Mapping(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.value.clone(), value.to_value())).collect())
            }
        }
    }

    fn key_place(&self, name: &str) -> Option<Place> {
        match self {
            Self::Mapping(entries) => entries.iter().find(|(key, _)| key.value == name).map(|(key, _)| key.place),
            Self::Scalar(_) | Self::Sequence(_) => None,
        }
    }
}

impl Located<Node> {
    /// The node at the end of the path, and the last known place on the way to it.
    fn at(&self, path: &[LocationSegment<'_>]) -> (Place, Option<&Node>) {
        let mut current = self;
        for segment in path {
            let next = match (&current.value, segment) {
                (Node::Mapping(entries), LocationSegment::Property(name)) => {
                    entries.iter().find(|(key, _)| key.value == name.as_ref()).map(|(_, value)| value)
                }
                (Node::Sequence(elements), LocationSegment::Index(index)) => elements.get(*index),
                _ => None,
            };
            let Some(next) = next else { return (current.place, None) };
            current = next;
        }
        (current.place, Some(&current.value))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Node::Sequence(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}
