//! Documents that people write become models and tuples, or diagnostics.

mod expression;
mod lexer;
mod model;
mod parser;
mod report;
mod tuples;

pub use model::model;
pub use tuples::{TupleFormat, TupleReader};
