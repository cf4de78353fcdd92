//! The command `test`.

mod command;
mod files;
mod junit;
mod outcome;

pub(super) use command::test;
