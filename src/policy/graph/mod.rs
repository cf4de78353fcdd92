//! The relationship graph: tuples as numbers, sorted both ways.

mod builder;
mod interner;
mod rows;
mod store;

pub use builder::{Added, GraphBuilder};
pub(in crate::policy) use store::{EdgeId, Number, UNKNOWN};
pub use store::{Graph, SetAside, SetAsideReason, Statistics};
