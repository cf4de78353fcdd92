//! A model as it was written, before anything is known to be right.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::rewrite::Rewrite;
use crate::{
    access::{Place, RelationName, TypeName},
    policy::condition::{ConditionName, ConditionSource},
};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub place: Place,
}

impl<T> Placed<T> {
    /// `value`, written at `place`.
    pub const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// Which users of a type a restriction lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<N> {
    /// Single objects: `user`.
    Plain,
    /// All objects of the type at once: `user:*`.
    Wildcard,
    /// The users who have a relation on an object of the type: `group#member`.
    Userset(N),
}

/// One entry of `[user, user:*, group#member]`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestrictionSource {
    /// The type of user.
    pub user_type: Placed<TypeName>,
    /// Which users of it.
    pub shape: Shape<Placed<RelationName>>,
    /// The condition that their tuples must carry: `user with non_expired`.
    pub condition: Option<Placed<ConditionName>>,
}

/// Where a part of a modular model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The module's name.
    pub module: Arc<str>,
    /// The file, as `fga.mod` names it.
    pub file: Option<Arc<str>>,
}

/// `define name: rewrite`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationSource {
    /// The relation's name.
    pub name: Placed<RelationName>,
    /// Which users tuples may name, empty unless the rewrite is assignable.
    pub restrictions: Vec<RestrictionSource>,
    /// How the relation is computed.
    pub rewrite: Rewrite<Placed<RelationName>>,
    /// Where it comes from, if another module than its type's adds it.
    pub origin: Option<Origin>,
}

/// `type name` and its relations, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSource {
    /// The type's name.
    pub name: Placed<TypeName>,
    /// Its relations.
    pub relations: Vec<RelationSource>,
    /// Where it comes from, if the model has modules.
    pub origin: Option<Origin>,
}

/// A text that is not a version of the language that is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("schema `{0}` is not supported")]
pub struct UnknownSchema(String);

/// The version of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaVersion {
    /// Schema 1.1.
    #[default]
    V1_1,
    /// Schema 1.2, which knows modules.
    V1_2,
}

impl FromStr for SchemaVersion {
    type Err = UnknownSchema;

    fn from_str(text: &str) -> Result<Self, UnknownSchema> {
        match text {
            "1.1" => Ok(Self::V1_1),
            "1.2" => Ok(Self::V1_2),
            other => Err(UnknownSchema(other.to_owned())),
        }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        })
    }
}

/// A whole model, as written. [`Model::new`](super::schema::Model::new) checks it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSource {
    /// The version of the language.
    pub schema: SchemaVersion,
    /// The types.
    pub types: Vec<TypeSource>,
    /// The conditions that restrictions name.
    pub conditions: Vec<ConditionSource>,
    /// Where conditions come from, if the model has modules.
    pub condition_origins: BTreeMap<ConditionName, Origin>,
}
