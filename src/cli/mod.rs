//! The commands.

mod arguments;
mod ask;
mod key;
mod print;
mod run;
mod validate;

pub use run::main;
