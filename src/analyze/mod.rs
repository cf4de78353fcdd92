//! What policies come to: tests of store files.
#![warn(missing_docs)]

mod finding;
mod store_tests;

pub use finding::{Finding, QuestionKind, Reply, TestFindings};
pub use store_tests::run_tests;
