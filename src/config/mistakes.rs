//! What is wrong where a file does not follow the schema, in plain words.

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use crate::policy::did_you_mean;

/// What is wrong, and what to write instead.
pub(super) fn said(error: &ValidationError<'_>) -> (String, Option<String>) {
    let written: &Value = error.instance();
    match error.kind() {
        ValidationErrorKind::Type { kind } => another_type(written, &types(kind)),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let possible = || context.iter().flatten();
            let values: Vec<&Value> = possible().filter_map(|error| value(error)).collect();
            match (written, values.is_empty()) {
                (Value::String(_), false) => another_value(written, &values),
                _ => {
                    let own = possible().filter(|inner| inner.instance_path() == error.instance_path());
                    let wanted: Vec<JsonType> = own.filter_map(wanted).flatten().collect();
                    another_type(written, &wanted)
                }
            }
        }
        ValidationErrorKind::Enum { options } => {
            another_value(written, &options.as_array().into_iter().flatten().collect::<Vec<_>>())
        }
        ValidationErrorKind::Constant { expected_value } => another_value(written, &[&**expected_value]),
        ValidationErrorKind::Minimum { limit } => (format!("{written} is too small, write at least {limit}"), None),
        ValidationErrorKind::Maximum { limit } => (format!("{written} is too large, write at most {limit}"), None),
        ValidationErrorKind::MinItems { limit } => (format!("the list is too short, write at least {limit}"), None),
        _ => (error.to_string().replace('"', "`"), None),
    }
}

fn value<'e>(error: &'e ValidationError<'_>) -> Option<&'e Value> {
    match error.kind() {
        ValidationErrorKind::Constant { expected_value } => Some(expected_value),
        _ => None,
    }
}

fn wanted(error: &ValidationError<'_>) -> Option<Vec<JsonType>> {
    match error.kind() {
        ValidationErrorKind::Type { kind } => Some(types(kind)),
        ValidationErrorKind::Constant { .. } => Some(vec![JsonType::String]),
        _ => None,
    }
}

fn types(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    }
}

fn another_value(written: &Value, known: &[&Value]) -> (String, Option<String>) {
    let names: Vec<&str> = known.iter().filter_map(|value| value.as_str()).collect();
    let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = written.as_str().and_then(|written| did_you_mean(written, names.iter().copied()));
    (format!("{} is not known here", shown(written)), Some(near.unwrap_or_else(|| format!("write one of {listed}"))))
}

fn another_type(written: &Value, wanted: &[JsonType]) -> (String, Option<String>) {
    // That a key may be left out is no advice to who has written it.
    let mut wanted: Vec<JsonType> = wanted.iter().copied().filter(|kind| *kind != JsonType::Null).collect();
    wanted.dedup();
    let names: Vec<&str> = wanted.iter().map(|kind| name(*kind)).collect();
    let message = format!("{} is written here, but {} is expected", kind_of(written), names.join(" or "));
    (message, wanted.iter().find_map(|kind| advice(written, *kind)))
}

/// What to write instead to make it one of this type.
fn advice(written: &Value, wanted: JsonType) -> Option<String> {
    match (written, wanted) {
        (Value::Number(number), JsonType::String) => {
            Some(format!("for a time write its unit too, such as `{number}s`; for a text put it in quotes"))
        }
        (Value::Bool(value), JsonType::String) => Some(format!("put it in quotes: `\"{value}\"`")),
        (Value::String(text), JsonType::Array) => Some(format!("write a list of one: `[\"{text}\"]`")),
        (Value::Object(_), JsonType::Array) => {
            Some("begin each element with `- `, or put it in `[` and `]`".to_owned())
        }
        (Value::Number(_), JsonType::Integer) => Some("write it in digits alone, such as `1000`".to_owned()),
        (Value::String(_), JsonType::Integer) => Some("write digits, without a unit and without quotes".to_owned()),
        (Value::String(_), JsonType::Boolean) => Some("write `true` or `false`, without quotes".to_owned()),
        (Value::Null, JsonType::Object) => Some("write its keys below it, or remove it".to_owned()),
        (Value::Null, JsonType::Array) => Some("write its elements below it, each after `- `, or `[]`".to_owned()),
        _ => None,
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => shown(value),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        value => format!("`{value}`"),
    }
}

fn name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping (`key: value`)",
    }
}
