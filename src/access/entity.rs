//! Names of types, relations and objects, checked once.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Not `^[^:#@\s]{1,254}$`.
    #[error("`{0}` is not a type's name: 1 to 254 characters without `:`, `#`, `@` or white space")]
    Type(String),
    /// Not `^[^:#@\s]{1,50}$`.
    #[error("`{0}` is not a relation's name: 1 to 50 characters without `:`, `#`, `@` or white space")]
    Relation(String),
    /// Not `type:id`.
    #[error("`{0}` is not an object: it has the form `type:id`")]
    Object(String),
    /// The id is empty, `*`, or holds a character that ids may not hold.
    #[error(
        "`{0}` has no valid id: ids are not empty, not `*`, and hold no `:`, `#`, white space or control character"
    )]
    Id(String),
    /// Longer than 256 characters.
    #[error("an object is at most 256 characters long, this one has {0}")]
    TooLong(usize),
}

/// The name of a type: 1 to 254 characters without `:`, `#`, `@` or white space (OpenFGA's rule).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// Whether `text` is such a name.
    pub fn is_valid(text: &str) -> bool {
        is_name(text, 254)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidName::Type(text.to_owned())) }
    }
}

// Equal names have equal texts and hashes, so maps of names can be searched by text.
impl Borrow<str> for TypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a relation, and so of an action: 1 to 50 characters without `:`, `#`, `@` or white space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationName(Arc<str>);

impl RelationName {
    /// Whether `text` is such a name.
    pub fn is_valid(text: &str) -> bool {
        is_name(text, 50)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelationName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidName::Relation(text.to_owned())) }
    }
}

// Equal names have equal texts and hashes, so maps of names can be searched by text.
impl Borrow<str> for RelationName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One object, such as `account:A-100` or `user:erin`: never a wildcard and never a userset.
///
/// The text is split on its first `:`; the id holds no `:`, `#`, white space or control character and is not `*`.
/// So a value from a request can name one object and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    text: Arc<str>,
    // INVARIANT: the byte index of the first `:` in `text`.
    colon: usize,
}

impl Entity {
    /// The whole text, `type:id`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the first `:`.
    pub fn type_name(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The part after the first `:`.
    pub fn id(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// The type and the id in `text`, by the same rules as [`Entity::from_str`], without keeping them.
    pub fn split(text: &str) -> Result<(&str, &str), InvalidName> {
        let colon = text.bytes().position(|byte| byte == b':');
        let parts = colon.and_then(|colon| text.get(..colon).zip(text.get(colon + 1..)));
        let (type_name, id) = parts.ok_or_else(|| InvalidName::Object(text.to_owned()))?;
        if !TypeName::is_valid(type_name) {
            return Err(InvalidName::Type(type_name.to_owned()));
        }
        if id.is_empty() || id == "*" || !all_legal(id, |byte| !matches!(byte, b':' | b'#')) {
            return Err(InvalidName::Id(text.to_owned()));
        }
        // Bytes are never fewer than characters, so most texts need no count.
        if text.len() > 256 && text.chars().count() > 256 {
            return Err(InvalidName::TooLong(text.chars().count()));
        }
        Ok((type_name, id))
    }
}

impl FromStr for Entity {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (type_name, _) = Self::split(text)?;
        Ok(Self { colon: type_name.len(), text: text.into() })
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One action on one resource: what a route makes of a request.
///
/// The action is the name of a relation of the resource's type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// The relation that must hold.
    pub action: RelationName,
    /// The object it must hold on.
    pub resource: Entity,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    let short = text.len() <= longest || text.chars().count() <= longest;
    !text.is_empty() && short && all_legal(text, |byte| !matches!(byte, b':' | b'#' | b'@'))
}

/// Whether the text holds no white space and no control character, and of ASCII only what `legal` allows.
fn all_legal(text: &str, legal: impl Fn(u8) -> bool) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() & legal(byte);
    // Every byte is looked at, with no branch between them: almost all names are short, and plain.
    text.bytes().fold(true, |plain, byte| plain & is_plain(byte))
        || (text.bytes().filter(u8::is_ascii).all(is_plain)
            && !text.contains(|c: char| c.is_whitespace() || c.is_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_type_and_an_id() {
        let object: Entity = "account:A-100".parse().unwrap();
        assert_eq!((object.type_name(), object.id()), ("account", "A-100"));
        assert!("branch:api/main".parse::<Entity>().is_ok());
        assert!("user:auth0|12,3".parse::<Entity>().is_ok());
    }

    #[test]
    fn a_value_cannot_become_a_wildcard_a_userset_or_two_objects() {
        for text in ["user:*", "group:eng#member", "user:a:b", "user:", ":x", "user", "user:a b", "user:a\u{7}"] {
            assert!(text.parse::<Entity>().is_err(), "{text}");
        }
        assert_eq!(format!("user:{}", "x".repeat(252)).parse::<Entity>(), Err(InvalidName::TooLong(257)));
    }

    #[test]
    fn names_have_their_longest() {
        assert!("x".repeat(50).parse::<RelationName>().is_ok());
        assert!("x".repeat(51).parse::<RelationName>().is_err());
        assert!("a b".parse::<TypeName>().is_err());
    }

    #[test]
    fn what_is_not_ascii_is_legal_too() {
        for text in ["user:zoë", "bücher:ß", "user:東京", "user:ÿ"] {
            assert!(text.parse::<Entity>().is_ok(), "{text}");
        }
        for text in ["user:zoë b", "user:ë#x", "user:ë:x", "user:a\u{a0}", "user:a\u{85}", "user:a\u{2028}", "us@ër:a"]
        {
            assert!(text.parse::<Entity>().is_err(), "{text}");
        }
    }
}
