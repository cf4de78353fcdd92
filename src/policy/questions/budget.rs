//! The steps that one question of many parts may take.

use std::fmt;

use crate::policy::{
    check::{Circumstances, Failure, Limits, Nobody, Outcome, Question},
    engine::Policy,
};

/// After so many steps it is asked whether to go on.
const STEPS_BETWEEN_LOOKS: u32 = 1_000;

/// So many entries of lists are copied in about the time of a step.
const ENTRIES_A_STEP: usize = 4;

/// Tells a long search to end with what it has found, such as when its time is over.
pub struct Interrupt(Box<dyn Fn() -> bool>);

impl Interrupt {
    /// Lets the search go on to its end.
    pub fn never() -> Self {
        Self(Box::new(|| false))
    }

    /// Ends the search once this is so. It is asked now and then.
    pub fn when(is_over: impl Fn() -> bool + 'static) -> Self {
        Self(Box::new(is_over))
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
}

/// What becomes of an entry of a list that cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecided {
    /// There is no list.
    FailsTheList,
    /// It is not on the list.
    IsLeftOut,
}

/// How many steps are left, for all parts together.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    limits: Limits,
    interrupt: Interrupt,
    // With so many steps left it is asked next.
    next_look: u32,
    is_over: bool,
}

impl Budget {
    /// As many steps as one check may take, until the interrupt.
    pub(super) fn until(policy: &Policy, interrupt: Interrupt) -> Self {
        let limits = policy.limits();
        let left = limits.most_steps;
        Self { left, limits, interrupt, next_look: left.saturating_sub(STEPS_BETWEEN_LOOKS), is_over: false }
    }

    /// Whether it was the interrupt that took the rest of the steps.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes one step.
    pub(super) fn spend(&mut self) -> Result<(), Failure> {
        self.take(1)
    }

    /// Takes the steps for so many entries that are copied from one list to another: time, and memory too.
    pub(super) fn spend_on_entries(&mut self, entries: usize) -> Result<(), Failure> {
        self.take(u32::try_from(entries / ENTRIES_A_STEP).unwrap_or(u32::MAX))
    }

    fn take(&mut self, steps: u32) -> Result<(), Failure> {
        self.left = self.left.checked_sub(steps).ok_or(Failure::Steps)?;
        self.look();
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
        self.look();
        outcome
    }

    fn look(&mut self) {
        if self.left > self.next_look {
            return;
        }
        self.next_look = self.left.saturating_sub(STEPS_BETWEEN_LOOKS);
        if (self.interrupt.0)() {
            self.left = 0;
            self.is_over = true;
        }
    }
}
