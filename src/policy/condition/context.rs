//! Contexts: named values that a request or a tuple gives.

use std::str::FromStr;

use thiserror::Error;

use crate::protocol::{Json, JsonLimits, JsonProblem, parse_json};

/// A JSON document that is not an object cannot be a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a context must be a JSON object")]
pub struct NotAnObject;

/// A text is not a context.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidContext {
    /// Not one strict JSON document.
    #[error("it is not JSON: {0}")]
    Json(JsonProblem),
    /// JSON, but no object.
    #[error(transparent)]
    NotAnObject(#[from] NotAnObject),
}

/// A value in a context: what JSON can say. Its numbers are doubles, as in OpenFGA.
#[derive(Debug, Clone, PartialEq)]
pub enum ContextValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    String(Box<str>),
    /// A list.
    List(Box<[ContextValue]>),
    /// Named values.
    Map(ContextMap),
}

/// Named values, each name once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContextMap {
    // INVARIANT: sorted by name, no two names the same.
    entries: Box<[(Box<str>, ContextValue)]>,
}

impl ContextMap {
    /// The context that a JSON object is. Refuses every other document.
    pub fn from_json(json: &Json) -> Result<Self, NotAnObject> {
        let Json::Object(members) = json else { return Err(NotAnObject) };
        Ok(members.iter().map(|(name, value)| (name.as_str(), ContextValue::from(value))).collect())
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&ContextValue> {
        let at = self.entries.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// The names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ContextValue)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromStr for ContextMap {
    type Err = InvalidContext;

    fn from_str(text: &str) -> Result<Self, InvalidContext> {
        let json = parse_json(text.as_bytes(), JsonLimits::default()).map_err(InvalidContext::Json)?;
        Ok(Self::from_json(&json)?)
    }
}

/// Of two values with the same name the later counts.
impl<N: Into<Box<str>>> FromIterator<(N, ContextValue)> for ContextMap {
    fn from_iter<I: IntoIterator<Item = (N, ContextValue)>>(values: I) -> Self {
        let mut entries: Vec<(Box<str>, ContextValue)> =
            values.into_iter().map(|(name, value)| (name.into(), value)).collect();
        // Of equal names the last comes first, and is the one that is kept.
        entries.reverse();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.dedup_by(|(one, _), (other, _)| one == other);
        Self { entries: entries.into() }
    }
}

impl From<&Json> for ContextValue {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            // The strict reader lets no number pass that a double cannot hold.
            Json::Number(number) => number.as_f64().map_or(Self::Null, Self::Number),
            Json::String(text) => Self::String(text.as_str().into()),
            Json::Array(elements) => Self::List(elements.iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Map(members.iter().map(|(name, value)| (name.as_str(), Self::from(value))).collect())
            }
        }
    }
}
