//! The decision listener: applications ask what the proxy itself is decided by.

mod asked;
mod endpoint;
mod handler;
mod metrics;
mod refusal;

pub(super) use asked::{Asked, Content};
pub use handler::DecisionHandler;
pub use metrics::DecisionMetrics;
pub(super) use refusal::Refusal;
