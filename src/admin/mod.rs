//! The operator's doors.

mod health;
mod openfga;

pub use health::TelemetryHandler;
pub use openfga::{Bearers, OpenFgaHandler};
