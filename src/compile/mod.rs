
mod expression;
mod lexer;
mod model;
mod parser;
mod report;

pub use model::model;
