//! Answers whether a user has a relation on an object.

mod conditional;
mod evaluator;
mod memo;
mod plan;
mod question;
mod reach;
mod recursion;
mod unions;
mod verdict;
mod ways;
mod witness;

pub(in crate::policy) use evaluator::Evaluator;
pub(in crate::policy) use plan::Plans;
pub(in crate::policy) use question::{Circumstances, Limits, Outcome, Question, Subject, Unanswered};
pub(in crate::policy) use verdict::{Failure, Truth};
pub(in crate::policy) use ways::Way;
pub(in crate::policy) use witness::{Nobody, Recorder, Remark, Step, Watched, Witness};
