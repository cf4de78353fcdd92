//! Signals of issuers that sessions ended, however they come.

mod intake;
mod poll;
mod push;

pub use intake::{SignalIntake, SignalMetrics};
pub use poll::{InvalidBearer, PollSettings, SignalPoller, read_bearer};
pub use push::SignalHandler;
