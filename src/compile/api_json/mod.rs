//! Models in the JSON form of OpenFGA's HTTP API.

mod read;
mod write;

pub(super) use read::read;
pub use write::{Json, JsonForm};
pub(super) use write::write;
