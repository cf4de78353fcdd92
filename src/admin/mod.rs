//! The operator's doors.

mod authzen;
mod body;
mod deadline;
mod decision;
mod health;
mod names;
mod openfga;
mod operator;
mod signals;
mod turns;

pub use authzen::{BaseUrl, InvalidBaseUrl};
pub use decision::{DecisionHandler, DecisionMetrics};
pub use health::TelemetryHandler;
pub use names::DoorNames;
pub use openfga::{Bearers, OpenFgaHandler};
pub use operator::{ByRevision, Listening, OperatorError, OperatorHandler, OperatorQuestion, ProxyState, ask_running};
pub use signals::{InvalidBearer, PollSettings, SignalHandler, SignalIntake, SignalMetrics, SignalPoller, read_bearer};
