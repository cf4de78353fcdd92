//! The JSON of tokens and keys: the strict reader, bounded for small documents.

use crate::protocol::{Json, JsonLimits, NotStrict, parse_json};

/// How deep and how large the parts of a token and the members of a key may be.
const LIMITS: JsonLimits = JsonLimits { depth: 8, items: 10_000 };

/// The greatest number that every reader of JSON reads alike (RFC 7493, section 2.2).
const GREATEST: u64 = 1 << 53;

/// The members of an object, no two of one name. It has no `Debug`: claims are personal data.
#[derive(Clone, Copy)]
pub(super) struct Object<'j>(&'j [(String, Json)]);

impl<'j> Object<'j> {
    /// The members of the value, if it is an object.
    pub(super) fn of(value: &'j Json) -> Option<Self> {
        match value {
            Json::Object(members) => Some(Self(members)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        }
    }

    /// The member of exactly this name.
    pub(super) fn get(self, name: &str) -> Option<&'j Json> {
        self.0.iter().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The names of all members.
    pub(super) fn names(self) -> impl Iterator<Item = &'j str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is a member of exactly this name.
    pub(super) fn contains(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The members of one object, kept. It has no `Debug`, for the same reason.
pub(super) struct Members(Vec<(String, Json)>);

impl Members {
    /// The members of the value, if it is an object.
    pub(super) fn of(value: Json) -> Option<Self> {
        match value {
            Json::Object(members) => Some(Self(members)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        }
    }

    /// The same, to be read.
    pub(super) fn read(&self) -> Object<'_> {
        Object(&self.0)
    }
}

/// Reads exactly one value: strict UTF-8, no byte after it, no member twice, at most 8 deep.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, NotStrict> {
    parse_json(bytes, LIMITS).map_err(|problem| problem.kind())
}

/// The text, if it is one.
pub(super) fn text(value: &Json) -> Option<&str> {
    match value {
        Json::String(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The elements, if it is an array of texts.
pub(super) fn texts(value: &Json) -> Option<Vec<&str>> {
    match value {
        Json::Array(elements) => elements.iter().map(text).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => None,
    }
}

/// The number, if it has no fraction and is at most 2^53 in magnitude.
pub(super) fn integer(value: &Json) -> Option<i64> {
    let Json::Number(number) = value else { return None };
    if let Some(integer) = number.as_i64() {
        return (integer.unsigned_abs() <= GREATEST).then_some(integer);
    }
    let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "integral and at most 2^53, checked above")]
    let integer = number as i64;
    Some(integer)
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
        assert_eq!(problem(&nested(LIMITS.depth)), None);
        assert_eq!(problem(&nested(LIMITS.depth + 1)), Some(NotStrict::TooDeep));
        assert_eq!(problem(&nested(4000)), Some(NotStrict::TooDeep));
    }

    #[test]
    fn numbers_are_integers_only_if_every_reader_agrees() {
        let integer = |text: &str| parse(text.as_bytes()).ok().as_ref().and_then(integer);
        for (text, value) in [("1", 1), ("1.0", 1), ("1e3", 1000), ("9007199254740992", 1 << 53), ("-5", -5)] {
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

    #[test]
    fn members_are_found_by_their_exact_name() {
        let json = parse(br#"{"sub":"mara","Sub":1,"aud":["a","b"],"mixed":["a",1]}"#).unwrap();
        let members = Object::of(&json).unwrap();
        assert_eq!(members.get("sub").and_then(text), Some("mara"));
        assert!(members.contains("Sub") && !members.contains("SUB"));
        assert_eq!(members.get("aud").and_then(texts), Some(vec!["a", "b"]));
        assert_eq!(members.get("mixed").and_then(texts), None);
        assert!(Object::of(&Json::Null).is_none());
    }
}
