//! One record a decision, kept or the decision is not acted on.

mod line;
mod log;
mod record;
mod writer;

pub use log::{AuditLog, AuditUnavailable, OnFailure, Slot};
pub use record::{AccessRecord, AuditRecord, Bytes, Durations, Items, PrincipalRecord};
pub use writer::{AuditSink, AuditWriter, SinkError};
