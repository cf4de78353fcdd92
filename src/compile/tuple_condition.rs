//! The condition that a tuple carries, as a person wrote it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{report::Report, tuples::Written};
use crate::{
    access::Place,
    policy::{ConditionName, TupleCondition},
    protocol::{JsonLimits, parse_json},
};

/// The longest context of a tuple's condition, in bytes (OpenFGA's limit).
const LONGEST_CONTEXT: usize = 32 * 1024;

/// A tuple's `condition: {name, context}`, as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenCondition<'a> {
    pub(super) place: Place,
    pub(super) name: Option<Written<'a>>,
    /// The context as JSON.
    pub(super) context: Option<Written<'a>>,
}

/// Checks a condition by itself, or reports what is wrong with it.
pub(super) fn read(written: &WrittenCondition<'_>, report: &mut Report) -> Option<TupleCondition> {
    let name = match written.name {
        Some(name) => condition_name(name, report),
        None => {
            let help = "a condition has `name` and perhaps `context`".to_owned();
            report.add(written.place, "the condition's `name` is missing", Some(help));
            None
        }
    };
    let context = match written.context {
        Some(context) => read_context(context, report)?,
        None => Arc::default(),
    };
    Some(TupleCondition { name: name?, context })
}

/// A name that restrictions can have, of at least two characters: OpenFGA takes no shorter one with a tuple.
fn condition_name(written: Written<'_>, report: &mut Report) -> Option<ConditionName> {
    let name = written.text.parse::<ConditionName>().ok();
    let name = name.filter(|name| name.as_str().chars().count() >= 2 && !name.as_str().contains(char::is_control));
    if name.is_none() {
        let help = "the name of a tuple's condition has 2 to 50 characters".to_owned();
        report.add(written.place, format!("`{}` is not a condition that a tuple can have", written.text), Some(help));
    }
    name
}

fn read_context(written: Written<'_>, report: &mut Report) -> Option<Arc<str>> {
    // Of two values of one name nobody knows which was meant.
    if let Err(problem) = parse_json(written.text.as_bytes(), JsonLimits::default()) {
        report.add(written.place, format!("the condition's context is not one strict JSON document: {problem}"), None);
        return None;
    }
    let Ok(context) = serde_json::from_str::<Map<String, Value>>(written.text) else {
        report.add(written.place, "the condition's context is not an object of names and values", None);
        return None;
    };
    let text = if context.is_empty() { String::new() } else { Value::Object(context.clone()).to_string() };
    let length = text.len();
    if length > LONGEST_CONTEXT {
        let message = format!("the condition's context has {length} bytes, at most {LONGEST_CONTEXT} are allowed");
        report.add(written.place, message, None);
        return None;
    }
    if context.iter().any(|(key, value)| key.contains(char::is_control) || has_control(value)) {
        report.add(written.place, "the condition's context holds a control character", None);
        return None;
    }
    Some(text.into())
}

fn has_control(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(char::is_control),
        Value::Array(elements) => elements.iter().any(has_control),
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| key.contains(char::is_control) || has_control(value))
        }
    }
}
