//! Routes, keys and policy, swapped as a whole.

mod build;
mod cell;
mod metrics;
#[expect(clippy::module_inception, reason = "the folder is named for its main type")]
mod snapshot;

pub use build::{Parts, build};
pub use cell::{NotNewer, SnapshotCell, Unusable};
pub use metrics::register_metrics;
pub use snapshot::{Snapshot, Upstream};
