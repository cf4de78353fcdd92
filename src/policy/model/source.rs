//! A model as it was written, before anything is known to be right.

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

/// `define name: rewrite`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationSource {
    /// The relation's name.
    pub name: Placed<RelationName>,
    /// Which users tuples may name, empty unless the rewrite is assignable.
    pub restrictions: Vec<RestrictionSource>,
    /// How the relation is computed.
    pub rewrite: Rewrite<Placed<RelationName>>,
}

/// `type name` and its relations, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSource {
    /// The type's name.
    pub name: Placed<TypeName>,
    /// Its relations.
    pub relations: Vec<RelationSource>,
}

/// A whole model, as written. [`Model::new`](super::schema::Model::new) checks it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSource {
    /// The types.
    pub types: Vec<TypeSource>,
    /// The conditions that restrictions name.
    pub conditions: Vec<ConditionSource>,
}
