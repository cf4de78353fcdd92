//! What is asked, and how much the answer may take.

use super::plan::Hop;
use crate::policy::{
    graph::{Number, Row},
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
    pub(in crate::policy) object: Number,
}

/// How much one evaluation may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Limits {
    pub(in crate::policy) most_steps: u32,
    pub(in crate::policy) steps_before_memory: u32,
}

/// The tuples of an object that lead to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuples<'a> {
    pub(super) hop: Hop,
    pub(super) object: Number,
    pub(super) users: Row<'a>,
}
