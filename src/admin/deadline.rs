//! The time that one request may take.

use std::time::{Duration, Instant};

use crate::policy::Interrupt;

/// How long many questions, or a list, may take (OpenFGA's limit for lists). What was found by then counts.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(3);

/// When the work for one request ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// The end of the time that begins now.
    pub(super) fn from_now() -> Self {
        Self(Instant::now() + ANSWER_TIME)
    }

    /// Whether the time is over.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }

    /// What ends a search when the time is over.
    pub(super) fn interrupt(self) -> Interrupt {
        Interrupt::when(move || self.is_over())
    }
}

#[cfg(test)]
impl Deadline {
    /// A deadline that is over.
    pub(super) fn over() -> Self {
        Self(Instant::now())
    }
}
