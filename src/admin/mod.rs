//! The operator's doors.

mod health;

pub use health::TelemetryHandler;
