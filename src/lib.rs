//! Portcullis decides every HTTP request of an AI agent by a local snapshot of a relationship graph.

pub mod access;
pub mod compile;
pub mod policy;
