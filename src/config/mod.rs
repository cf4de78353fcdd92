//! The configuration file as it is written, and the settings that it stands for.

mod authentication;
mod budget;
mod contextual;
mod denylist;
mod details;
mod documents;
mod endpoints;
mod explicit_proxy;
mod file;
mod file_endpoints;
mod file_identity;
mod file_places;
mod file_tokens;
mod identity;
mod listen;
mod located;
mod policy;
mod problems;
mod requested_host;
mod resource;
mod routes;
mod settings;
mod signals;
mod signatures;
mod spiffe;
mod store;
mod structure;
mod transaction;
mod upstreams;
mod websocket;

pub use listen::ListenSettings;
pub use policy::{LoadedPolicy, PolicyFiles, PolicySource, load_model, load_policy};
pub use problems::Problems;
pub use settings::{DecisionSettings, Loading, Settings, load};
pub use store::{load_store, load_store_policy};
pub use structure::schema;
