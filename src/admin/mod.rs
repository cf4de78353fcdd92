//! The operator's doors.

mod health;
mod openfga;
mod operator;

pub use health::TelemetryHandler;
pub use openfga::{Bearers, OpenFgaHandler};
pub use operator::{ByRevision, Listening, OperatorError, OperatorHandler, OperatorQuestion, ProxyState, ask_running};
