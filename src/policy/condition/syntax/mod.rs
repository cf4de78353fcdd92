//! From the text of an expression to its tree.

mod escape;
mod lexer;
mod parser;
mod tree;

pub(super) use parser::parse;
pub(super) use tree::{Expression, Form, Iteration, Literal, Loop};
