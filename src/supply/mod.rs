//! Keeps the snapshot fresh: watches sources, builds beside the current snapshot, publishes.

mod file;
mod keys;
mod replicator;
mod source;

pub use file::{Assemble, Assembly, FileSource};
pub use keys::{KeyDocument, KeyDocuments, KeyForm, KeySetMetrics, KeyUrl};
pub use replicator::{Replicator, SupplyMetrics};
pub use source::{Change, Loaded, Source};
