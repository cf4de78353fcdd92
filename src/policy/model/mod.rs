//! The model: types, relations and the rules that compute them.

mod conditions;
mod entrypoint;
mod lookup;
mod nearest;
mod rewrite;
mod schema;
mod source;
mod validate;

pub use conditions::Conditions;
pub use nearest::{did_you_mean, nearest};
pub use rewrite::Rewrite;
pub use schema::{Model, Relation, RelationId, Restriction, TypeId};
pub use source::{
    ModelSource, Origin, Placed, RelationSource, RestrictionSource, SchemaVersion, Shape, TypeSource, UnknownSchema,
};
pub use validate::{MOST_CONDITIONS_OF_A_SERVER, MOST_TYPES_OF_A_SERVER, ModelFault, ModelProblem};
