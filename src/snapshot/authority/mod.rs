//! Stores with models and tuples in memory, as an OpenFGA server keeps them.

#[expect(clippy::module_inception, reason = "the folder is named for its main type")]
mod authority;
mod book;
mod change;
mod store;
mod tuples;
mod ulid;

pub use authority::{Authority, AuthorityFull};
pub use book::{Batch, Repetition, StoredModel, WriteError};
pub use change::{Change, ChangeKind, ChangesQuery, Forgotten};
pub use store::{NoModel, Store};
pub use tuples::{ObjectFilter, Page, ReadFilter, StoredTuple, TupleKey};
pub use ulid::{InvalidUlid, Ulid};
