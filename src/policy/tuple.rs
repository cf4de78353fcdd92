//! Relationship tuples: who has which relation on which object.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::access::{Entity, InvalidName, RelationName, TypeName};

/// Why a text is not part of a relationship tuple.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTuple {
    /// The user is not an object, a wildcard or a userset.
    #[error("the user is malformed: {0}")]
    User(InvalidName),
    /// The user is longer than 512 bytes.
    #[error("a user is at most 512 bytes long, this one has {0}")]
    UserTooLong(usize),
    /// The relation is not a name.
    #[error("the relation is malformed: {0}")]
    Relation(InvalidName),
    /// The object is not `type:id`.
    #[error("the object is malformed: {0}")]
    Object(InvalidName),
    /// There is no number left for another object of a type.
    #[error("there are more objects of one type than can be held")]
    Full,
}

/// Whom a tuple or a question names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum User {
    /// One object: `user:erin`.
    Object(Entity),
    /// Every object of a type: `user:*`.
    Wildcard(TypeName),
    /// Whoever has the relation on the object: `group:eng#member`.
    Userset(Entity, RelationName),
}

impl FromStr for User {
    type Err = InvalidTuple;

    /// Splits on the last `#`, then on the first `:`. A text without `:`, or the wildcard `*` alone, is refused.
    fn from_str(text: &str) -> Result<Self, InvalidTuple> {
        Ok(match UserParts::parse(text)? {
            UserParts::Object { .. } => Self::Object(text.parse().map_err(InvalidTuple::User)?),
            UserParts::Wildcard { user_type } => Self::Wildcard(user_type.parse().map_err(InvalidTuple::User)?),
            UserParts::Userset { object, relation, .. } => Self::Userset(
                object.parse().map_err(InvalidTuple::User)?,
                relation.parse().map_err(InvalidTuple::User)?,
            ),
        })
    }
}

impl From<Entity> for User {
    fn from(entity: Entity) -> Self {
        Self::Object(entity)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(entity) => entity.fmt(f),
            Self::Wildcard(user_type) => write!(f, "{user_type}:*"),
            Self::Userset(entity, relation) => write!(f, "{entity}#{relation}"),
        }
    }
}

/// One relationship: the user has the relation on the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationshipTuple {
    /// Who.
    pub user: User,
    /// Has which relation.
    pub relation: RelationName,
    /// On what.
    pub object: Entity,
}

impl RelationshipTuple {
    /// Reads the three texts of a tuple.
    pub fn parse(user: &str, relation: &str, object: &str) -> Result<Self, InvalidTuple> {
        Ok(Self {
            user: user.parse()?,
            relation: relation.parse().map_err(InvalidTuple::Relation)?,
            object: object.parse().map_err(InvalidTuple::Object)?,
        })
    }
}

impl fmt::Display for RelationshipTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.user, self.relation, self.object)
    }
}

/// A user taken apart without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum UserParts<'a> {
    Object { user_type: &'a str, id: &'a str },
    Wildcard { user_type: &'a str },
    Userset { user_type: &'a str, id: &'a str, object: &'a str, relation: &'a str },
}

impl<'a> UserParts<'a> {
    pub(in crate::policy) fn parse(text: &'a str) -> Result<Self, InvalidTuple> {
        if text.len() > 512 {
            return Err(InvalidTuple::UserTooLong(text.len()));
        }
        if let Some((object, relation)) = text.rsplit_once('#') {
            let (user_type, id) = Entity::split(object).map_err(InvalidTuple::User)?;
            if !RelationName::is_valid(relation) {
                return Err(InvalidTuple::User(InvalidName::Relation(relation.to_owned())));
            }
            return Ok(Self::Userset { user_type, id, object, relation });
        }
        match text.strip_suffix(":*") {
            Some(user_type) if TypeName::is_valid(user_type) => Ok(Self::Wildcard { user_type }),
            Some(_) | None => {
                let (user_type, id) = Entity::split(text).map_err(InvalidTuple::User)?;
                Ok(Self::Object { user_type, id })
            }
        }
    }
}

impl UserParts<'_> {
    pub(in crate::policy) fn to_text(self) -> String {
        match self {
            Self::Object { user_type, id } => format!("{user_type}:{id}"),
            Self::Wildcard { user_type } => format!("{user_type}:*"),
            Self::Userset { object, relation, .. } => format!("{object}#{relation}"),
        }
    }
}

impl<'a> From<&'a User> for UserParts<'a> {
    fn from(user: &'a User) -> Self {
        match user {
            User::Object(entity) => entity.into(),
            User::Wildcard(user_type) => Self::Wildcard { user_type: user_type.as_str() },
            User::Userset(entity, relation) => Self::Userset {
                user_type: entity.type_name(),
                id: entity.id(),
                object: entity.as_str(),
                relation: relation.as_str(),
            },
        }
    }
}

impl<'a> From<&'a Entity> for UserParts<'a> {
    fn from(entity: &'a Entity) -> Self {
        Self::Object { user_type: entity.type_name(), id: entity.id() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_an_object_a_wildcard_or_a_userset() {
        let user = |text: &str| text.parse::<User>().unwrap();
        assert!(matches!(user("user:erin"), User::Object(_)));
        assert!(matches!(user("user:*"), User::Wildcard(_)));
        assert!(matches!(user("group:eng#member"), User::Userset(_, _)));
        assert!(matches!(user("user:a,b|é"), User::Object(_)));
        for text in ["user:erin", "user:*", "group:eng#member"] {
            assert_eq!(user(text).to_string(), text);
        }
    }

    #[test]
    fn other_texts_name_nobody() {
        let long = format!("user:{}", "x".repeat(508));
        for text in [
            "",
            "*",
            "erin",
            "user:",
            ":erin",
            ":*",
            "user:a:*",
            "user:a b",
            "group:eng#",
            "#member",
            "group:*#member",
            "group:a#b#member",
            "group:eng#a:b",
            "user *:*",
            &long,
        ] {
            assert!(text.parse::<User>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_tuple_names_an_object() {
        assert!(RelationshipTuple::parse("user:erin", "owner", "account:A-100").is_ok());
        for object in ["account:*", "account", "account:A#x", "a:b:c"] {
            assert!(RelationshipTuple::parse("user:erin", "owner", object).is_err(), "{object}");
        }
    }
}
