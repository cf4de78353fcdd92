//! The enforcement point: decides each request and forwards or denies it.

mod answer;
mod budget;
mod caller;
mod enforce;
mod exchange;
mod filter;
mod forward;
mod grpc;
mod inspect;
mod lasting;
mod metrics;
mod rejection;
mod transaction;
mod tunnel;
mod upstream;
mod upstream_metrics;
mod websocket;

pub use answer::AnswerBody;
pub use budget::Budgets;
pub use enforce::{Enforcer, EnforcerSettings, Shared};
pub use metrics::ProxyMetrics;
pub use upstream_metrics::register_upstream_metrics;
