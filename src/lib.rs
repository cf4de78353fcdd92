//! Portcullis decides every HTTP request of an AI agent by a local snapshot of a relationship graph.

pub mod access;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod cli;
pub mod compile;
#[cfg(feature = "server")]
pub mod config;
pub mod identity;
#[cfg(feature = "server")]
pub mod net;
pub mod policy;
pub mod protocol;
#[cfg(feature = "server")]
pub mod proxy;
pub mod route;
#[cfg(feature = "server")]
pub mod snapshot;
#[cfg(feature = "server")]
pub mod supply;
#[cfg(feature = "server")]
pub mod telemetry;
