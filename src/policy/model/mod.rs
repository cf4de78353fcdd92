//! The model: types, relations and the rules that compute them.

mod entrypoint;
mod nearest;
mod rewrite;
mod schema;
mod source;
mod validate;

pub use nearest::{did_you_mean, nearest};
pub use rewrite::Rewrite;
pub use schema::{Model, Relation, RelationId, Restriction, TypeId};
pub use source::{ModelSource, Placed, RelationSource, RestrictionSource, Shape, TypeSource};
pub use validate::{ModelFault, ModelProblem};
