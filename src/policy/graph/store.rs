//! All relationship tuples of a snapshot, numbered and sorted both ways.

use std::{hint::black_box, sync::Arc};

use super::{
    condition::{Carried, Conditions},
    names::{Interner, Located},
    packed::Packed,
    placement::{Aside, Placement, SetAside},
    rows::{Row, Rows},
};
use crate::{
    access::Entity,
    policy::{
        model::{Model, Restriction, Shape, TypeId},
        tuple::{RelationshipTuple, User},
    },
};

/// The number of an object among the objects of its type.
pub(in crate::policy) type Number = u32;

/// The number of a restriction among all restrictions of the model. Each has its own tuples.
pub(in crate::policy) type EdgeId = u32;

/// An object that the graph does not know.
pub(in crate::policy) const UNKNOWN: Number = u32::MAX;

/// With more users than this it is worth to look whether the user has fewer objects.
const MANY: usize = 256;

/// The tuples that one restriction lets in. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(in crate::policy) struct Edge {
    /// From the object to the users, or for a wildcard to the number 0.
    pub(super) users: Rows,
    /// From the user to the objects.
    pub(super) objects: Rows,
    /// What must hold before a tuple counts.
    pub(super) conditions: Conditions,
}

impl Edge {
    /// The edge of pairs `object << 32 | user`, sorted and without repetitions, none of which has a condition.
    pub(super) fn new(pairs: &[u64], object_count: usize, user_count: usize) -> Self {
        let users = Rows::new(Packed::new(pairs, object_count));
        Self { users, objects: Rows::new(Packed::transposed(pairs, user_count)), conditions: Conditions::default() }
    }

    /// About how many bytes this takes, changes aside.
    pub(super) fn bytes(&self) -> usize {
        self.users.bytes() + self.objects.bytes() + self.conditions.bytes()
    }

    /// The users that it gives the object, those with a condition among them.
    #[inline]
    pub(in crate::policy) fn users_at(&self, object: Located) -> Row<'_> {
        if self.users.is_void() { Row::EMPTY } else { self.users.row_at(object) }
    }

    /// The objects that it gives the user, those with a condition among them, if that is told at once. [`UNKNOWN`] is
    /// in place of what is not there.
    #[inline]
    pub(in crate::policy) fn few_objects(&self, user: Number) -> Option<[Number; 2]> {
        self.objects.few(user.into())
    }

    /// The same of the users that it gives the object.
    #[inline]
    pub(in crate::policy) fn few_users(&self, object: Located) -> Option<[Number; 2]> {
        self.users.few(object)
    }

    /// Whether it has no tuple.
    #[inline]
    pub(in crate::policy) fn is_void(&self) -> bool {
        self.users.is_void()
    }

    /// Whether any tuple carries a condition.
    #[inline]
    pub(in crate::policy) fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// Whether nothing has changed since the rows were packed.
    pub(super) fn is_packed(&self) -> bool {
        self.users.is_packed() && self.objects.is_packed()
    }

    /// Whether it gives the object this user.
    pub(super) fn has(&self, object: Number, user: Number) -> bool {
        self.has_at(object.into(), user)
    }

    /// The same of an object whose place may be known.
    #[inline]
    pub(in crate::policy) fn has_at(&self, object: Located, user: Number) -> bool {
        if self.users.is_void() {
            return false;
        }
        if let Some([one, other]) = self.users.few(object) {
            // Nothing is guessed, so that a processor that guessed wrong need not wait for what is far away.
            return ((one == user) | (other == user)) & (user != UNKNOWN);
        }
        let users = self.users.row_at(object);
        if users.len() > MANY {
            let objects = self.objects.row(user);
            if objects.len() < users.len() {
                return objects.holds(object.number);
            }
        }
        users.holds(user)
    }
}

/// Counts of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Distinct tuples that decisions see.
    pub tuples: usize,
    /// Tuples that came more than once when the graph was built.
    pub repeated: usize,
    /// Tuples that the model does not allow.
    pub set_aside: usize,
    /// Objects, users among them. Those that only deleted tuples named are among them until the graph is compacted.
    pub objects: usize,
    /// About how many bytes the graph takes.
    pub bytes: usize,
}

/// An immutable set of tuples under one model. A clone shares everything with it.
///
/// Tuples that the model does not allow are not in it (OpenFGA ignores stored tuples that are invalid for the current
/// model); they are counted, and the first of them are kept as examples.
#[derive(Debug, Clone)]
pub struct Graph {
    pub(super) model: Arc<Model>,
    pub(super) interners: Box<[Interner]>,
    pub(super) edges: Box<[Edge]>,
    pub(super) statistics: Statistics,
    pub(super) aside: Arc<Aside>,
    pub(super) repeated: Arc<[RelationshipTuple]>,
    /// How many changes lie over the packed rows.
    pub(super) changes: usize,
}

impl Graph {
    pub(super) fn new(
        model: Arc<Model>,
        interners: Box<[Interner]>,
        edges: Box<[Edge]>,
        statistics: Statistics,
    ) -> Self {
        let (aside, repeated) = (Arc::default(), Arc::default());
        Self { model, interners, edges, statistics, aside, repeated, changes: 0 }
    }

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
        &self.aside.examples
    }

    /// The first tuples that came more than once when the graph was built, at most a hundred.
    pub fn repeated(&self) -> &[RelationshipTuple] {
        &self.repeated
    }

    /// Whether exactly this tuple is in the graph.
    pub fn contains(&self, tuple: &RelationshipTuple) -> bool {
        let found = || {
            let placement = Placement::find(&self.model, tuple.into()).ok()?;
            let (object, user) = placement.numbers(tuple.into(), |of, id| self.number(of, id))?;
            Some(self.has(placement.edge, object, user))
        };
        found().unwrap_or(false)
    }

    /// The number of an object, if any tuple names it.
    pub(in crate::policy) fn number(&self, object_type: TypeId, id: &str) -> Option<Number> {
        self.interners.get(object_type.index())?.find(id)
    }

    /// The object and the user, if any tuples name them.
    ///
    /// What is far away is asked for at once, the object's rows of these edges with it, and then waited for.
    pub(in crate::policy) fn located(
        &self,
        (object_type, object): (TypeId, &str),
        (user_type, user): (TypeId, &str),
        edges: &[EdgeId],
    ) -> (Option<Located>, Option<Number>) {
        let names = |of: TypeId| self.interners.get(of.index());
        let Some((objects, users)) = names(object_type).zip(names(user_type)) else { return (None, None) };
        let (object_hash, user_hash) = (objects.base().hashed(object), users.base().hashed(user));
        let place = objects.base().likely_place(object_hash);
        let near = objects.base().read_ahead(object_hash) ^ users.base().read_ahead(user_hash);
        let rows = edges.iter().filter_map(|edge| self.edge(*edge)).map(|edge| edge.users.read_ahead_at(place));
        // Nothing looks at it, so nothing waits for it.
        black_box(rows.fold(near, |all, one| all ^ one));
        (objects.find_hashed(object, object_hash), users.find_hashed(user, user_hash).map(|user| user.number))
    }

    /// The id of an object.
    pub(in crate::policy) fn id(&self, object_type: TypeId, number: Number) -> &str {
        self.interners.get(object_type.index()).map_or("", |interner| interner.id(number))
    }

    /// An object as it is written.
    pub(in crate::policy) fn entity(&self, object_type: TypeId, number: Number) -> Option<Entity> {
        format!("{}:{}", self.model.type_name(object_type), self.id(object_type, number)).parse().ok()
    }

    /// A user of a restriction as it is written.
    pub(in crate::policy) fn user(&self, restriction: Restriction, number: Number) -> Option<User> {
        Some(match restriction.shape {
            Shape::Plain => User::Object(self.entity(restriction.user_type, number)?),
            Shape::Wildcard => User::Wildcard(self.model.type_name(restriction.user_type).parse().ok()?),
            Shape::Userset(id) => {
                let relation = self.model.relation(id)?.name().clone();
                User::Userset(self.entity(restriction.user_type, number)?, relation)
            }
        })
    }

    /// The tuples that a restriction lets in.
    #[inline]
    pub(in crate::policy) fn edge(&self, edge: EdgeId) -> Option<&Edge> {
        self.edges.get(edge as usize)
    }

    /// The users that the edge gives the object, those with a condition among them.
    pub(in crate::policy) fn users(&self, edge: EdgeId, object: Number) -> Row<'_> {
        self.edge(edge).map_or(Row::EMPTY, |edge| edge.users_at(object.into()))
    }

    /// The objects that the edge gives the user, those with a condition among them.
    pub(in crate::policy) fn objects(&self, edge: EdgeId, user: Number) -> Row<'_> {
        self.edges.get(edge as usize).map_or(Row::EMPTY, |edge| edge.objects.row(user))
    }

    /// Whether the edge gives the object this user, on a condition or without one.
    pub(in crate::policy) fn has(&self, edge: EdgeId, object: Number, user: Number) -> bool {
        self.edges.get(edge as usize).is_some_and(|edge| edge.has(object, user))
    }

    /// An object between: one that `edge` gives `object`, and that `member` gives `user`, conditions aside.
    pub(in crate::policy) fn between(
        &self,
        edge: EdgeId,
        object: Number,
        member: EdgeId,
        user: Number,
    ) -> Option<Number> {
        self.users(edge, object).shared(self.objects(member, user))
    }

    /// Whether any tuple of the edge carries a condition.
    pub(in crate::policy) fn edge_has_conditions(&self, edge: EdgeId) -> bool {
        self.edge(edge).is_some_and(Edge::has_conditions)
    }

    /// The condition that a tuple carries.
    pub(in crate::policy) fn condition(&self, edge: EdgeId, object: Number, user: Number) -> Option<&Carried> {
        self.edges.get(edge as usize)?.conditions.get(object, user)
    }

    /// A tuple of an edge as it is written.
    pub(in crate::policy) fn tuple(&self, edge: EdgeId, object: Number, user: Number) -> Option<RelationshipTuple> {
        let model = &self.model;
        let (relation, restriction) = model.all_relations().find_map(|(_, relation)| {
            let (_, restriction) = relation.edges().find(|(number, _)| *number == edge)?;
            Some((relation, restriction))
        })?;
        Some(RelationshipTuple {
            user: self.user(restriction, user)?,
            relation: relation.name().clone(),
            object: self.entity(relation.object_type(), object)?,
        })
    }
}
