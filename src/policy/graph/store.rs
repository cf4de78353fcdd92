//! All relationship tuples of a snapshot, numbered and sorted both ways.

use std::sync::Arc;

use super::{
    interner::Interner,
    rows::{Rows, holds, share},
};
use crate::policy::{
    model::{Model, RelationId, Shape, TypeId},
    tuple::{RelationshipTuple, UserParts},
};

/// The number of an object among the objects of its type.
pub(in crate::policy) type Number = u32;

/// The number of a restriction among all restrictions of the model. Each has its own tuples.
pub(in crate::policy) type EdgeId = u32;

/// An object that the graph does not know.
pub(in crate::policy) const UNKNOWN: Number = u32::MAX;

/// The tuples that one restriction lets in.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// From the object to the users, or for a wildcard to the number 0.
    pub(super) users: Rows,
    /// From the user to the objects.
    pub(super) objects: Rows,
}

/// Why a tuple was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetAsideReason {
    /// The model has no such type of object.
    UnknownType,
    /// The type has no such relation.
    UnknownRelation,
    /// The relation does not let in such users.
    UserNotAllowed,
}

/// A tuple that the model does not allow, so that no decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The tuple.
    pub tuple: RelationshipTuple,
    /// What the model says against it.
    pub reason: SetAsideReason,
}

/// Counts of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Distinct tuples that decisions see.
    pub tuples: usize,
    /// Tuples that came more than once.
    pub repeated: usize,
    /// Tuples that the model does not allow.
    pub set_aside: usize,
    /// Objects, users among them.
    pub objects: usize,
    /// About how many bytes the graph takes.
    pub bytes: usize,
}

/// An immutable set of tuples under one model.
///
/// Tuples that the model does not allow are not in it (OpenFGA ignores stored tuples that are invalid for the current
/// model); they are counted, and the first of them are kept as examples.
#[derive(Debug)]
pub struct Graph {
    pub(super) model: Arc<Model>,
    pub(super) interners: Box<[Interner]>,
    pub(super) edges: Box<[Edge]>,
    pub(super) statistics: Statistics,
    pub(super) examples: Box<[SetAside]>,
}

impl Graph {
    /// The model that decides which tuples are in the graph.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How much is in it.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The first tuples that were set aside, at most a hundred.
    pub fn set_aside(&self) -> &[SetAside] {
        &self.examples
    }

    /// Whether exactly this tuple is in the graph.
    pub fn contains(&self, tuple: &RelationshipTuple) -> bool {
        let found = || {
            let object_type = self.model.type_id(tuple.object.type_name())?;
            let relation = self.model.relation_id(object_type, tuple.relation.as_str())?;
            let object = self.number(object_type, tuple.object.id())?;
            let (user_type, shape, user) = self.numbered(UserParts::from(&tuple.user))?;
            let mut edges = self.model.relation(relation)?.edges();
            let (edge, _) = edges.find(|(_, known)| known.user_type == user_type && known.shape == shape)?;
            Some(self.has(edge, object, user))
        };
        found().unwrap_or(false)
    }

    fn numbered(&self, user: UserParts<'_>) -> Option<(TypeId, Shape<RelationId>, Number)> {
        let model = &self.model;
        Some(match user {
            UserParts::Object { user_type, id } => {
                let user_type = model.type_id(user_type)?;
                (user_type, Shape::Plain, self.number(user_type, id)?)
            }
            UserParts::Wildcard { user_type } => (model.type_id(user_type)?, Shape::Wildcard, 0),
            UserParts::Userset { user_type, id, relation, .. } => {
                let user_type = model.type_id(user_type)?;
                (user_type, Shape::Userset(model.relation_id(user_type, relation)?), self.number(user_type, id)?)
            }
        })
    }

    /// The number of an object, if any tuple names it.
    pub(in crate::policy) fn number(&self, object_type: TypeId, id: &str) -> Option<Number> {
        self.interners.get(object_type.index())?.find(id)
    }

    /// The id of an object.
    pub(in crate::policy) fn id(&self, object_type: TypeId, number: Number) -> &str {
        self.interners.get(object_type.index()).map_or("", |interner| interner.id(number))
    }

    /// The users that the edge gives the object, sorted.
    pub(in crate::policy) fn users(&self, edge: EdgeId, object: Number) -> &[Number] {
        self.edges.get(edge as usize).map_or(&[], |edge| edge.users.row(object))
    }

    /// The objects that the edge gives the user, sorted.
    pub(in crate::policy) fn objects(&self, edge: EdgeId, user: Number) -> &[Number] {
        self.edges.get(edge as usize).map_or(&[], |edge| edge.objects.row(user))
    }

    /// Whether the edge gives the object this user.
    pub(in crate::policy) fn has(&self, edge: EdgeId, object: Number, user: Number) -> bool {
        holds(self.users(edge, object), user)
    }

    /// An object between: one that `edge` gives `object`, and that `member` gives `user`.
    pub(in crate::policy) fn between(
        &self,
        edge: EdgeId,
        object: Number,
        member: EdgeId,
        user: Number,
    ) -> Option<Number> {
        share(self.users(edge, object), self.objects(member, user))
    }
}
