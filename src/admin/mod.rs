//! The operator's doors.

mod body;
mod decision;
mod health;
mod openfga;

pub use decision::{DecisionHandler, DecisionMetrics};
pub use health::TelemetryHandler;
pub use openfga::{Bearers, OpenFgaHandler};
