//! The policy engine: from a model and tuples to permits, without clocks, threads or sockets.
#![warn(missing_docs)]

mod check;
mod condition;
mod engine;
mod explain;
mod graph;
mod model;
mod permit;
mod questions;
mod tuple;
mod word;

pub use condition::{
    BoundContext, Condition, ConditionError, ConditionFault, ConditionName, ConditionProblem, ConditionSource,
    ContextMap, ContextValue, EvaluationFault, InvalidConditionName, InvalidContext, NotAnObject, ParameterSource,
    ParameterType, RequestContext, Unconvertible, UndeclaredKeys,
};
pub use engine::{CheckError, Policy, PolicySettings, TaskRule};
pub use explain::{Answer, Explanation, ExplanationNode, NodeKind};
pub use graph::{
    Added, ChangeCounts, Graph, GraphBuilder, SetAside, SetAsideReason, Statistics, TupleChange, TupleCondition,
    TupleFilter, TupleText, WrittenTuple,
};
pub use model::{
    Conditions, MOST_CONDITIONS_OF_A_SERVER, MOST_TYPES_OF_A_SERVER, Model, ModelFault, ModelProblem, ModelSource,
    Origin, Placed, Relation, RelationId, RelationSource, Restriction, RestrictionSource, Rewrite, SchemaVersion,
    Shape, TypeId, TypeSource, UnknownSchema, did_you_mean, nearest,
};
pub use permit::{Denial, Permit};
pub use questions::{
    Interrupt, InvalidContextualTuple, ObjectsQuestion, Searched, TupleProblem, UserFilter, UsersQuestion, Userset,
    UsersetTree,
};
pub use tuple::{InvalidTuple, RelationshipTuple, User};
