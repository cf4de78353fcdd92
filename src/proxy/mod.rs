//! The enforcement point: decides each request and forwards or denies it.

mod answer;
mod behind;
mod bounds;
mod budget;
mod caller;
mod charge;
mod connect;
mod enforce;
mod exchange;
mod fault;
mod filter;
mod forward;
mod grpc;
mod inspect;
mod lasting;
mod metrics;
mod placement;
mod rejection;
mod sent;
mod shares;
mod transaction;
mod tunnel;
mod upstream;
mod upstream_metrics;
mod websocket;

pub use answer::AnswerBody;
pub use bounds::{Digests, EnforcerSettings};
pub use budget::Budgets;
pub use enforce::{Enforcer, Shared};
pub use metrics::ProxyMetrics;
pub use upstream_metrics::register_upstream_metrics;
