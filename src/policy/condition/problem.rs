//! Why a condition is refused, and why one cannot be decided.

use thiserror::Error;

use super::source::ConditionName;

/// The most characters that an expression may have (cel-go's limit).
pub(super) const LONGEST_EXPRESSION: usize = 100_000;
/// The most levels that an expression may be nested (cel-go's limit).
pub(super) const DEEPEST_EXPRESSION: usize = 250;
/// The most that one evaluation may cost (OpenFGA's limit).
pub(super) const HIGHEST_COST: u64 = 100;

/// What is wrong with a condition as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionFault {
    /// A text longer than any expression may be.
    #[error("the expression is longer than {LONGEST_EXPRESSION} characters")]
    TooLong,
    /// Parentheses, calls or chains of operators without end.
    #[error("the expression is nested more than {DEEPEST_EXPRESSION} levels deep")]
    TooDeep,
    /// Types that grow without end.
    #[error("the types in the expression are too complex")]
    TooComplex,
    /// A sign, number or quoted text that CEL does not know.
    #[error("`{0}` cannot be read")]
    Unreadable(String),
    /// A word where another is needed.
    #[error("expected {0}")]
    Expected(&'static str),
    /// An integer that does not fit 64 bits.
    #[error("`{0}` does not fit 64 bits")]
    NumberTooLarge(String),
    /// A part of CEL that conditions do not have.
    #[error("{0} are not supported in conditions")]
    Unsupported(&'static str),
    /// A name that is neither a parameter nor a variable of a loop.
    #[error("`{0}` is not a parameter of this condition")]
    UnknownName(String),
    /// A function that CEL does not have.
    #[error("`{0}` is not a function")]
    UnknownFunction(String),
    /// Arguments of types that the function does not take.
    #[error("`{function}` does not take ({arguments})")]
    NoOverload {
        /// The function or operator.
        function: String,
        /// The types it was given.
        arguments: String,
    },
    /// `x.field` on something that has no fields.
    #[error("a value of type {0} has no fields")]
    NoFields(String),
    /// A loop over something that has no elements.
    #[error("a value of type {0} has no elements")]
    NoElements(String),
    /// An operand that must be true or false, and is not.
    #[error("expected a bool, not {0}")]
    NotBool(String),
    /// An expression whose answer is not true or false.
    #[error("the expression gives {0}, and a condition must give a bool")]
    AnswerNotBool(String),
    /// A constant that its conversion refuses: `duration("soon")`.
    #[error("the constant cannot be converted: {0}")]
    BadConstant(EvaluationFault),
    /// A regular expression that is not one.
    #[error("`{0}` is not a regular expression")]
    BadPattern(String),
    /// A parameter that is declared twice.
    #[error("parameter `{0}` is already declared")]
    DuplicateParameter(String),
    /// More parameters than a condition may have.
    #[error("the condition has more than {0} parameters")]
    TooManyParameters(usize),
}

/// A fault, and where in the expression it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct ConditionProblem {
    /// The byte of the expression where the fault stands, or `None` if it is not in the expression.
    pub offset: Option<usize>,
    /// What is wrong.
    pub fault: ConditionFault,
}

impl ConditionProblem {
    pub(super) fn new(offset: usize, fault: ConditionFault) -> Self {
        Self { offset: Some(offset), fault }
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvaluationFault {
    /// Values of types that the operator or function does not take.
    #[error("an operand has a type that its operator does not take")]
    NoOverload,
    /// A map without that key.
    #[error("a map has no such key")]
    NoSuchKey,
    /// A list without that index.
    #[error("an index is out of bounds")]
    IndexOutOfBounds,
    /// A result that does not fit its type.
    #[error("a number, time or duration overflows")]
    Overflow,
    /// `x / 0` or `x % 0`.
    #[error("a number is divided by zero")]
    DivisionByZero,
    /// A text that is not a number, a time, or what else it should become.
    #[error("a text cannot be converted")]
    BadConversion,
    /// A text that is not a regular expression, or one too large to be tried.
    #[error("a text is not a regular expression")]
    BadPattern,
    /// A text that is not an address.
    #[error("a text is not an IP address")]
    BadAddress,
    /// A text that is not a network.
    #[error("a text is not a CIDR")]
    BadNetwork,
    /// A time zone that is neither an offset nor a known name.
    #[error("a time zone is not known")]
    UnknownTimeZone,
    /// The cost limit was reached. No `||` rescues an evaluation from it.
    #[error("the evaluation costs more than {HIGHEST_COST}")]
    CostExceeded,
    /// Loops that cost nothing, but never end.
    #[error("the evaluation takes too many steps")]
    TooManySteps,
}

impl EvaluationFault {
    /// Whether the evaluation must end here, whatever else might be true.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::CostExceeded | Self::TooManySteps)
    }
}

/// Why a value from a context cannot be a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unconvertible {
    /// A value of another kind: a list for a string, `null` for anything but `any`.
    #[error("has a value of another type")]
    WrongKind,
    /// A text or number that the type cannot hold: `1.5` for an int, `soon` for a duration.
    #[error("has a value that cannot be read as one")]
    BadValue,
}

/// Why a condition cannot be decided. None of these is a refusal: the answer is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// Declared parameters that neither context gives.
    #[error("condition `{condition}` is missing {}", list(.parameters))]
    Missing {
        /// The condition.
        condition: ConditionName,
        /// The parameters.
        parameters: Vec<String>,
    },
    /// A context for a condition that declares no parameters.
    #[error("condition `{0}` has no parameters, but a context was given")]
    NoParameters(ConditionName),
    /// A value that is not of its parameter's type.
    #[error("parameter `{parameter}` of condition `{condition}` is of type {expected} and {problem}")]
    Unconvertible {
        /// The condition.
        condition: ConditionName,
        /// The parameter.
        parameter: String,
        /// Its type.
        expected: String,
        /// What is wrong with the value.
        problem: Unconvertible,
    },
    /// An expression without a value.
    #[error("condition `{condition}` failed: {fault}")]
    Failed {
        /// The condition.
        condition: ConditionName,
        /// Why.
        fault: EvaluationFault,
    },
}

/// Keys of a tuple's context that its condition does not declare: the tuple is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("condition `{condition}` does not declare {}", list(.keys))]
pub struct UndeclaredKeys {
    /// The condition.
    pub condition: ConditionName,
    /// The keys.
    pub keys: Vec<String>,
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
