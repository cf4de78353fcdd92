//! By what tokens for upstreams are made, and where their keys are published.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::{access::CanonicalRequest, net::SigningKey};

/// Tokens that tell upstreams what was decided (transaction tokens).
#[derive(Debug)]
pub struct TransactionTokens {
    /// The `iss` of the tokens.
    pub issuer: Box<str>,
    /// Their `aud`: the domain whose services trust them.
    pub audience: Box<str>,
    /// How long they are good.
    pub valid_for: Duration,
    /// The field that they travel in.
    pub header: HeaderName,
    signer: SigningKey,
    // The path, and the keys as a JWK Set.
    published: Option<(Box<str>, Bytes)>,
}

impl TransactionTokens {
    /// The lifetime if nothing else is said, and the longest.
    pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(30);
    /// The longest lifetime: whoever sees a token can use it.
    pub const LONGEST_VALIDITY: Duration = Duration::from_secs(300);

    /// Tokens that this key signs.
    pub fn new(
        (issuer, audience): (Box<str>, Box<str>),
        valid_for: Duration,
        header: HeaderName,
        signer: SigningKey,
    ) -> Self {
        Self { issuer, audience, valid_for, header, signer, published: None }
    }

    /// The same, whose public keys are at this path, with those that sign no more or not yet.
    #[must_use]
    pub fn published_at(self, path: Box<str>, others: &[SigningKey]) -> Self {
        let keys: Vec<Value> = std::iter::once(&self.signer).chain(others).map(SigningKey::jwk).collect();
        Self { published: Some((path, Bytes::from(json!({ "keys": keys }).to_string()))), ..self }
    }

    /// The key that signs.
    pub fn signer(&self) -> &SigningKey {
        &self.signer
    }

    /// The public keys, if that is what the request asks for: in JSON, open to everybody.
    pub fn keys(&self, head: &CanonicalRequest) -> Option<Bytes> {
        let (path, document) = self.published.as_ref()?;
        let asked = head.path().as_str() == &**path && matches!(*head.method(), Method::GET | Method::HEAD);
        asked.then(|| document.clone())
    }
}
