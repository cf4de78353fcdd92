//! Where logs and metrics leave the process. Each module owns its own metrics.

mod connections;
mod logs;
mod registry;

pub use connections::EndedConnections;
pub use logs::{LogFormat, start_logs};
pub use registry::{MICROSECOND_BUCKETS, MILLISECOND_BUCKETS, MetricsError, Registry};
