mod expression;
mod json;
mod lexer;
mod model;
mod parser;
mod report;
mod tuples;
mod yaml;

pub use model::model;
pub use tuples::{TupleDocument, TupleFormat, tuples};
