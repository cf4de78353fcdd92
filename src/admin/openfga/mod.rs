//! OpenFGA's HTTP API, for its official SDKs.

mod answer;
mod api;
mod assertions;
mod backing;
mod bearer;
mod body;
mod decision;
mod fault;
mod handler;
mod lists;
mod page;
mod questions;
mod relationships;
mod route;
mod rules;
mod stores;

pub use bearer::Bearers;
pub(super) use decision::{answer_asked, refused};
pub use handler::OpenFgaHandler;
pub(super) use route::named;
