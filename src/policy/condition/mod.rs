//! Conditions: expressions that decide from a context whether a tuple counts.

mod source;

pub use source::{ConditionName, ConditionSource, InvalidConditionName, ParameterSource, ParameterType};
