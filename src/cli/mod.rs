//! The commands.

mod arguments;
mod ask;
mod demo;
mod key;
mod model;
mod print;
mod run;
mod test;
mod validate;

pub use run::main;
