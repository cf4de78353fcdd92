//! The steps that one question of many parts may take.

use crate::policy::{
    check::{Circumstances, Failure, Limits, Nobody, Outcome, Question},
    engine::Policy,
};

/// What becomes of an entry of a list that cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecided {
    /// There is no list.
    FailsTheList,
    /// It is not on the list.
    IsLeftOut,
}

/// How many steps are left, for all parts together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    left: u32,
    limits: Limits,
}

impl Budget {
    /// As many steps as one check may take.
    pub(super) fn new(policy: &Policy) -> Self {
        let limits = policy.limits();
        Self { left: limits.most_steps, limits }
    }

    /// Takes one step.
    pub(super) fn spend(&mut self) -> Result<(), Failure> {
        self.left = self.left.checked_sub(1).ok_or(Failure::Steps)?;
        Ok(())
    }

    /// Answers a part of the question with the steps that are left.
    pub(super) fn evaluate<'p>(
        &mut self,
        policy: &'p Policy,
        question: Question,
        circumstances: Circumstances<'p, '_>,
    ) -> Outcome<Nobody> {
        let limits = Limits { most_steps: self.left, ..self.limits };
        let outcome = policy.evaluate_within(limits, question, circumstances, Nobody);
        self.left = self.left.saturating_sub(outcome.steps);
        outcome
    }
}
