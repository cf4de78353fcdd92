//! A policy with the tuples of one request laid over it.

use thiserror::Error;

use super::tuple::TupleProblem;
use crate::access::ContextualTuple;
use crate::policy::{
    engine::Policy,
    graph::{TupleChange, TupleCondition, TupleText},
};

/// A contextual tuple that the model does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("contextual tuple `{user} {relation} {object}` is invalid: {problem}")]
pub struct InvalidContextualTuple {
    /// Which of them, counted from zero.
    pub position: usize,
    /// Its user.
    pub user: String,
    /// Its relation.
    pub relation: String,
    /// Its object.
    pub object: String,
    /// What is wrong with it.
    pub problem: Box<TupleProblem>,
}

impl InvalidContextualTuple {
    fn new(position: usize, tuple: TupleText<'_>, problem: TupleProblem) -> Self {
        let [user, relation, object] = [tuple.user, tuple.relation, tuple.object].map(str::to_owned);
        Self { position, user, relation, object, problem: Box::new(problem) }
    }
}

impl Policy {
    /// This policy with the tuples that a credential tells of. None of them has a condition, and each takes the place of
    /// a stored one, whatever its condition.
    ///
    /// Refuses the first that the model does not allow. Takes time by their number.
    pub fn with_told(&self, tuples: &[ContextualTuple]) -> Result<Self, InvalidContextualTuple> {
        let told = tuples.iter().map(|ContextualTuple { user, relation, object }| TupleText {
            user: user.as_str(),
            relation: relation.as_str(),
            object: object.as_str(),
        });
        for (position, tuple) in told.clone().enumerate() {
            self.validate_tuple(tuple, None)
                .map_err(|problem| InvalidContextualTuple::new(position, tuple, problem))?;
        }
        let (policy, _) = self.with_changes(told.map(|tuple| TupleChange::Write(tuple, None))).map_err(|problem| {
            let first = TupleText { user: "", relation: "", object: "" };
            InvalidContextualTuple::new(0, first, problem.into())
        })?;
        Ok(policy)
    }

    /// This policy with contextual tuples. One with the texts of a stored tuple takes its place, its condition too. Of
    /// two contextual ones the first counts.
    ///
    /// Refuses the first that the model does not allow. Takes time by the number of contextual tuples.
    pub fn with_contextual(
        &self,
        tuples: &[(TupleText<'_>, Option<TupleCondition>)],
    ) -> Result<Self, InvalidContextualTuple> {
        for (position, (tuple, condition)) in tuples.iter().enumerate() {
            self.validate_tuple(*tuple, condition.as_ref())
                .map_err(|problem| InvalidContextualTuple::new(position, *tuple, problem))?;
        }
        let mut policy = None;
        for (position, (tuple, condition)) in tuples.iter().enumerate().rev() {
            let change = TupleChange::Write(*tuple, condition.as_ref());
            let (next, _) = policy
                .as_ref()
                .unwrap_or(self)
                .with_changes([change])
                .map_err(|problem| InvalidContextualTuple::new(position, *tuple, problem.into()))?;
            policy = Some(next);
        }
        Ok(policy.unwrap_or_else(|| self.clone()))
    }
}
