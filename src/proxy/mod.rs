//! The enforcement point: decides each request and forwards or denies it.

mod answer;
mod caller;
mod enforce;
mod exchange;
mod filter;
mod inspect;
mod metrics;
mod rejection;
mod upstream;

pub use answer::AnswerBody;
pub use enforce::{Enforcer, EnforcerSettings};
pub use metrics::ProxyMetrics;
