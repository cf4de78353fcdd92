//! OpenFGA's language as people write it: read statement by statement, and printed.

mod condition;
mod expression;
mod lexer;
mod names;
mod parser;
mod printer;

pub(super) use lexer::without_comments;
pub(super) use parser::{Parsed, TypeStatement, parse};
pub(super) use printer::print;
