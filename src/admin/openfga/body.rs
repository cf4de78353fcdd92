//! What requests say, in protobuf's JSON: unknown members are ignored, and `null` says nothing.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::{
    policy::{ContextMap, TupleCondition, TupleText},
    protocol::{Json, JsonLimits, parse_json},
    snapshot::TupleKey,
};

use super::{
    fault::Fault,
    rules::{Fields, OBJECT, RELATION, USER},
};

/// How deep and large a body may be. A model nests deeper than anything else.
const LIMITS: JsonLimits = JsonLimits { depth: 100, items: 200_000 };
/// The longest context of the condition of a tuple that is written, in bytes (OpenFGA's limit).
const LONGEST_CONTEXT: usize = 32 * 1024;
/// The most contextual tuples of one question (OpenFGA's limit).
pub(super) const MOST_CONTEXTUAL: usize = 100;

/// Refuses a body that is not one strict JSON document. No body is an empty message.
pub(super) fn strict(body: &[u8]) -> Result<&[u8], Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    match parse_json(body, LIMITS) {
        Ok(Json::Object(members)) => members.iter().try_for_each(check_unread).map(|()| body),
        Ok(_) => Err(Fault::invalid("the body is not a JSON object")),
        Err(problem) => Err(Fault::invalid(problem.to_string())),
    }
}

/// Refuses members that change no answer, if they are not what they must be. Which reading is preferred makes no
/// difference where there are no caches.
fn check_unread((name, value): &(String, Json)) -> Result<(), Fault> {
    let is_right = match (name.as_str(), value) {
        // Numbers of the known preferences; other names are taken for none.
        ("consistency", Json::Number(number)) => [Some(0), Some(100), Some(200)].contains(&number.as_u64()),
        ("consistency", value) => matches!(value, Json::String(_) | Json::Null),
        ("trace", value) => matches!(value, Json::Bool(_) | Json::Null),
        _ => true,
    };
    if is_right { Ok(()) } else { Err(Fault::invalid(format!("invalid value for field {name}"))) }
}

/// The message that a body is.
pub(super) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(strict(body)?).map_err(|error| Fault::invalid(format!("malformed JSON: {error}")))
}

/// A value, or what no value stands for.
pub(super) fn filled<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// A message within a message. Serde would read an array as one, too.
struct Message<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Message<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Some)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

/// A message, if it is there.
pub(super) fn inner<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    value.deserialize_any(Message(PhantomData))
}

/// A message, or what none stands for.
pub(super) fn inner_filled<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    inner(value).map(Option::unwrap_or_default)
}

/// Messages.
pub(super) fn inners<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(bound = "T: Deserialize<'de>")]
    struct Element<T>(#[serde(deserialize_with = "inner")] Option<T>);

    let elements: Vec<Element<T>> = filled(value)?;
    let missing = || Error::invalid_type(Unexpected::Unit, &"an object");
    elements.into_iter().map(|element| element.0.ok_or_else(missing)).collect()
}

/// A number of 32 bits, which may be written as a text, if it is there.
pub(super) fn int32<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i32>, D::Error> {
    let number = match Option::<Value>::deserialize(value)? {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    let is_within = |number: &f64| (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(number);
    let whole = number.filter(|number: &f64| number.fract() == 0.0 && is_within(number));
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the bounds")]
    whole.map(|number| Some(number as i32)).ok_or_else(|| Error::custom("invalid value for a field of type int32"))
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
    #[serde(deserialize_with = "inner")]
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
    #[serde(deserialize_with = "inners", alias = "tupleKeys")]
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

    /// Refuses a question without one of its texts, or with one that cannot be right. `of` is the message that it is.
    pub(super) fn check_question(&self, of: &str) -> Result<(), Fault> {
        let Self { user, relation, object, .. } = self;
        let fields = Fields::of(of).required("User", user, USER);
        fields.required("Relation", relation, RELATION).required("Object", object, OBJECT).check()
    }

    /// Refuses a tuple with a text that cannot be right. One that is not there is looked at later.
    pub(super) fn check_tuple(&self, of: &str) -> Result<(), Fault> {
        let Self { user, relation, object, .. } = self;
        let fields = Fields::of(of).user_of_tuple(user);
        fields.optional("Relation", relation, RELATION).optional("Object", object, OBJECT).check()
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

    /// Whether the context of its condition holds a control character.
    pub(super) fn has_control(&self) -> bool {
        self.condition.as_ref().and_then(|condition| condition.context.as_ref()).is_some_and(has_control)
    }
}

/// Why a context is refused.
pub(super) const CONTROL: &str = "the condition's context holds a control character";

/// Refuses to keep a context that is too long.
pub(super) fn check_length(condition: Option<&TupleCondition>) -> Result<(), Fault> {
    let length = condition.map_or(0, |condition| condition.context.len());
    if length <= LONGEST_CONTEXT {
        return Ok(());
    }
    let message = format!("condition context size limit exceeded: {length} bytes exceeds {LONGEST_CONTEXT} bytes");
    Err(Fault::invalid(message))
}

/// A tuple's context as text, the same for the same values.
fn context_text(context: &Json) -> Result<String, Fault> {
    if !matches!(context, Json::Object(_)) {
        return Err(Fault::invalid("the condition's context is not an object"));
    }
    // Members of a value are sorted.
    Ok(serde_json::to_value(context).unwrap_or_default().to_string())
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
