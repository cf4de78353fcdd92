//! What a body says, read strictly or not at all.
#![warn(missing_docs)]

mod json;

pub use json::{Json, JsonLimits, JsonProblem, MemberProblem, parse_json};
