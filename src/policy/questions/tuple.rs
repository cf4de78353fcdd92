//! Whether a tuple may be written under the model.

use thiserror::Error;

use crate::{
    access::{Entity, InvalidName, RelationName},
    policy::{
        condition::{Condition, ConditionError, ConditionName, ContextMap, InvalidContext, UndeclaredKeys},
        engine::Policy,
        graph::{TupleCondition, TupleText},
        model::{Model, Relation},
        tuple::{InvalidTuple, User},
    },
};

/// Why a tuple may not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TupleProblem {
    /// No tuple can have these texts.
    #[error(transparent)]
    Malformed(#[from] InvalidTuple),
    /// The model has no such type of object or user.
    #[error("type `{0}` not found")]
    UnknownType(String),
    /// The type of the object or of the userset has no such relation.
    #[error("relation `{0}#{1}` not found")]
    UnknownRelation(String, String),
    /// The relation does not let in such users.
    #[error("`{user}` is not an allowed user of relation `{relation}`")]
    UserNotAllowed {
        /// The user.
        user: String,
        /// The relation, with its type.
        relation: String,
    },
    /// The relation lets in such users under a condition only.
    #[error("condition is missing")]
    ConditionMissing,
    /// The model has no such condition.
    #[error("condition `{0}` is not defined")]
    UnknownCondition(ConditionName),
    /// The relation does not let in users of this type under this condition.
    #[error("condition `{0}` is not allowed here")]
    ConditionNotAllowed(ConditionName),
    /// The context is not a JSON object.
    #[error("the context is malformed: {0}")]
    MalformedContext(InvalidContext),
    /// The context names what the condition does not declare.
    #[error(transparent)]
    UndeclaredContext(UndeclaredKeys),
    /// A value of the context is not of its parameter's type.
    #[error(transparent)]
    Unconvertible(ConditionError),
}

impl TupleProblem {
    /// Whether the tuple would be right with another condition, or with none.
    pub const fn is_of_condition(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::UnknownType(_) | Self::UnknownRelation(..) | Self::UserNotAllowed { .. } => {
                false
            }
            Self::ConditionMissing
            | Self::UnknownCondition(_)
            | Self::ConditionNotAllowed(_)
            | Self::MalformedContext(_)
            | Self::UndeclaredContext(_)
            | Self::Unconvertible(_) => true,
        }
    }
}

impl TupleText<'_> {
    /// Whether the tuple holds by itself, because its user is the very userset that it is about: `o#r` has `r` on `o`.
    /// OpenFGA does not store such tuples, and takes them as contextual ones.
    pub fn is_implicit(&self) -> bool {
        let own = self.user.rsplit_once('#');
        own.is_some_and(|(object, relation)| object == self.object && relation == self.relation)
    }
}

impl Policy {
    /// Checks a tuple by the rules of OpenFGA's `Write`, or says what is wrong with it. What
    /// [`is_implicit`](TupleText::is_implicit) is not refused.
    pub fn validate_tuple(&self, tuple: TupleText<'_>, condition: Option<&TupleCondition>) -> Result<(), TupleProblem> {
        let model = self.model();
        let user: User = tuple.user.parse()?;
        match &user {
            User::Object(object) => known_type(model, object.type_name())?,
            User::Wildcard(user_type) => known_type(model, user_type.as_str())?,
            User::Userset(object, relation) => {
                known_relation(model, object.type_name(), relation.as_str())?;
            }
        }
        let (object_type, _) = Entity::split(tuple.object).map_err(InvalidTuple::Object)?;
        if !RelationName::is_valid(tuple.relation) {
            return Err(InvalidTuple::Relation(InvalidName::Relation(tuple.relation.to_owned())).into());
        }
        let relation = known_relation(model, object_type, tuple.relation)?;
        let mut restrictions = relation.restrictions().iter().copied();
        let Some(restriction) = restrictions.find(|known| model.lets_in(*known, (&user).into())) else {
            let relation = format!("{object_type}#{}", tuple.relation);
            return Err(TupleProblem::UserNotAllowed { user: tuple.user.to_owned(), relation });
        };
        match condition {
            None if relation.allows_unconditioned(restriction) => Ok(()),
            None => Err(TupleProblem::ConditionMissing),
            Some(TupleCondition { name, context }) => {
                let Some(condition) = model.conditions().get(name.as_str()) else {
                    return Err(TupleProblem::UnknownCondition(name.clone()));
                };
                if !relation.allows_condition(restriction.user_type, name.as_str()) {
                    return Err(TupleProblem::ConditionNotAllowed(name.clone()));
                }
                check_context(condition, context)
            }
        }
    }
}

fn check_context(condition: &Condition, context: &str) -> Result<(), TupleProblem> {
    if context.is_empty() {
        return Ok(());
    }
    let context: ContextMap = context.parse().map_err(TupleProblem::MalformedContext)?;
    let bound = condition.bind(&context).map_err(TupleProblem::UndeclaredContext)?;
    condition.misfit(&bound).map_or(Ok(()), |misfit| Err(TupleProblem::Unconvertible(misfit)))
}

fn known_type(model: &Model, name: &str) -> Result<(), TupleProblem> {
    if model.has_type(name) { Ok(()) } else { Err(TupleProblem::UnknownType(name.to_owned())) }
}

fn known_relation<'m>(model: &'m Model, type_name: &str, relation: &str) -> Result<&'m Relation, TupleProblem> {
    let type_id = model.type_id(type_name).ok_or_else(|| TupleProblem::UnknownType(type_name.to_owned()))?;
    let id = model.relation_id(type_id, relation);
    let unknown = || TupleProblem::UnknownRelation(type_name.to_owned(), relation.to_owned());
    id.and_then(|id| model.relation(id)).ok_or_else(unknown)
}
