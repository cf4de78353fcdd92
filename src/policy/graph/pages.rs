//! The tuples of a graph as they are written, page by page.

use super::{
    condition::{Carried, TupleCondition},
    names::Interner,
    placement::Placement,
    rows::Row,
    store::{Edge, EdgeId, Graph, Number},
};
use crate::{
    access::Entity,
    policy::{
        model::{Relation, Restriction},
        tuple::{RelationshipTuple, User, UserParts},
    },
};

/// Which tuples are asked for: those that are all of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TupleFilter<'a> {
    /// Of objects of this type.
    pub object_type: Option<&'a str>,
    /// Of this object.
    pub object: Option<&'a Entity>,
    /// Of this relation.
    pub relation: Option<&'a str>,
    /// Of exactly this user: a wildcard is not everybody of its type.
    pub user: Option<&'a User>,
}

/// A tuple of a graph and the condition that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTuple {
    /// The tuple.
    pub tuple: RelationshipTuple,
    /// Its condition.
    pub condition: Option<TupleCondition>,
}

/// Where a page goes on: behind the tuple of this edge, object and user.
type At = (EdgeId, Number, Number);

impl Graph {
    /// The tuples that the filter lets in, at most `limit`, from behind `after`.
    ///
    /// Their order is the graph's own: it stays while tuples come and go, and may be another one in a graph that was
    /// built anew. `None` if the graph knows nothing of `after` any more, so that nobody knows what is behind it.
    pub fn tuples(
        &self,
        filter: TupleFilter<'_>,
        after: Option<&RelationshipTuple>,
        limit: usize,
    ) -> Option<Vec<WrittenTuple>> {
        let after = match after {
            None => None,
            Some(tuple) => {
                let placement = Placement::find(&self.model, tuple.into()).ok()?;
                let (object, user) = placement.numbers(tuple.into(), |of, id| self.number(of, id))?;
                Some((placement.edge, object, user))
            }
        };
        let mut found = Vec::new();
        let relations = self.model.all_relations().filter(|(_, relation)| self.is_asked(relation, filter));
        for (_, relation) in relations {
            let of_user = |known: Restriction| filter.user.is_none_or(|user| self.model.lets_in(known, user.into()));
            for (id, restriction) in relation.edges().filter(|(_, known)| of_user(*known)) {
                let Some(edge) = self.edges.get(id as usize).filter(|_| after.is_none_or(|at: At| id >= at.0)) else {
                    continue;
                };
                let after = after.filter(|at| id == at.0).map(|(_, object, user)| (object, user));
                let mut take = |object: Number, user: Number| {
                    found.extend(self.written(relation, restriction, edge, object, user));
                    found.len() < limit
                };
                if limit == 0 || !self.walk(edge, relation, restriction, filter, after, &mut take) {
                    return Some(found);
                }
            }
        }
        Some(found)
    }

    fn is_asked(&self, relation: &Relation, filter: TupleFilter<'_>) -> bool {
        let of = self.model.type_name(relation.object_type());
        filter.relation.is_none_or(|name| relation.name().as_str() == name)
            && filter.object_type.is_none_or(|name| of == name)
            && filter.object.is_none_or(|object| of == object.type_name())
    }

    /// Hands on object and user of the edge's tuples in order, while they are taken.
    fn walk(
        &self,
        edge: &Edge,
        relation: &Relation,
        restriction: Restriction,
        filter: TupleFilter<'_>,
        after: Option<(Number, Number)>,
        take: &mut dyn FnMut(Number, Number) -> bool,
    ) -> bool {
        let is_behind = |object: Number, user: Number| after.is_none_or(|at| (object, user) > at);
        let user = filter.user.map(|user| match user.into() {
            UserParts::Wildcard { .. } => Some(0),
            UserParts::Object { id, .. } | UserParts::Userset { id, .. } => self.number(restriction.user_type, id),
        });
        let object = filter.object.map(|object| self.number(relation.object_type(), object.id()));
        match (object, user) {
            // Nobody has named the one that is asked for.
            (Some(None), _) | (_, Some(None)) => true,
            (Some(Some(object)), Some(Some(user))) => {
                !(edge.has(object, user) && is_behind(object, user)) || take(object, user)
            }
            (Some(Some(object)), None) => users_behind(edge, object, after).all(|user| take(object, user)),
            (None, Some(Some(user))) => {
                let first = after.map_or(0, |at| if (at.0, user) > at { at.0 } else { at.0.saturating_add(1) });
                edge.objects.row(user).ascending_from(first).all(|object| take(object, user))
            }
            (None, None) => {
                // Most objects of a type have none of most relations.
                if edge.users.is_empty() {
                    return true;
                }
                let count = self.interners.get(relation.object_type().index()).map_or(0, Interner::len);
                let objects = after.map_or(0, |(object, _)| object)..u32::try_from(count).unwrap_or(Number::MAX);
                objects.into_iter().all(|object| users_behind(edge, object, after).all(|user| take(object, user)))
            }
        }
    }

    fn written(
        &self,
        relation: &Relation,
        restriction: Restriction,
        edge: &Edge,
        object: Number,
        user: Number,
    ) -> Option<WrittenTuple> {
        let tuple = RelationshipTuple {
            user: self.user(restriction, user)?,
            relation: relation.name().clone(),
            object: self.entity(relation.object_type(), object)?,
        };
        Some(WrittenTuple { tuple, condition: edge.conditions.get(object, user).map(Carried::written).cloned() })
    }
}

/// The users of an object's tuples that are behind this object and user, in order.
fn users_behind(edge: &Edge, object: Number, after: Option<(Number, Number)>) -> impl Iterator<Item = Number> {
    let (row, first) = match after {
        Some((last, _)) if object < last => (Row::EMPTY, 0),
        Some((last, user)) if object == last => (edge.users.row(object), user.saturating_add(1)),
        Some(_) | None => (edge.users.row(object), 0),
    };
    row.ascending_from(first)
}
