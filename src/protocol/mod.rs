//! What a body says, read strictly or not at all.
#![warn(missing_docs)]

mod edit;
mod json;

pub use edit::{Edit, EditChange, edited};
pub use json::{Json, JsonLimits, JsonProblem, MemberProblem, parse_json};
