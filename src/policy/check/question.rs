//! What is asked, and how much the answer may take.

use super::{plan::Hop, verdict::Truth};
use crate::policy::{
    condition::{ConditionError, RequestContext},
    graph::{Located, Number, Row},
    model::{RelationId, TypeId},
};

/// Who is asked about, for a whole evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Subject {
    Object { user_type: TypeId, number: Number },
    Wildcard { user_type: TypeId },
    Userset { relation: RelationId, number: Number },
}

/// Whether the subject has the relation on the object.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Question {
    pub(in crate::policy) subject: Subject,
    pub(in crate::policy) relation: RelationId,
    pub(in crate::policy) object: Located,
}

/// How much one evaluation may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Limits {
    pub(in crate::policy) most_steps: u32,
    pub(in crate::policy) steps_before_memory: u32,
}

/// What conditions are told, and what becomes of those that have no answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Circumstances<'a, 'q> {
    pub(in crate::policy) context: &'q RequestContext<'a>,
    pub(in crate::policy) unanswered: Unanswered,
}

/// What becomes of a condition that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Unanswered {
    /// It is an error, as it must be wherever something is decided.
    Fails,
    /// It is taken to hold: what is true even so may be asked about again.
    Holds,
}

/// What an evaluation came to.
#[derive(Debug)]
pub(in crate::policy) struct Outcome<W> {
    pub(in crate::policy) truth: Truth,
    pub(in crate::policy) witness: W,
    /// How many steps it took.
    pub(in crate::policy) steps: u32,
    /// Why the first condition without an answer has none.
    pub(in crate::policy) fault: Option<ConditionError>,
}

/// The tuples of an object that lead to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuples<'a> {
    pub(super) hop: Hop,
    pub(super) object: Number,
    pub(super) users: Row<'a>,
}
