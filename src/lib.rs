//! Portcullis decides every HTTP request of an AI agent by a local snapshot of a relationship graph.

pub mod access;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod net;
pub mod protocol;
pub mod route;
#[cfg(feature = "server")]
pub mod telemetry;
