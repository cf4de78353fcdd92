//! Where a tuple belongs in the graph, or why it does not belong there.

use super::{
    condition::TupleCondition,
    store::{EdgeId, Number},
};
use crate::{
    access::{InvalidName, RelationName},
    policy::{
        model::{Model, RelationId, Restriction, TypeId},
        tuple::{InvalidTuple, RelationshipTuple, UserParts},
    },
};

/// How many tuples of a kind are kept as examples.
pub(super) const MOST_EXAMPLES: usize = 100;

/// Why a tuple was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetAsideReason {
    /// The model has no such type of object.
    UnknownType,
    /// The type has no such relation.
    UnknownRelation,
    /// The relation does not let in such users.
    UserNotAllowed,
    /// The relation does not let in such users under this condition, or without one.
    ConditionNotAllowed,
    /// The tuple's context names what its condition does not declare.
    UndeclaredContext,
}

/// A tuple that the model does not allow, so that no decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The tuple.
    pub tuple: RelationshipTuple,
    /// What the model says against it.
    pub reason: SetAsideReason,
}

/// A tuple taken apart without keeping it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TupleParts<'a> {
    pub(super) user: UserParts<'a>,
    pub(super) relation: &'a str,
    pub(super) object_type: &'a str,
    pub(super) object_id: &'a str,
}

impl<'a> From<&'a RelationshipTuple> for TupleParts<'a> {
    fn from(tuple: &'a RelationshipTuple) -> Self {
        Self {
            user: (&tuple.user).into(),
            relation: tuple.relation.as_str(),
            object_type: tuple.object.type_name(),
            object_id: tuple.object.id(),
        }
    }
}

/// The restriction of the model that lets a tuple in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    pub(super) object_type: TypeId,
    pub(super) relation: RelationId,
    pub(super) edge: EdgeId,
    pub(super) restriction: Restriction,
}

impl Placement {
    /// Finds the restriction, whatever its condition, or why there is none.
    pub(super) fn find(model: &Model, tuple: TupleParts<'_>) -> Result<Self, SetAsideReason> {
        let object_type = model.type_id(tuple.object_type).ok_or(SetAsideReason::UnknownType)?;
        let relation = model.relation_id(object_type, tuple.relation).ok_or(SetAsideReason::UnknownRelation)?;
        let mut edges = model.relation(relation).ok_or(SetAsideReason::UnknownRelation)?.edges();
        let found = edges.find(|(_, known)| model.lets_in(*known, tuple.user));
        let (edge, restriction) = found.ok_or(SetAsideReason::UserNotAllowed)?;
        Ok(Self { object_type, relation, edge, restriction })
    }

    /// Refuses a tuple whose condition, or lack of one, the relation does not let in.
    pub(super) fn check_condition(
        &self,
        model: &Model,
        condition: Option<&TupleCondition>,
    ) -> Result<(), SetAsideReason> {
        let relation = model.relation(self.relation).ok_or(SetAsideReason::UnknownRelation)?;
        let is_allowed = match condition {
            Some(condition) => relation.allows_condition(self.restriction.user_type, condition.name.as_str()),
            None => relation.allows_unconditioned(self.restriction),
        };
        if is_allowed { Ok(()) } else { Err(SetAsideReason::ConditionNotAllowed) }
    }

    /// The numbers of the tuple's object and user, by what numbers the ids of a type.
    pub(super) fn numbers(
        &self,
        tuple: TupleParts<'_>,
        mut number: impl FnMut(TypeId, &str) -> Option<Number>,
    ) -> Option<(Number, Number)> {
        let object = number(self.object_type, tuple.object_id)?;
        let user = match tuple.user {
            UserParts::Wildcard { .. } => 0,
            UserParts::Object { id, .. } | UserParts::Userset { id, .. } => number(self.restriction.user_type, id)?,
        };
        Some((object, user))
    }
}

/// The tuples that are not in the graph: how many there are, and the first of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside {
    pub(super) count: usize,
    pub(super) examples: Vec<SetAside>,
}

impl Aside {
    /// Counts a tuple. Refuses one whose relation is no name.
    pub(super) fn add(&mut self, tuple: TupleParts<'_>, reason: SetAsideReason) -> Result<(), InvalidTuple> {
        refuse_malformed(tuple)?;
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(SetAside { tuple: whole(tuple)?, reason });
        }
        self.count += 1;
        Ok(())
    }

    /// Takes back a tuple that was counted.
    pub(super) fn remove(&mut self, tuple: TupleParts<'_>) -> Result<(), InvalidTuple> {
        refuse_malformed(tuple)?;
        let tuple = whole(tuple)?;
        self.examples.retain(|example| example.tuple != tuple);
        self.count = self.count.saturating_sub(1);
        Ok(())
    }
}

fn refuse_malformed(tuple: TupleParts<'_>) -> Result<(), InvalidTuple> {
    if RelationName::is_valid(tuple.relation) {
        return Ok(());
    }
    Err(InvalidTuple::Relation(InvalidName::Relation(tuple.relation.to_owned())))
}

fn whole(tuple: TupleParts<'_>) -> Result<RelationshipTuple, InvalidTuple> {
    let object = format!("{}:{}", tuple.object_type, tuple.object_id);
    RelationshipTuple::parse(&tuple.user.to_text(), tuple.relation, &object)
}
