//! JSON with one reading: no duplicate members, no look-alikes, bounded in depth and size.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Number;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// A JSON document whose objects have distinct members, in the order they were written.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, its escapes decoded once.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. No two members have the same name.
    Object(Vec<(String, Json)>),
}

/// How deep and how large a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Nesting of arrays and objects.
    pub depth: usize,
    /// Members and elements in the whole document.
    pub items: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { depth: 64, items: 10_000 }
    }
}

/// Why bytes are not one strict JSON document (RFC 8259 and RFC 7493: UTF-8, distinct members, nothing after it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStrict {
    /// Not one JSON value in UTF-8, or more than one.
    Syntax,
    /// An object has two members of one name.
    RepeatedMember,
    /// More nesting than the limit.
    TooDeep,
    /// More members and elements than the limit.
    TooManyItems,
}

/// The bytes are not one strict JSON document: why, and the same in words with the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not one strict JSON document: {message}")]
pub struct JsonProblem {
    kind: NotStrict,
    message: String,
}

impl JsonProblem {
    fn syntax(message: &str) -> Self {
        Self { kind: NotStrict::Syntax, message: message.to_owned() }
    }

    /// Why.
    pub fn kind(&self) -> NotStrict {
        self.kind
    }
}

/// Why a member has no one value that a decision may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MemberProblem {
    /// There is no such member, or something on the way to it is not an object.
    #[error("is missing")]
    Missing,
    /// Another member's name would be the same to a reader that folds case or look-alike characters.
    #[error("has a look-alike")]
    LookAlike,
    /// Neither a string nor an integer below 2^53 in its plain spelling.
    #[error("is neither a string nor a plain integer")]
    NotAnId,
    /// A control, format or unassigned character.
    #[error("holds a control character")]
    ControlCharacter,
}

/// Reads one strict document.
pub fn parse_json(bytes: &[u8], limits: JsonLimits) -> Result<Json, JsonProblem> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonProblem::syntax("it is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(JsonProblem::syntax("it begins with a byte order mark"));
    }
    let (items, problem) = (Cell::new(limits.items), Cell::new(NotStrict::Syntax));
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Document { depth: limits.depth, items: &items, problem: &problem };
    let json = seed.deserialize(&mut reader).and_then(|json| reader.end().map(|()| json));
    json.map_err(|error| JsonProblem { kind: problem.get(), message: error.to_string() })
}

impl Json {
    /// The value at the end of a path of member names. Refuses a name that another member of the same object folds to.
    pub fn member<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Result<&Self, MemberProblem> {
        let mut value = self;
        for name in path {
            let Self::Object(members) = value else { return Err(MemberProblem::Missing) };
            let folded: String = fold(name).collect();
            let mut found = None;
            for (other, inner) in members {
                if other == name {
                    found = Some(inner);
                } else if fold(other).eq(folded.chars()) {
                    return Err(MemberProblem::LookAlike);
                }
            }
            value = found.ok_or(MemberProblem::Missing)?;
        }
        Ok(value)
    }

    /// The text of a value that may be part of an id: a string without control or invisible characters, or an integer.
    pub fn id_text(&self) -> Result<Cow<'_, str>, MemberProblem> {
        match self {
            Self::String(text) if text.chars().any(is_invisible) => Err(MemberProblem::ControlCharacter),
            Self::String(text) => Ok(Cow::Borrowed(text)),
            // 1.0, 1e0 and -0 are floats to the parser, so that only the plain spelling comes here.
            Self::Number(number) => match number.as_i64() {
                Some(integer) if integer.unsigned_abs() < 1 << 53 => Ok(Cow::Owned(integer.to_string())),
                Some(_) | None => Err(MemberProblem::NotAnId),
            },
            Self::Null | Self::Bool(_) | Self::Array(_) | Self::Object(_) => Err(MemberProblem::NotAnId),
        }
    }
}

/// The characters that sloppy readers would compare: whoever compares stops at the first that differs, so that a long
/// name costs no more than a short one.
fn fold(name: &str) -> impl Iterator<Item = char> {
    let visible = name.nfkc().filter(|c| !is_invisible(*c) && !c.is_whitespace());
    // Up, then down: letters such as a dotless i are the same to some readers only after both.
    visible.flat_map(char::to_uppercase).flat_map(char::to_lowercase).filter(|c| *c != '\u{307}')
}

/// Control characters (Cc), and the format characters (Cf) that change nothing one can see.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{fe00}'..='\u{fe0f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[derive(Clone, Copy)]
struct Document<'a> {
    depth: usize,
    items: &'a Cell<usize>,
    // What the error that is being returned stands for, if it is no error of the syntax.
    problem: &'a Cell<NotStrict>,
}

impl Document<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let deep = || self.refuse(NotStrict::TooDeep, "nested too deeply");
        let depth = self.depth.checked_sub(1).ok_or_else(deep)?;
        Ok(Self { depth, ..self })
    }

    fn refuse<E: serde::de::Error>(self, problem: NotStrict, message: &str) -> E {
        self.problem.set(problem);
        E::custom(message)
    }

    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let many = || self.refuse(NotStrict::TooManyItems, "too many members and elements");
        let left = self.items.get().checked_sub(1).ok_or_else(many)?;
        self.items.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            self.count()?;
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            self.count()?;
            members.push((name, entries.next_value_seed(inner)?));
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.is_sorted_by(|one, next| one < next) {
            Ok(Json::Object(members))
        } else {
            Err(self.refuse(NotStrict::RepeatedMember, "an object has two members of one name"))
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JsonLimits { depth, items } = JsonLimits::default();
        Document { depth, items: &Cell::new(items), problem: &Cell::new(NotStrict::Syntax) }.deserialize(deserializer)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(elements) => {
                let mut sequence = serializer.serialize_seq(Some(elements.len()))?;
                elements.iter().try_for_each(|element| sequence.serialize_element(element))?;
                sequence.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json, JsonProblem> {
        parse_json(text.as_bytes(), JsonLimits::default())
    }

    fn id(text: &str, path: &[&str]) -> Result<String, MemberProblem> {
        let json = parse(text).unwrap();
        json.member(path.iter().copied())?.id_text().map(Cow::into_owned)
    }

    #[test]
    fn a_member_is_found_by_its_exact_name() {
        assert_eq!(id(r#"{"environment":"staging"}"#, &["environment"]).unwrap(), "staging");
        assert_eq!(id(r#"{"a":{"b":7}}"#, &["a", "b"]).unwrap(), "7");
        assert_eq!(id(r#"{"a":"\u0041\u00e9"}"#, &["a"]).unwrap(), "Aé");
        assert_eq!(id(r#"{"a":{}}"#, &["a", "b"]), Err(MemberProblem::Missing));
        assert_eq!(id(r#"{"a":[{"b":1}]}"#, &["a", "b"]), Err(MemberProblem::Missing));
    }

    #[test]
    fn documents_with_two_readings_are_refused() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            "",
            "{",
            r#"{"a":1}x"#,
            "{} {}",
            "\u{feff}{}",
            "// c\n{}",
            r#"{"a":NaN}"#,
            r#"{'a':1}"#,
            r#"{"a":01}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_json(b"{\"a\":\"\xff\"}", JsonLimits::default()).is_err());
        assert!(parse_json(b"{\0\"\0a\0\"\0:\0", JsonLimits::default()).is_err());
    }

    #[test]
    fn look_alikes_of_a_routed_member_are_refused() {
        for other in [
            "Environment",
            "environment\\u0000",
            "environ\\u200bment",
            "ｅnvironment",
            " environment",
            "envıronment",
            "ENVİRONMENT",
            "environment\u{fe0f}",
        ] {
            let text = format!(r#"{{"environment":"staging","{other}":"production"}}"#);
            assert_eq!(id(&text, &["environment"]), Err(MemberProblem::LookAlike), "{other}");
            let alone = format!(r#"{{"{other}":"production"}}"#);
            assert_eq!(id(&alone, &["environment"]), Err(MemberProblem::LookAlike), "{other}");
        }
    }

    #[test]
    fn only_strings_and_plain_integers_are_ids() {
        for value in ["null", "true", "1.0", "1e0", "-0", "9007199254740992", "[]", "{}", "1.5"] {
            assert_eq!(id(&format!(r#"{{"a":{value}}}"#), &["a"]), Err(MemberProblem::NotAnId), "{value}");
        }
        assert_eq!(id(r#"{"a":-9007199254740991}"#, &["a"]).unwrap(), "-9007199254740991");
        assert_eq!(id(r#"{"a":"x\u0000"}"#, &["a"]), Err(MemberProblem::ControlCharacter));
        assert_eq!(id(r#"{"a":"x\u202e"}"#, &["a"]), Err(MemberProblem::ControlCharacter));
    }

    #[test]
    fn depth_and_items_are_bounded() {
        assert!(parse(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
        assert!(parse(&format!("{}{}", "[".repeat(65), "]".repeat(65))).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(&many(10_000)).is_ok());
        assert!(parse(&many(10_001)).is_err());
    }

    #[test]
    fn a_problem_says_of_what_kind_it_is() {
        let kind =
            |text: &str| parse_json(text.as_bytes(), JsonLimits { depth: 2, items: 3 }).err().map(|it| it.kind());
        for (text, expected) in [
            ("[[1,2]]", None),
            ("{", Some(NotStrict::Syntax)),
            ("[[1]] 2", Some(NotStrict::Syntax)),
            (r#"{"a":1,"a":1}"#, Some(NotStrict::RepeatedMember)),
            (r#"[{"a":1,"\u0061":1}]"#, Some(NotStrict::RepeatedMember)),
            ("[[[1]]]", Some(NotStrict::TooDeep)),
            ("[1,2,3,4]", Some(NotStrict::TooManyItems)),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let text = r#"{"b":[1,-2,"x\n",null,true,1.5],"a":{}}"#;
        assert_eq!(serde_json::to_string(&parse(text).unwrap()).unwrap(), text);
    }
}
