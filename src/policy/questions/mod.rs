//! Questions beside check: overlays of tuples, lists of objects and users, and the tuples below a relation.

mod budget;
mod closure;
mod contextual;
mod expansion;
mod objects;
#[cfg(test)]
mod tests;
mod tree;
mod tuple;
mod users;

pub use budget::Interrupt;
pub use contextual::InvalidContextualTuple;
pub use objects::{ObjectsQuestion, Searched};
pub use tree::{Userset, UsersetTree};
pub use tuple::TupleProblem;
pub use users::{UserFilter, UsersQuestion};
