//! One record a decision, kept or the decision is not acted on, and one for each signal of an issuer.

mod gap;
mod line;
mod log;
mod record;
mod signal;
mod writer;

pub use log::{AuditLog, AuditUnavailable, OnFailure, Slot};
pub use record::{AccessRecord, AuditRecord, Bytes, Durations, Items, PrincipalRecord, SentDigests};
pub use signal::{SignalRecord, SignalWay};
pub use writer::{AuditSink, AuditWriter, LostRecords, SinkError};
