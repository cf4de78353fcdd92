//! A condition as it was written, before anything is known to be right.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::policy::model::Placed;

/// A text that is not a condition's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a condition's name: 1 to 50 characters without `:`, `#`, `@` or white space")]
pub struct InvalidConditionName(String);

/// The name of a condition: 1 to 50 characters without `:`, `#`, `@` or white space (OpenFGA's rule).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConditionName(Arc<str>);

impl ConditionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConditionName {
    type Err = InvalidConditionName;

    fn from_str(text: &str) -> Result<Self, InvalidConditionName> {
        let legal = |c: char| !matches!(c, ':' | '#' | '@') && !c.is_whitespace();
        if text.is_empty() || text.chars().count() > 50 || !text.chars().all(legal) {
            return Err(InvalidConditionName(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

// Equal names have equal texts and hashes, so maps of names can be searched by text.
impl Borrow<str> for ConditionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of a condition's parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ParameterType {
    /// `bool`.
    Bool,
    /// `string`.
    String,
    /// `int`: 64 bits with sign.
    Int,
    /// `uint`: 64 bits without sign.
    Uint,
    /// `double`.
    Double,
    /// `duration`, written as Go writes it: `1h30m`.
    Duration,
    /// `timestamp`, written by RFC 3339.
    Timestamp,
    /// `ipaddress`: IPv4 or IPv6.
    IpAddress,
    /// `any`: whatever JSON can say. Only the JSON form of a model can declare it.
    Any,
    /// `list<T>`.
    List(Box<Self>),
    /// `map<T>`, with strings as keys.
    Map(Box<Self>),
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::String => "string",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::IpAddress => "ipaddress",
            Self::Any => "any",
            Self::List(element) => return write!(f, "list<{element}>"),
            Self::Map(value) => return write!(f, "map<{value}>"),
        })
    }
}

/// `name: type`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSource {
    /// The parameter's name.
    pub name: Placed<String>,
    /// Its type.
    pub kind: ParameterType,
}

/// `condition name(parameters) { expression }`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionSource {
    /// The condition's name.
    pub name: Placed<ConditionName>,
    /// Its parameters, in the order they are written.
    pub parameters: Vec<ParameterSource>,
    /// The expression in CEL, verbatim, and where its first character stands.
    pub expression: Placed<String>,
}
