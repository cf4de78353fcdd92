//! What a GraphQL request asks for: one operation, its top-level fields and their arguments.

mod document;
mod expansion;
mod limits;
mod problem;
mod request;
mod shape;
mod text;
mod value;
mod variables;

pub use limits::GraphQlLimits;
pub use problem::GraphQlProblem;
pub use request::{GraphQlField, GraphQlKind, GraphQlRequest};
