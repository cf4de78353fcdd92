//! The commands.

mod arguments;
mod ask;
mod demo;
mod key;
mod model;
mod openfga;
mod print;
mod run;
mod source;
mod test;
mod validate;

pub use run::main;
