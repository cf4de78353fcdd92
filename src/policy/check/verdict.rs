//! The three values of an evaluation, and how operators combine them.

/// Why an evaluation could not come to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::policy) enum Failure {
    /// More hops than the bound.
    Depth,
    /// More steps than the bound.
    Steps,
    /// A tuple's condition has no answer.
    Condition,
}

/// True, false, or no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::policy) enum Truth {
    True,
    False,
    Error(Failure),
}

/// A value and what it rests on.
///
/// A false that rests on a cycle cut is false only as long as the frame that the cycle came back to is not decided. An
/// exclusion does not take it for a no: `a but not b` is then false (fail closed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Verdict {
    pub(super) truth: Truth,
    /// The lowest frame that a cut cycle came back to, or `CLOSED`, as it always is unless this is false.
    pub(super) low: u32,
    /// How many hops below the node were looked at.
    pub(super) height: u8,
}

/// No cycle is open.
pub(super) const CLOSED: u32 = u32::MAX;

impl Verdict {
    pub(super) const TRUE: Self = Self { truth: Truth::True, low: CLOSED, height: 0 };
    pub(super) const FALSE: Self = Self { truth: Truth::False, low: CLOSED, height: 0 };

    pub(super) const fn error(failure: Failure) -> Self {
        Self { truth: Truth::Error(failure), low: CLOSED, height: 0 }
    }

    /// False, because the path is back at this frame.
    pub(super) fn cut(frame: usize) -> Self {
        Self { truth: Truth::False, low: u32::try_from(frame).unwrap_or(0), height: 0 }
    }

    /// What it says.
    pub(in crate::policy) const fn truth(self) -> Truth {
        self.truth
    }

    pub(super) fn is_true(self) -> bool {
        self.truth == Truth::True
    }

    /// False, whatever the frames above will be.
    pub(super) fn is_plainly_false(self) -> bool {
        self.truth == Truth::False && self.low == CLOSED
    }

    /// Of two operands of a union, neither true: an error beats false.
    pub(super) fn or(self, other: Self) -> Self {
        let truth = if matches!(self.truth, Truth::Error(_)) { self.truth } else { other.truth };
        self.with(other, truth)
    }

    /// Of two operands of an intersection, neither plainly false: an open false beats an error, an error beats true.
    pub(super) fn and(self, other: Self) -> Self {
        let truth = match (self.truth, other.truth) {
            (Truth::False, _) | (_, Truth::False) => Truth::False,
            (Truth::Error(failure), _) | (_, Truth::Error(failure)) => Truth::Error(failure),
            (Truth::True, Truth::True) => Truth::True,
        };
        self.with(other, truth)
    }

    /// The base, not plainly false, without the subtracted.
    pub(super) fn but_not(self, subtracted: Self) -> Self {
        let truth = match (self.truth, subtracted.truth) {
            (_, Truth::True) => return Self { height: self.height.max(subtracted.height), ..Self::FALSE },
            (Truth::Error(failure), Truth::False | Truth::Error(_)) => Truth::Error(failure),
            (Truth::False, Truth::False | Truth::Error(_)) => Truth::False,
            (Truth::True, Truth::Error(failure)) => Truth::Error(failure),
            // An open false in the subtrahend is recursion through negation.
            (Truth::True, Truth::False) if subtracted.low == CLOSED => Truth::True,
            (Truth::True, Truth::False) => Truth::False,
        };
        self.with(subtracted, truth)
    }

    /// One hop further up.
    pub(super) fn after_hop(self) -> Self {
        Self { height: self.height.saturating_add(1), ..self }
    }

    /// The same at the frame `own`, which is decided now.
    pub(super) fn closed_at(self, own: usize) -> Self {
        let is_open_above = usize::try_from(self.low).is_ok_and(|low| low < own);
        Self { low: if is_open_above { self.low } else { CLOSED }, ..self }
    }

    fn with(self, other: Self, truth: Truth) -> Self {
        // Only a false rests on a frame. What an error met on its way must not make open what is false without it.
        let low = if truth == Truth::False { self.low.min(other.low) } else { CLOSED };
        Self { truth, low, height: self.height.max(other.height) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: Verdict = Verdict::error(Failure::Depth);
    const OPEN: Verdict = Verdict { truth: Truth::False, low: 3, height: 0 };

    #[test]
    fn an_error_is_never_a_no_inside_an_exclusion() {
        assert_eq!(Verdict::TRUE.but_not(ERROR).truth, Truth::Error(Failure::Depth));
        assert_eq!(ERROR.but_not(Verdict::FALSE).truth, Truth::Error(Failure::Depth));
        assert_eq!(ERROR.but_not(OPEN).truth, Truth::Error(Failure::Depth));
        assert!(ERROR.but_not(Verdict::TRUE).is_plainly_false());
        assert!(Verdict::TRUE.but_not(Verdict::FALSE).is_true());
    }

    #[test]
    fn a_cycle_through_an_exclusion_fails_closed() {
        let verdict = Verdict::TRUE.but_not(OPEN);
        assert_eq!((verdict.truth, verdict.low), (Truth::False, 3));
        assert!(verdict.closed_at(3).is_plainly_false());
        assert!(!verdict.closed_at(4).is_plainly_false());
    }

    #[test]
    fn an_error_opens_nothing_that_is_false_without_it() {
        // Whatever became of frame 3, the second operand is false once frame 5 is.
        let inner = Verdict { low: 5, ..OPEN };
        let verdict = OPEN.or(ERROR).and(inner);
        assert_eq!((verdict.truth, verdict.low), (Truth::False, 5));
        assert!(Verdict::TRUE.but_not(verdict.closed_at(5)).is_true());
        // Without the error, both may be why it is false.
        assert_eq!(OPEN.and(inner).low, 3);
    }

    #[test]
    fn unions_and_intersections_follow_kleene() {
        assert_eq!(Verdict::FALSE.or(ERROR).truth, ERROR.truth);
        assert_eq!(OPEN.or(ERROR).truth, ERROR.truth);
        assert_eq!(OPEN.or(Verdict::FALSE).low, 3);
        assert_eq!(Verdict::TRUE.and(ERROR).truth, ERROR.truth);
        assert_eq!(ERROR.and(OPEN).truth, Truth::False);
        assert!(Verdict::TRUE.and(Verdict::TRUE).is_true());
    }
}
