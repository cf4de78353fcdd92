//! What requests say, in protobuf's JSON: unknown members are ignored, and `null` says nothing.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    policy::{ContextMap, TupleCondition, TupleText},
    protocol::{Json, JsonLimits, parse_json},
    snapshot::TupleKey,
};

use super::fault::Fault;

/// How deep and large a body may be. A model nests deeper than anything else.
const LIMITS: JsonLimits = JsonLimits { depth: 100, items: 200_000 };
/// The longest context of a tuple's condition, in bytes (OpenFGA's limit).
const LONGEST_CONTEXT: usize = 32 * 1024;
/// The most contextual tuples of one question (OpenFGA's limit).
pub(super) const MOST_CONTEXTUAL: usize = 100;

/// Refuses a body that is not one strict JSON document. No body is an empty message.
pub(super) fn strict(body: &[u8]) -> Result<&[u8], Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    match parse_json(body, LIMITS) {
        Ok(Json::Object(_)) => Ok(body),
        Ok(_) => Err(Fault::invalid("the body is not a JSON object")),
        Err(problem) => Err(Fault::invalid(problem.to_string())),
    }
}

/// The message that a body is.
pub(super) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(strict(body)?).map_err(|error| Fault::invalid(format!("malformed JSON: {error}")))
}

/// A value, or what no value stands for.
pub(super) fn filled<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// A tuple, or of a question or filter what it has of one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TupleBody {
    #[serde(deserialize_with = "filled")]
    pub(super) user: String,
    #[serde(deserialize_with = "filled")]
    pub(super) relation: String,
    #[serde(deserialize_with = "filled")]
    pub(super) object: String,
    pub(super) condition: Option<ConditionBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConditionBody {
    #[serde(deserialize_with = "filled")]
    name: String,
    context: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TuplesBody {
    #[serde(deserialize_with = "filled", alias = "tupleKeys")]
    pub(super) tuple_keys: Vec<TupleBody>,
}

impl TupleBody {
    pub(super) fn text(&self) -> TupleText<'_> {
        TupleText { user: &self.user, relation: &self.relation, object: &self.object }
    }

    pub(super) fn key(&self) -> TupleKey {
        let Self { user, relation, object, .. } = self;
        TupleKey { object: object.as_str().into(), relation: relation.as_str().into(), user: user.as_str().into() }
    }

    /// As OpenFGA shows a tuple in its messages.
    pub(super) fn shown(&self) -> String {
        let Self { user, relation, object, .. } = self;
        format!("{object}#{relation}@{user}")
    }

    /// Refuses a tuple or question without one of its texts. `of` is the message that it is.
    pub(super) fn whole(&self, of: &str) -> Result<(), Fault> {
        for (name, text, most) in
            [("User", &self.user, 512), ("Relation", &self.relation, 50), ("Object", &self.object, 256)]
        {
            let count = text.chars().count();
            if count == 0 {
                return Err(Fault::field(&format!("{of}.{name}"), "value length must be at least 1 bytes"));
            }
            if count > most {
                let rule = format!("value length must be at most {most} bytes");
                return Err(Fault::field(&format!("{of}.{name}"), &rule));
            }
        }
        Ok(())
    }

    /// The condition that the tuple carries.
    pub(super) fn carried(&self) -> Result<Option<TupleCondition>, Fault> {
        let Some(ConditionBody { name, context }) = &self.condition else { return Ok(None) };
        let is_named = (2..=256).contains(&name.chars().count()) && !name.contains(char::is_control);
        let named = name.parse().ok().filter(|_| is_named);
        let named = named.ok_or_else(|| {
            let rule = "value does not match regex pattern \"^[^\\\\s]{2,256}$\"";
            Fault::field("RelationshipCondition.Name", rule)
        })?;
        let context = match context {
            None => String::new(),
            Some(Json::Object(members)) if members.is_empty() => String::new(),
            Some(context) => context_text(context)?,
        };
        Ok(Some(TupleCondition { name: named, context: context.into() }))
    }
}

/// A tuple's context as text, the same for the same values.
fn context_text(context: &Json) -> Result<String, Fault> {
    if !matches!(context, Json::Object(_)) {
        return Err(Fault::invalid("the condition's context is not an object"));
    }
    if has_control(context) {
        return Err(Fault::invalid("the condition's context holds a control character"));
    }
    // Members of a value are sorted.
    let text = serde_json::to_value(context).unwrap_or_default().to_string();
    if text.len() > LONGEST_CONTEXT {
        let message =
            format!("condition context size limit exceeded: {} bytes exceeds {LONGEST_CONTEXT} bytes", text.len());
        return Err(Fault::invalid(message));
    }
    Ok(text)
}

fn has_control(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => text.contains(char::is_control),
        Json::Array(elements) => elements.iter().any(has_control),
        Json::Object(members) => {
            members.iter().any(|(name, value)| name.contains(char::is_control) || has_control(value))
        }
    }
}

/// A request's context.
pub(super) fn context(given: Option<&Json>) -> Result<ContextMap, Fault> {
    match given {
        None => Ok(ContextMap::default()),
        Some(given) => ContextMap::from_json(given).map_err(|error| Fault::invalid(error.to_string())),
    }
}

/// A condition as an answer has it; `null` for none.
pub(super) fn condition_json(condition: Option<&TupleCondition>) -> Value {
    condition.map_or(Value::Null, |TupleCondition { name, context }| {
        let context = if context.is_empty() { "{}" } else { context };
        // What was read from JSON is JSON.
        let context: Value = serde_json::from_str(context).unwrap_or_default();
        serde_json::json!({ "name": name.as_str(), "context": context })
    })
}
