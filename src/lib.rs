//! Portcullis decides every HTTP request of an AI agent by a local snapshot of a relationship graph.
//!
//! # One request
//!
//! ```text
//! snapshot  = cell.usable(now)?                 503   one request, one snapshot, to its end
//! head      = CanonicalRequest::parse(…)?       400   what is decided is, byte for byte, what is sent
//! route     = snapshot.routes.find(&head)?      403   host, path, method, header fields
//! principal = authenticator.authenticate(…)?    401   the subject, its actors, its task
//! body      = body.read(…)?                     413   only if the route's resource is in it
//! accesses  = operation.mapped(inputs)?         400   action and resource, one or several
//! permit    = policy.authorize(…)?              403   every member of the chain, every access
//! request   = upstream::request(permit, head, …)      nothing is sent without a permit
//! response  = request.send(…)?                  502   the upstream's own answer
//! response  = filtering.filter(…)?              502   lists lose what may not be seen
//! ```
//!
//! `proxy` is that line; the rest is in the room where one would look for it.
//!
//! # The map of the house
//!
//! From the bottom up. A module imports only from the lines below its own, which a test keeps.
//!
//! | module | what it is |
//! |---|---|
//! | `cli` | the commands, the demo among them |
//! | `app` | the composition root: starts, reloads, drains |
//! | `config` | the configuration file, its schema, every problem in one report |
//! | `proxy` | the enforcement point (PEP) |
//! | `supply` | watches sources and publishes snapshots |
//! | `admin` | health, metrics and answers for the operator; decisions for applications by OpenFGA's and AuthZEN's APIs |
//! | [`analyze`] | what policies come to: questions of people, tests of store files |
//! | `snapshot` | routes, keys and policy, swapped as a whole; stores that are kept in memory |
//! | `audit` | one record a decision, or the decision is not acted on |
//! | [`compile`] | models and tuples as people write them, with diagnostics |
//! | [`policy`] | the decision point (PDP): graph, check, explain, permit |
//! | [`route`] | which request stands for which access |
//! | [`identity`] | which credential stands for which principal |
//! | [`protocol`] | bodies, read strictly |
//! | `net` | listeners, TLS, connections |
//! | `telemetry` | logs and metrics |
//! | [`access`] | the vocabulary |
//!
//! `access`, `protocol`, `policy`, `route`, `identity`, `compile` and `analyze` are the pure core: no clock, no sockets, no
//! threads, no environment. They build alone with `--no-default-features`.

pub mod access;
#[cfg(feature = "server")]
pub mod admin;
pub mod analyze;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod cli;
pub mod compile;
#[cfg(feature = "server")]
pub mod config;
pub mod identity;
#[cfg(feature = "server")]
pub mod net;
pub mod policy;
pub mod protocol;
#[cfg(feature = "server")]
pub mod proxy;
pub mod route;
#[cfg(feature = "server")]
pub mod snapshot;
#[cfg(feature = "server")]
pub mod supply;
#[cfg(feature = "server")]
pub mod telemetry;
