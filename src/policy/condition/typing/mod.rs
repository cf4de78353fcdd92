//! From a tree to a program whose types agree, or to all that is wrong with it.

mod checker;
mod kind;
mod library;
mod unify;

pub(super) use checker::compile;
