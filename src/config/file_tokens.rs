//! The sections on tokens for upstreams and signals of issuers, key by key, as people write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{file_places::Tls, located::Located};

/// Signed tokens that tell upstreams what was decided (draft-ietf-oauth-transaction-tokens).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransactionTokens {
    /// Their `iss`.
    pub(super) issuer: Located<String>,
    /// Their `aud`: the domain whose services trust them.
    pub(super) audience: Located<String>,
    /// PEM files with private keys (P-256 or Ed25519), read again when they change. The first one signs.
    pub(super) keys: Vec<Located<String>>,
    /// How long a token is good. By default 30s, at most 300s.
    pub(super) valid_for: Option<Located<String>>,
    /// The field that they travel in. By default `txn-token`.
    pub(super) header: Option<Located<String>>,
    /// The path at which the data listeners serve the public keys to everybody. By default they are not served.
    pub(super) publish: Option<Located<String>>,
}

/// How the issuers of `identity.jwt` say that sessions ended: security event tokens (RFC 8417). They push them to a listener
/// (`address` and `bearer`), or are polled (`poll`), or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedSignals {
    /// `IP:PORT` of a listener that takes what is pushed by POST to `/events` (RFC 8935); port 0 takes any free one.
    pub(super) address: Option<Located<String>>,
    /// Serve TLS. Without it the listener speaks in the clear.
    pub(super) tls: Option<Tls>,
    /// For `address`: the hash of the bearer token that senders have, `sha256:` and 64 hexadecimal digits.
    pub(super) bearer: Option<Located<String>>,
    /// Transmitters that are polled (RFC 8936).
    #[serde(default)]
    pub(super) poll: Vec<Located<Transmitter>>,
    /// The values of `aud` that are meant for this proxy; a signal must have one of them.
    pub(super) audiences: Located<Vec<String>>,
    /// How long a revocation counts: at least as long as tokens live. By default 24h.
    pub(super) keep: Option<Located<String>>,
}

/// A transmitter of signals that is polled (RFC 8936). What it was told of having arrived it does not send again: each
/// process needs a stream of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transmitter {
    /// The `https` URL (or `http`, to loopback) at which this receiver's stream is polled.
    pub(super) url: Located<String>,
    /// A file with the bearer token for it; read again for each poll.
    pub(super) bearer_file: Located<String>,
    /// A PEM file with the only authorities to trust; read again for each poll. By default the machine's.
    pub(super) ca_file: Option<Located<String>>,
    /// The most signals in one answer. By default 32, at most 100.
    pub(super) max_events: Option<Located<u16>>,
    /// How long the transmitter may wait until there is something to say; then it is polled anew. By default 30s, from 1s to
    /// 300s.
    pub(super) wait: Option<Located<String>>,
}
