//! What policies come to: questions of people, tests of store files.
#![warn(missing_docs)]

mod finding;
mod inquiry;
mod store_tests;

pub use finding::{Finding, QuestionKind, Reply, TestFindings};
pub use inquiry::{Answered, Inquiry, Limit, explanation_document};
pub use store_tests::run_tests;
