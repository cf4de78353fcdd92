//! The types that expressions have before they run.

use std::fmt;

use crate::policy::condition::source::ParameterType;

/// A type. `Variable` is one that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Known only when the expression runs.
    Dynamic,
    /// A parameter of type `any`: as open as `Dynamic`, but no loop can go over it.
    Any,
    /// What is left after a problem was reported, so that it is reported once.
    Wrong,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Null,
    Timestamp,
    Duration,
    IpAddress,
    List(Box<Kind>),
    Map(Box<(Kind, Kind)>),
    /// The type of a type.
    Type(Box<Kind>),
    Variable(usize),
}

impl Kind {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new((key, value)))
    }

    /// Whether the type has at most so many parts.
    pub(super) fn is_within(&self, most: usize) -> bool {
        self.parts_left(most).is_some()
    }

    fn parts_left(&self, most: usize) -> Option<usize> {
        let left = most.checked_sub(1)?;
        match self {
            Self::List(inner) | Self::Type(inner) => inner.parts_left(left),
            Self::Map(entry) => entry.1.parts_left(entry.0.parts_left(left)?),
            _ => Some(left),
        }
    }

    /// Whether nothing can be said before the expression runs.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Dynamic | Self::Any | Self::Wrong)
    }
}

impl From<&ParameterType> for Kind {
    fn from(parameter: &ParameterType) -> Self {
        match parameter {
            ParameterType::Bool => Self::Bool,
            ParameterType::String => Self::String,
            ParameterType::Int => Self::Int,
            ParameterType::Uint => Self::Uint,
            ParameterType::Double => Self::Double,
            ParameterType::Duration => Self::Duration,
            ParameterType::Timestamp => Self::Timestamp,
            ParameterType::IpAddress => Self::IpAddress,
            ParameterType::Any => Self::Any,
            ParameterType::List(element) => Self::list(Self::from(&**element)),
            ParameterType::Map(value) => Self::map(Self::String, Self::from(&**value)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dynamic | Self::Any | Self::Variable(_) => f.write_str("any"),
            Self::Wrong => f.write_str("?"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Null => f.write_str("null"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::IpAddress => f.write_str("ipaddress"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Map(entry) if entry.0 == Self::String => write!(f, "map<{}>", entry.1),
            Self::Map(entry) => write!(f, "map<{}, {}>", entry.0, entry.1),
            Self::Type(_) => f.write_str("type"),
        }
    }
}
