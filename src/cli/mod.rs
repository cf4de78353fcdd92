//! The commands.

mod arguments;
mod ask;
mod demo;
mod key;
mod print;
mod run;
mod validate;

pub use run::main;
