//! The tests of the whole: one binary, so that it is linked once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod admin_socket;
mod authzen;
mod bad_input;
mod byte_budgets;
mod claims;
mod client_certificates;
mod commands;
mod conditions;
mod credential_rules;
mod credentials;
mod deadlines;
mod decision;
mod demo;
mod discovery;
mod draining;
mod failures;
mod floods;
mod gate;
mod hand_over;
mod lasting;
mod layers;
mod limits;
mod lists;
mod malformed;
mod mapping;
mod memory;
mod model_diagnostics;
mod openfga;
mod openfga_fields;
mod placement;
mod principals;
mod readme;
mod refusals;
mod reload;
mod server_names;
mod signal_polls;
mod signals;
mod signatures;
mod soak;
mod store_tests;
mod support;
mod transactions;
mod transport;
mod tuple_documents;
mod upstream_tls;
