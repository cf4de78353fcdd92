//! The relationship graph: tuples as numbers, sorted both ways.

mod builder;
mod change;
mod compact;
mod condition;
mod names;
mod packed;
mod pages;
mod pairs;
mod persistent;
mod placement;
mod queue;
mod rows;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use builder::{Added, GraphBuilder};
pub use change::{ChangeCounts, TupleChange, TupleText};
pub(in crate::policy) use condition::Carried;
pub use condition::TupleCondition;
pub(in crate::policy) use names::Located;
pub use pages::{TupleFilter, WrittenTuple};
pub use placement::{SetAside, SetAsideReason};
pub(in crate::policy) use rows::Row;
pub(in crate::policy) use store::{EdgeId, Number, UNKNOWN};
pub use store::{Graph, Statistics};
