//! Conditions: expressions that decide from a context whether a tuple counts.

mod compiled;
mod context;
mod conversion;
mod eval;
mod number;
mod problem;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod typing;

pub use compiled::{BoundContext, Condition, RequestContext};
pub use context::{ContextMap, ContextValue, InvalidContext, NotAnObject};
pub use problem::{ConditionError, ConditionFault, ConditionProblem, EvaluationFault, Unconvertible, UndeclaredKeys};
pub use source::{ConditionName, ConditionSource, InvalidConditionName, ParameterSource, ParameterType};
