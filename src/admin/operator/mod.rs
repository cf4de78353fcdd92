//! The operator's door: what the running proxy is, and questions to the policy that it decides by.

mod answer;
mod client;
mod handler;
mod question;
mod state;

pub use answer::ByRevision;
pub use client::{OperatorError, ask_running};
pub use handler::OperatorHandler;
pub use question::OperatorQuestion;
pub use state::{Listening, ProxyState};
