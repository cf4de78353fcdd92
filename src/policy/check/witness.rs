//! Watches an evaluation, or does not.

use super::verdict::{Truth, Verdict};
use crate::policy::{
    graph::{EdgeId, Number},
    model::RelationId,
};

/// A part of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Step {
    /// Whether the user has the relation on the object.
    Relation(RelationId, Number),
    Any,
    All,
    Except,
    /// Tuples that name the user or its wildcard.
    Exact,
    /// A tuple that names a userset.
    Userset {
        edge: EdgeId,
        object: Number,
        user: Number,
    },
    /// A tuple that names another object.
    Tupleset {
        edge: EdgeId,
        object: Number,
        user: Number,
    },
}

/// What may be said about a step beside its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Remark {
    /// The user is this very userset.
    Itself,
    /// No user of this kind can ever have the relation.
    OutOfReach,
    /// The path is back where it was.
    Cycle,
    /// The same question was answered before.
    Repeated,
    /// Too many hops.
    TooDeep,
    /// A tuple was found.
    Tuple { edge: EdgeId, object: Number, user: Number },
    /// A tuple was found that carries a condition, and what that came to.
    Conditional { edge: EdgeId, object: Number, user: Number, truth: Truth },
}

/// Is told of each step of an evaluation.
pub(in crate::policy) trait Witness {
    /// Whether it wants to be told.
    const WATCHES: bool;

    fn open(&mut self, step: Step);
    fn remark(&mut self, remark: Remark);
    fn close(&mut self, verdict: Verdict);
}

/// Nobody watches: all of it is compiled away.
#[derive(Debug, Default)]
pub(in crate::policy) struct Nobody;

impl Witness for Nobody {
    const WATCHES: bool = false;

    fn open(&mut self, _: Step) {}
    fn remark(&mut self, _: Remark) {}
    fn close(&mut self, _: Verdict) {}
}

/// A step that was watched, and the steps within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Watched {
    pub(in crate::policy) step: Step,
    pub(in crate::policy) truth: Truth,
    pub(in crate::policy) remark: Option<Remark>,
    pub(in crate::policy) children: Vec<Self>,
    /// Steps that were not kept because there were too many.
    pub(in crate::policy) omitted: usize,
}

/// Keeps the steps that made a verdict: of a union that holds only the operand that holds, and so on.
#[derive(Debug, Default)]
pub(in crate::policy) struct Recorder {
    path: Vec<Watched>,
    root: Option<Watched>,
}

/// How many parts of a step are kept.
const MOST_CHILDREN: usize = 20;

impl Recorder {
    /// The whole evaluation.
    pub(in crate::policy) fn into_watched(self, truth: Truth) -> Watched {
        let nothing = Watched { step: Step::Any, truth, remark: None, children: Vec::new(), omitted: 0 };
        self.root.unwrap_or(nothing)
    }
}

impl Witness for Recorder {
    const WATCHES: bool = true;

    fn open(&mut self, step: Step) {
        self.path.push(Watched { step, truth: Truth::False, remark: None, children: Vec::new(), omitted: 0 });
    }

    fn remark(&mut self, remark: Remark) {
        if let Some(last) = self.path.last_mut() {
            last.remark = Some(remark);
        }
    }

    fn close(&mut self, verdict: Verdict) {
        let Some(mut done) = self.path.pop() else { return };
        done.truth = verdict.truth();
        match (done.step, done.truth) {
            (Step::Any | Step::Relation(..), Truth::True) => done.children.retain(|child| child.truth == Truth::True),
            (Step::All, Truth::False) if done.children.iter().any(|child| child.truth == Truth::False) => {
                done.children.retain(|child| child.truth == Truth::False);
            }
            _ => {}
        }
        match self.path.last_mut() {
            None => self.root = Some(done),
            // What holds is always kept: it may be what the verdict rests on.
            Some(above) if above.children.len() < MOST_CHILDREN || done.truth == Truth::True => {
                above.children.push(done);
            }
            Some(above) => above.omitted += 1,
        }
    }
}
