//! The enforcement point: decides each request and forwards or denies it.

mod answer;
mod behind;
mod bounds;
mod budget;
mod caller;
mod charge;
mod connect;
mod enforce;
mod events;
mod exchange;
mod fault;
mod filter;
mod forward;
mod grpc;
mod inspect;
mod lasting;
mod listing;
mod mcp;
mod metrics;
mod placement;
mod rejection;
mod sent;
mod sessions;
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
pub use sessions::SessionKey;
pub use upstream_metrics::register_upstream_metrics;
