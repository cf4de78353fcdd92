//! JSON that has one reading, without repeated members and of bounded depth.

use std::{
    cell::Cell,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The members of an object, by name.
pub(super) type Object = BTreeMap<String, Json>;

/// How many objects and arrays may be inside each other.
pub(super) const DEPTH: usize = 8;

/// The greatest number that every reader of JSON reads alike (RFC 7493, section 2.2).
const GREATEST: i64 = 1 << 53;

/// One JSON value. It has no `Debug`: claims are personal data.
pub(super) enum Json {
    Null,
    Bool,
    /// A number without a fraction, at most 2^53 in magnitude.
    Integer(i64),
    /// Any other number.
    Number,
    Text(String),
    Array(Vec<Json>),
    Object(Object),
}

impl Json {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool | Self::Integer(_) | Self::Number | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The integer, if it is one.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Null | Self::Bool | Self::Number | Self::Text(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

/// Why bytes are not strict JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotStrict {
    Syntax,
    RepeatedMember,
    TooDeep,
}

/// Reads exactly one value: strict UTF-8, no byte after it, no member twice, at most [`DEPTH`] deep.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, NotStrict> {
    let problem = Cell::new(NotStrict::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Value { room: DEPTH, problem: &problem }.deserialize(&mut deserializer).map_err(|_| problem.get())?;
    deserializer.end().map_err(|_| NotStrict::Syntax)?;
    Ok(value)
}

struct Value<'p> {
    room: usize,
    problem: &'p Cell<NotStrict>,
}

impl Value<'_> {
    fn refuse<E: Error>(&self, problem: NotStrict) -> E {
        self.problem.set(problem);
        E::custom("not strict JSON")
    }

    fn inner<E: Error>(&self) -> Result<Self, E> {
        let room = self.room.checked_sub(1).ok_or_else(|| self.refuse(NotStrict::TooDeep))?;
        Ok(Self { room, problem: self.problem })
    }

    fn again(&self) -> Self {
        Self { room: self.room, problem: self.problem }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        let exact = (-GREATEST..=GREATEST).contains(&number);
        Ok(if exact { Json::Integer(number) } else { Json::Number })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Ok(Json::Number),
        }
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
            return Ok(Json::Number);
        }
        #[expect(clippy::cast_possible_truncation, reason = "integral and at most 2^53, checked above")]
        let integer = number as i64;
        Ok(Json::Integer(integer))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(inner.again())? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut members = Object::new();
        while let Some(name) = map.next_key::<String>()? {
            match members.entry(name) {
                Entry::Vacant(slot) => slot.insert(map.next_value_seed(inner.again())?),
                Entry::Occupied(_) => return Err(self.refuse(NotStrict::RepeatedMember)),
            };
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<NotStrict> {
        parse(text.as_bytes()).err()
    }

    #[test]
    fn a_member_may_not_be_repeated_in_any_spelling_or_depth() {
        assert_eq!(problem(r#"{"a":1,"b":{"a":2}}"#), None);
        assert_eq!(problem(r#"{"a":1,"a":1}"#), Some(NotStrict::RepeatedMember));
        assert_eq!(problem(r#"{"a":1,"\u0061":2}"#), Some(NotStrict::RepeatedMember));
        assert_eq!(problem(r#"[{"x":{"a":1,"a":1}}]"#), Some(NotStrict::RepeatedMember));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(problem(&nested(DEPTH)), None);
        assert_eq!(problem(&nested(DEPTH + 1)), Some(NotStrict::TooDeep));
        assert_eq!(problem(&nested(4000)), Some(NotStrict::TooDeep));
    }

    #[test]
    fn numbers_are_integers_only_if_every_reader_agrees() {
        let integer = |text: &str| parse(text.as_bytes()).ok().and_then(|value| value.integer());
        for (text, value) in [("1", 1), ("1.0", 1), ("1e3", 1000), ("9007199254740992", GREATEST), ("-5", -5)] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["1.5", "9007199254740993", "1e300", "18446744073709551615", "1e400", "NaN", "\"1\"", "+1", "01"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for bytes in [&b""[..], b"{} {}", b"{}x", b"\xef\xbb\xbf{}", b"\"\xff\"", b"\"\\ud800\"", b"{'a':1}", b"{a:1}"]
        {
            assert_eq!(parse(bytes).err(), Some(NotStrict::Syntax), "{bytes:?}");
        }
    }
}
