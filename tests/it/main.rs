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
mod attacks;
mod authzen;
mod bad_input;
mod byte_budgets;
mod canonical;
mod claims;
mod client_certificates;
mod clock;
mod commands;
mod conditions;
mod credential_rules;
mod credentials;
mod deadlines;
mod decision;
mod demo;
mod discovery;
mod draining;
mod egress;
mod egress_clients;
mod endpoints;
mod failures;
mod floods;
mod footprint;
mod forwarded;
mod frames;
mod gate;
mod graphql;
mod grpc;
mod hand_over;
mod head_bounds;
mod http2_upstreams;
mod informational;
mod lasting;
mod layers;
mod limits;
mod lists;
mod malformed;
mod mapping;
mod mcp;
mod mcp_lists;
mod memory;
mod model_diagnostics;
mod names;
mod openfga;
mod openfga_fields;
mod opt_ins;
mod origins;
mod panics;
mod pauses;
mod placement;
mod pool;
mod principals;
mod readme;
mod refusals;
mod reload;
mod request_rules;
mod requested_hosts;
mod sent_digests;
mod server_names;
mod signal_polls;
mod signals;
mod signatures;
mod slow_addresses;
mod soak;
mod store_tests;
mod support;
mod transactions;
mod transport;
mod tunnels;
mod tuple_documents;
mod uploads;
mod upstream_faults;
mod upstream_tls;
mod websocket;
mod websocket_late;
mod websocket_streams;
