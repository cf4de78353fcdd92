//! The tests of the policy engine as a whole. They need the pure core alone, so that they are built fast.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod openfga_oracle;
mod policy;
mod policy_changes;
mod policy_conditions_random;
mod policy_random;
mod reference;
mod trials;
