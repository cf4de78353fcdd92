//! The configuration file's keys of what happens when upstreams fail.

use schemars::JsonSchema;
use serde::Deserialize;

use super::located::Located;

/// How much of an upstream may be in use at one time, over all workers. What exceeds it is 503 `upstream_overloaded`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamLimits {
    /// Requests whose answer has not reached its end. More are turned away at once: none waits in a queue.
    pub(super) in_flight: Option<Located<u32>>,
    /// Connections, whether in use or not. A request that needs one more waits for one to end, at most `connect_timeout`.
    pub(super) connections: Option<Located<u32>>,
}

/// When an endpoint that fails is left alone for a while. After each pause one request tries it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ejection {
    /// After so many failures without an answer between them: no connection, one that broke before an answer, no answer in
    /// time. By default 5. An address that never had a connection is left alone after the first.
    pub(super) failures: Option<Located<u32>>,
    /// Whether the answers 502, 503 and 504 are failures too. By default not.
    pub(super) gateway_errors: Option<bool>,
    /// The first pause; it doubles with each that ends in a failure. By default 1s.
    pub(super) pause: Option<Located<String>>,
    /// No pause is longer. By default 30s.
    pub(super) longest_pause: Option<Located<String>>,
    /// The largest share of the endpoints that is left alone at one time, `0%` to `100%`. By default `50%`: one of two, and
    /// never the only one.
    pub(super) at_most: Option<Located<String>>,
}

/// How endpoints are asked whether they are well: by GET, on a connection of its own. A status of 200 to 299 says so.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// What is asked for: `/healthz`.
    pub(super) path: Located<String>,
    /// How often; by chance up to a tenth more often. By default 5s.
    pub(super) interval: Option<Located<String>>,
    /// How long an answer may take. By default 1s.
    pub(super) timeout: Option<Located<String>>,
    /// After so many failures in a row an endpoint is down, until one check succeeds. By default 2.
    pub(super) failures: Option<Located<u32>>,
}

/// Which requests are sent again that the upstream may have seen: GET, HEAD, OPTIONS, PUT and DELETE whose body is empty or
/// was read whole, if the connection broke before the first byte of an answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retries {
    /// How often one request is sent at most, the first time included: 2 to 5. By default 2.
    pub(super) attempts: Option<Located<u32>>,
    /// The share of requests that may be sent again, `1%` to `100%`, beyond ten at one go. By default `20%`.
    pub(super) budget: Option<Located<String>>,
}
