//! What a program computes, and what it costs.

mod address;
mod calendar;
mod convert;
mod evaluate;
mod function;
mod node;
mod operate;
mod pattern;
mod repeat;
mod time;
mod value;
mod zone;

pub(super) use address::IpAddress;
pub(super) use evaluate::{fold, run};
pub(super) use function::{Charge, Function};
pub(super) use node::{Loop, Node, Program};
pub(super) use pattern::compile_pattern;
pub(super) use time::{Timestamp, parse_duration};
pub(super) use value::{Datum, TypeName, order_of_keys};
