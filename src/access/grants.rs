//! What a credential was granted beside its chain. It only ever narrows.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// The longest scope, in bytes.
const LONGEST: usize = 256;

/// The text is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not a scope: 1 to 256 visible ASCII characters without a double quote or a backslash", .0.escape_debug())]
pub struct InvalidScope(String);

/// One scope (RFC 6749, section 3.3): compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The scope as text. It can stand between double quotes in a header field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let legal = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        if !legal || !(1..=LONGEST).contains(&text.len()) {
            return Err(InvalidScope(text.chars().take(LONGEST).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A field of an authorization detail that every type may have (RFC 9396, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DetailField {
    /// Where: the locations of a resource.
    Locations,
    /// What is done there.
    Actions,
    /// Which kinds of data.
    Datatypes,
    /// The one resource.
    Identifier,
    /// At which level of privilege.
    Privileges,
}

impl DetailField {
    /// Every field there is.
    pub const ALL: [Self; 5] = [Self::Locations, Self::Actions, Self::Datatypes, Self::Identifier, Self::Privileges];

    /// The member's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Locations => "locations",
            Self::Actions => "actions",
            Self::Datatypes => "datatypes",
            Self::Identifier => "identifier",
            Self::Privileges => "privileges",
        }
    }
}

/// One element of `authorization_details` (RFC 9396, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationDetail {
    /// Its type.
    pub kind: Box<str>,
    /// The common fields that it has, each with its values.
    pub fields: Vec<(DetailField, Vec<Box<str>>)>,
    /// The names of all its other members: they restrict it in ways that only its type's owner knows.
    pub others: Vec<Box<str>>,
}

impl AuthorizationDetail {
    /// The values of a field; `None` if it does not have it.
    pub fn values(&self, field: DetailField) -> Option<&[Box<str>]> {
        self.fields.iter().find_map(|(other, values)| (*other == field).then_some(values.as_slice()))
    }
}

/// What a credential was granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Its scopes.
    pub scopes: Vec<Scope>,
    /// What it is restricted to; `None` if it is not.
    pub details: Option<Vec<AuthorizationDetail>>,
}

impl Grants {
    /// Whether it holds all of these scopes.
    pub fn has(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_word_that_can_be_quoted() {
        for text in ["crm.read", "https://api.acme.example/read", "a", "!#[]~", &"s".repeat(256)] {
            assert_eq!(text.parse::<Scope>().unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\"b", "a\\b", "a\u{7f}", "é", "a\nb", &"s".repeat(257)] {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn all_scopes_are_asked_for_exactly() {
        let scopes = |text: &str| text.split(' ').map(|scope| scope.parse().unwrap()).collect::<Vec<Scope>>();
        let grants = Grants { scopes: scopes("read write"), details: None };
        assert!(grants.has(&scopes("write read")) && grants.has(&[]));
        assert!(!grants.has(&scopes("read admin")) && !grants.has(&scopes("Read")) && !grants.has(&scopes("rea")));
    }
}
