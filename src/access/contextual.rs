//! A relationship that holds for one request, because its credential says so.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::entity::{Entity, InvalidName, RelationName};

/// A tuple that is no part of the policy: it is laid over it for the decisions of one credential's requests.
///
/// Its user and its object are one object each, so that it never speaks for everybody and never for a userset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextualTuple {
    /// Who.
    pub user: Entity,
    /// Has which relation.
    pub relation: RelationName,
    /// On what.
    pub object: Entity,
}

/// Why a text is not a contextual tuple.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotContextual {
    /// Not three words.
    #[error("`{0}` is not a tuple: write it like `user:erin member group:eng`")]
    Form(String),
    /// One of them is not what it must be.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for ContextualTuple {
    type Err = NotContextual;

    /// Reads user, relation and object, with one space between them.
    fn from_str(text: &str) -> Result<Self, NotContextual> {
        let words: Vec<&str> = text.split(' ').collect();
        let [user, relation, object] = words.as_slice() else { return Err(NotContextual::Form(text.to_owned())) };
        Ok(Self { user: user.parse()?, relation: relation.parse()?, object: object.parse()? })
    }
}

impl fmt::Display for ContextualTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.user, self.relation, self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_three_words_and_is_written_as_it_is_read() {
        let text = "user:erin member group:eng";
        assert_eq!(text.parse::<ContextualTuple>().unwrap().to_string(), text);
        for text in ["", "user:erin member", "user:erin  member group:eng", "user:erin member group:eng x"] {
            assert!(matches!(text.parse::<ContextualTuple>(), Err(NotContextual::Form(_))), "{text}");
        }
        for text in ["user:* member group:eng", "group:a#member member group:eng", "user:erin mem:ber group:eng"] {
            assert!(matches!(text.parse::<ContextualTuple>(), Err(NotContextual::Name(_))), "{text}");
        }
    }
}
