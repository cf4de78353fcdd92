//! The configuration file's keys of what clients may use, how long things may take, and which requests are taken.

use schemars::JsonSchema;
use serde::Deserialize;

use super::located::Located;

/// Bounds on what clients may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Connections to one listener and worker at one time. By default 10000.
    pub(super) connections: Option<Located<u32>>,
    /// Connections of one source to all data listeners at one time: of an IPv4 address, or of the /64 of an IPv6 one. More
    /// are closed. By default as many as there may be.
    pub(super) connections_per_source: Option<Located<u32>>,
    /// Streams of one HTTP/2 connection at one time. By default 100.
    pub(super) streams: Option<Located<u32>>,
    /// Requests at one time; more are denied with 503. By default 20000.
    pub(super) in_flight: Option<Located<u32>>,
    /// The same of one sender, which is the current actor, or the subject where there is none; more are denied with 429. By
    /// default half of `in_flight`.
    pub(super) in_flight_per_principal: Option<Located<u32>>,
    /// Open tunnels of one such sender through explicit proxies at one time, in use or not; more are denied with 429. By
    /// default half of `connections`.
    pub(super) tunnels_per_principal: Option<Located<u32>>,
    /// Bytes that a request's body must bring for each second in which it is waited for. By default 500.
    pub(super) body_rate: Option<Located<u32>>,
    /// The longest header field of a request, name and value, in bytes, and the longest token: at most 65536, which is all
    /// of a head. By default 8192.
    pub(super) field_bytes: Option<Located<u32>>,
    /// The longest body that a route inspects, in bytes, and the longest form. By default 1048576.
    pub(super) body_bytes: Option<Located<u32>>,
    /// The longest answer that a route filters, in bytes. By default 8388608.
    pub(super) filtered_bytes: Option<Located<u32>>,
}

/// How long things may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    /// From accept to the first byte, and for the TLS handshake. By default 5s.
    pub(super) handshake: Option<Located<String>>,
    /// For a request's head, from its first byte on. By default 10s.
    pub(super) head: Option<Located<String>>,
    /// For the pause between two writes to a client that has closed its side. By default 10s.
    pub(super) half_closed: Option<Located<String>>,
    /// For a client that takes nothing of an answer that waits for it. By default 30s.
    pub(super) unread: Option<Located<String>>,
    /// For a connection without a request. By default 60s.
    pub(super) idle: Option<Located<String>>,
    /// For a connection, which then ends in order, up to a tenth earlier by chance. By default 1h.
    pub(super) age: Option<Located<String>>,
    /// For an inspected body. By default 10s.
    pub(super) body: Option<Located<String>>,
    /// For a pause in any body, or for how far it may fall behind `limits.body_rate`. By default 10s.
    pub(super) body_pause: Option<Located<String>>,
    /// For a pause in an answer, while nothing comes from its client either. By default 5m.
    pub(super) answer_pause: Option<Located<String>>,
    /// For an answer that a route filters, from its head on. By default 30s.
    pub(super) filtered: Option<Located<String>>,
    /// For the requests in flight when the process is told to stop. By default 30s.
    pub(super) drain: Option<Located<String>>,
}

/// Which requests are taken that some servers read in two ways.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Requests {
    /// What becomes of a header field whose name holds `_`, which some servers take for `-`: with `refuse` (the default) its
    /// request is refused, with `drop` it ends here.
    pub(super) underscores: Underscores,
    /// Whether requests by HTTP/1.0 are served (`serve`, the default), or refused (`refuse`).
    pub(super) http_1_0: OldHttp,
    /// A file of at least 32 random bytes, by which sessions of MCP are bound to whom they were made for. Processes that share
    /// it take each other's sessions. By default each process makes one up at its start.
    pub(super) session_key_file: Option<Located<String>>,
}

/// What becomes of a header field whose name holds `_`.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Underscores {
    /// Its request is refused.
    #[default]
    Refuse,
    /// It is not passed on.
    Drop,
}

/// What becomes of a request by HTTP/1.0.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OldHttp {
    /// It is served.
    #[default]
    Serve,
    /// It is refused.
    Refuse,
}
