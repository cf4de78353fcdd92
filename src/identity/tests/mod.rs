//! Credentials, good and bad, against the real authenticator.
#![expect(clippy::string_slice, reason = "tokens, keys and hashes are ASCII")]
#![expect(clippy::needless_pass_by_value, reason = "literals read better by value")]

mod api_keys;
mod certificates;
mod chains;
mod challenges;
mod claims;
mod combinations;
mod contextual;
mod denylist;
mod grants;
mod key_sets;
mod minting;
mod proofs;
mod properties;
mod settings;
mod signals;
mod signatures;
mod signed_requests;
mod signing_agents;
mod svid_tokens;
mod tasks;
mod tokens;
mod transactions;
mod workloads;
mod worlds;
