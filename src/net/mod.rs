//! Bytes in and out: listeners, TLS, the byte guard, connections to upstreams. Knows nothing of policy.

mod allowance;
mod body;
mod client;
mod deadline;
mod drain;
mod fetch;
mod guard;
mod half_open;
mod joined;
mod listener;
mod local;
mod pause;
mod preface;
mod problem;
mod server;
mod signing;
mod target;
mod tls;
mod unix;

pub use allowance::{Allowance, Spent};
pub use body::{BodyError, OutboundBody, UpstreamBody};
pub use client::{Client, ClientError};
pub use drain::{Drain, DrainSignal};
pub use fetch::{FetchError, MediaType, Question, ask, fetch};
pub use listener::{Accepting, Listener, ListenerError};
pub use local::{LocalError, exchange};
pub use pause::jittered;
pub use problem::HeadProblem;
pub use server::{Handler, Peer, ServerSettings, Transport, serve};
pub use signing::{NotSigned, SigningKey, SigningKeyError};
pub use target::{InvalidUrl, Target, TargetUrl};
pub use tls::{AnonymousClients, ClientTls, ClientVerification, ServerTls, TlsError};
pub use unix::{UnixSocket, UnixSocketError};
