//! Values: those that are kept, and those that an evaluation makes or borrows.

use std::{cmp::Ordering, ops::Deref, rc::Rc, sync::Arc};

use super::{address::IpAddress, time::Timestamp};

/// The name of a type, as `type(x)` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy::condition) enum TypeName {
    Bool,
    Bytes,
    Double,
    Duration,
    Int,
    IpAddress,
    List,
    Map,
    Null,
    String,
    Timestamp,
    Type,
    Uint,
}

/// A value that is kept: a constant, or what a context gave.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy::condition) enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    /// In nanoseconds.
    Duration(i64),
    IpAddress(IpAddress),
    Type(TypeName),
    List(Arc<[Datum]>),
    // INVARIANT: sorted by key, no two keys the same.
    Map(Arc<[(Datum, Datum)]>),
}

impl From<crate::access::Timestamp> for Datum {
    fn from(now: crate::access::Timestamp) -> Self {
        Self::Timestamp(Timestamp::from_microseconds(now.microseconds()))
    }
}

/// A text that an evaluation borrows or has made.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// Bytes that an evaluation borrows or has made.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum Octets<'a> {
    Borrowed(&'a [u8]),
    Made(Rc<[u8]>),
}

impl Deref for Octets<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

/// A list that an evaluation borrows or has made.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum List<'a> {
    Borrowed(&'a [Datum]),
    Made(Rc<[Value<'a>]>),
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Borrowed(elements) => elements.len(),
            Self::Made(elements) => elements.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Borrowed(elements) => elements.get(index).map(Value::from),
            Self::Made(elements) => elements.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A map that an evaluation borrows or has made.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum Map<'a> {
    Borrowed(&'a [(Datum, Datum)]),
    // INVARIANT: sorted by key, no two keys the same.
    Made(Rc<[(Value<'a>, Value<'a>)]>),
}

impl<'a> Map<'a> {
    /// The map of the given entries: of two with the same key the later counts. `None` if a key cannot be one.
    pub(super) fn made(mut entries: Vec<(Value<'a>, Value<'a>)>) -> Option<Self> {
        if entries.iter().any(|(key, _)| order_of_keys(key, key).is_none()) {
            return None;
        }
        entries.sort_by(|(one, _), (other, _)| order_of_keys(one, other).unwrap_or(Ordering::Equal));
        let mut kept: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            match kept.last_mut() {
                Some(last) if order_of_keys(&last.0, &entry.0) == Some(Ordering::Equal) => *last = entry,
                _ => kept.push(entry),
            }
        }
        Some(Self::Made(kept.into()))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Borrowed(entries) => entries.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub(super) fn entry(&self, index: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self {
            Self::Borrowed(entries) => entries.get(index).map(|(key, value)| (key.into(), value.into())),
            Self::Made(entries) => entries.get(index).cloned(),
        }
    }

    /// What stands under a name.
    pub(super) fn field(&self, name: &str) -> Option<Value<'a>> {
        self.find(&Value::String(Text::Borrowed(name)))
    }

    /// What stands under a key. A whole number is the same key whatever its type is.
    pub(super) fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        self.find(key).or_else(|| same_number(key).into_iter().flatten().find_map(|other| self.find(&other)))
    }

    fn find(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match self {
            Self::Borrowed(entries) => {
                let order = |(other, _): &(Datum, Datum)| key_order(&other.into(), key);
                entries.binary_search_by(order).ok().and_then(|at| entries.get(at)).map(|(_, value)| value.into())
            }
            Self::Made(entries) => {
                let order = |(other, _): &(Value<'a>, Value<'a>)| key_order(other, key);
                entries.binary_search_by(order).ok().and_then(|at| entries.get(at)).map(|(_, value)| value.clone())
            }
        }
    }
}

/// A value in an evaluation.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Octets<'a>),
    Timestamp(Timestamp),
    Duration(i64),
    IpAddress(IpAddress),
    Type(TypeName),
    List(List<'a>),
    Map(Map<'a>),
}

impl Value<'_> {
    pub(super) fn text(made: &str) -> Self {
        Self::String(Text::Made(made.into()))
    }

    /// How large the cost model takes the value to be: characters, bytes, elements, or one.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::String(text) => characters(text),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Timestamp(_)
            | Self::Duration(_)
            | Self::IpAddress(_)
            | Self::Type(_) => 1,
        }
    }

    pub(super) const fn type_name(&self) -> TypeName {
        match self {
            Self::Null => TypeName::Null,
            Self::Bool(_) => TypeName::Bool,
            Self::Int(_) => TypeName::Int,
            Self::Uint(_) => TypeName::Uint,
            Self::Double(_) => TypeName::Double,
            Self::String(_) => TypeName::String,
            Self::Bytes(_) => TypeName::Bytes,
            Self::Timestamp(_) => TypeName::Timestamp,
            Self::Duration(_) => TypeName::Duration,
            Self::IpAddress(_) => TypeName::IpAddress,
            Self::Type(_) => TypeName::Type,
            Self::List(_) => TypeName::List,
            Self::Map(_) => TypeName::Map,
        }
    }

    /// The value, to be kept.
    pub(super) fn keep(&self) -> Datum {
        match self {
            Self::Null => Datum::Null,
            Self::Bool(value) => Datum::Bool(*value),
            Self::Int(value) => Datum::Int(*value),
            Self::Uint(value) => Datum::Uint(*value),
            Self::Double(value) => Datum::Double(*value),
            Self::String(text) => Datum::String((&**text).into()),
            Self::Bytes(bytes) => Datum::Bytes((&**bytes).into()),
            Self::Timestamp(value) => Datum::Timestamp(*value),
            Self::Duration(value) => Datum::Duration(*value),
            Self::IpAddress(value) => Datum::IpAddress(value.clone()),
            Self::Type(value) => Datum::Type(*value),
            Self::List(list) => Datum::List(list.iter().map(|element| element.keep()).collect()),
            Self::Map(map) => {
                let entries = (0..map.len()).filter_map(|index| map.entry(index));
                Datum::Map(entries.map(|(key, value)| (key.keep(), value.keep())).collect())
            }
        }
    }
}

impl<'a> From<&'a Datum> for Value<'a> {
    fn from(datum: &'a Datum) -> Self {
        match datum {
            Datum::Null => Self::Null,
            Datum::Bool(value) => Self::Bool(*value),
            Datum::Int(value) => Self::Int(*value),
            Datum::Uint(value) => Self::Uint(*value),
            Datum::Double(value) => Self::Double(*value),
            Datum::String(text) => Self::String(Text::Borrowed(text)),
            Datum::Bytes(bytes) => Self::Bytes(Octets::Borrowed(bytes)),
            Datum::Timestamp(value) => Self::Timestamp(*value),
            Datum::Duration(value) => Self::Duration(*value),
            Datum::IpAddress(value) => Self::IpAddress(value.clone()),
            Datum::Type(value) => Self::Type(*value),
            Datum::List(elements) => Self::List(List::Borrowed(elements)),
            Datum::Map(entries) => Self::Map(Map::Borrowed(entries)),
        }
    }
}

/// How many characters a text has.
fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// How two keys are sorted, or `None` if one cannot be a key.
pub(in crate::policy::condition) fn order_of_keys(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    let ranks = (rank(one)?, rank(other)?);
    Some(match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Uint(one), Value::Uint(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => one.total_cmp(other),
        (Value::String(one), Value::String(other)) => (**one).cmp(other),
        _ => ranks.0.cmp(&ranks.1),
    })
}

fn key_order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    order_of_keys(one, other).unwrap_or(Ordering::Less)
}

const fn rank(key: &Value<'_>) -> Option<u8> {
    match key {
        Value::Null => Some(0),
        Value::Bool(_) => Some(1),
        Value::Int(_) => Some(2),
        Value::Uint(_) => Some(3),
        Value::Double(_) => Some(4),
        Value::String(_) => Some(5),
        Value::Bytes(_)
        | Value::Timestamp(_)
        | Value::Duration(_)
        | Value::IpAddress(_)
        | Value::Type(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

/// The same whole number, in the other types that have it.
pub(super) fn same_number(number: &Value<'_>) -> Option<[Value<'static>; 2]> {
    Some(match number {
        Value::Int(int) => [u64::try_from(*int).map_or(Value::Null, Value::Uint), double_of(*int as f64)],
        Value::Uint(uint) => [i64::try_from(*uint).map_or(Value::Null, Value::Int), double_of(*uint as f64)],
        Value::Double(double) => {
            let int = whole_int(*double).map_or(Value::Null, Value::Int);
            let uint = whole_uint(*double).map_or(Value::Null, Value::Uint);
            [int, uint]
        }
        _ => return None,
    })
}

const fn double_of(double: f64) -> Value<'static> {
    Value::Double(double)
}

/// The int that a double is, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "it is in bounds and has no fraction")]
pub(in crate::policy::condition) fn whole_int(double: f64) -> Option<i64> {
    ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&double) && double.fract() == 0.0)
        .then_some(double as i64)
}

/// The uint that a double is, if it is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in bounds and has no fraction")]
pub(in crate::policy::condition) fn whole_uint(double: f64) -> Option<u64> {
    ((0.0..18_446_744_073_709_551_616.0).contains(&double) && double.fract() == 0.0).then_some(double as u64)
}
