//! The sections on tokens for upstreams and signals of issuers, key by key, as people write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{file::Tls, located::Located};

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

/// The listener on which the issuers of `identity.jwt` say that sessions ended: security event tokens (RFC 8417), pushed by
/// POST to `/events` (RFC 8935).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedSignals {
    /// `IP:PORT`; port 0 takes any free one.
    pub(super) address: Located<String>,
    /// Serve TLS. Without it the listener speaks in the clear.
    pub(super) tls: Option<Tls>,
    /// The hash of the bearer token that senders have: `sha256:` and 64 hexadecimal digits.
    pub(super) bearer: Located<String>,
    /// The values of `aud` that are meant for this proxy; a signal must have one of them.
    pub(super) audiences: Located<Vec<String>>,
    /// How long a revocation counts: at least as long as tokens live. By default 24h.
    pub(super) keep: Option<Located<String>>,
}
