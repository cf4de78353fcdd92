//! Models in the JSON form of OpenFGA's HTTP API.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;
pub use write::{Json, JsonForm};
