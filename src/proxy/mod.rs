//! The enforcement point: decides each request and forwards or denies it.

mod answer;
mod budget;
mod caller;
mod enforce;
mod exchange;
mod filter;
mod forward;
mod inspect;
mod lasting;
mod metrics;
mod rejection;
mod shares;
mod transaction;
mod upstream;

pub use answer::AnswerBody;
pub use budget::Budgets;
pub use enforce::{Enforcer, EnforcerSettings, Shared};
pub use metrics::ProxyMetrics;
