mod expression;
mod json;
mod lexer;
mod model;
mod parser;
mod plain;
mod report;
mod seen;
mod tuples;
mod yaml;

pub use model::model;
pub use tuples::{TakeTuple, TupleFormat, TuplesRead, repetitions, tuples};
