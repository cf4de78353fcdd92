//! Store files: a model, tuples, and the answers that they should give.

mod document;
mod reader;

pub use document::{
    StoreAssertion, StoreCheck, StoreFile, StoreListObjects, StoreListUsers, StoreTest, StoreTuple, StoreUserFilter,
};
pub use reader::store_file;
