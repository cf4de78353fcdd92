//! Routes, keys and policy, swapped as a whole.

mod authority;
mod build;
mod callers;
mod cell;
mod change;
mod compaction;
mod memory;
mod metrics;
mod overlays;
#[expect(clippy::module_inception, reason = "the folder is named for its main type")]
mod snapshot;
mod transaction;

pub use authority::{
    Authority, AuthorityFull, Batch, Change, ChangeKind, ChangesQuery, Forgotten, InvalidUlid, NoModel, ObjectFilter,
    Page, ReadFilter, Repetition, Store, StoredModel, StoredTuple, TupleKey, Ulid, WriteError,
};
pub use build::{PrincipalType, Surroundings, accesses_against_model, mapped_against_model, principals_against_model};
pub use callers::{Caller, Callers, InvalidCaller, NotACaller};
pub use cell::{NotNewer, SnapshotCell, Unusable};
pub use change::{ChangeError, Delta};
pub use compaction::CompactionMetrics;
pub use memory::{MemoryStore, ModelRefused, PROXY_STORE};
pub use metrics::register_metrics;
pub use snapshot::{Snapshot, Upstream};
pub use transaction::TransactionTokens;
