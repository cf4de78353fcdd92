//! Who a request is from, and how that is known.

use std::sync::Arc;

use super::{proof::Thumbprint, signature::SignedBody};
use crate::access::{ContextualTuple, Grants, Principal, Timestamp};

/// Who a request is from, and how that is known.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The chain of subjects behind the request.
    pub principal: Arc<Principal>,
    /// What it came with: shared by all requests that bring the same.
    pub credential: Arc<Credential>,
    /// What a signature says of the body. Whoever reads or forwards the body must hold it against this first.
    pub body: SignedBody,
    /// What the request proved, to be held against what is asked of it later.
    pub proven: Proven,
}

/// What is known of a credential that is good.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Of which kind it is.
    pub method: Method,
    /// From when on it is refused, with the issuer's leeway.
    pub expires: Option<Timestamp>,
    /// When a token was issued, if it says so.
    pub issued: Option<Timestamp>,
    /// The token's own id (`jti`; RFC 7519, section 4.1.7).
    pub token_id: Option<Arc<str>>,
    /// Its scopes and authorization details, if it has any.
    pub grants: Option<Arc<Grants>>,
    /// What its claims tell of the subject, if they do.
    pub contextual: Option<Arc<[ContextualTuple]>>,
}

impl Authenticated {
    /// By the credential alone.
    pub(super) fn by(credential: &Arc<Credential>, principal: &Arc<Principal>) -> Self {
        let (principal, credential) = (Arc::clone(principal), Arc::clone(credential));
        Self { principal, credential, body: SignedBody::Free, proven: Proven::default() }
    }
}

impl Credential {
    /// One of which nothing is known but its kind and its end.
    pub(super) fn new(method: Method, expires: Option<Timestamp>) -> Self {
        Self { method, expires, issued: None, token_id: None, grants: None, contextual: None }
    }
}

/// The kind of credential that a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A signed token.
    Jwt {
        /// The issuer's index in the settings.
        index: usize,
        /// The issuer's name.
        issuer: Arc<str>,
    },
    /// An API key.
    ApiKey {
        /// The key's public id.
        id: Arc<str>,
        /// Who answers for the key.
        owner: Option<Arc<str>>,
    },
    /// The certificate of the connection: an X.509-SVID.
    Spiffe {
        /// Its SPIFFE ID.
        id: Arc<str>,
    },
    /// A signature of the request.
    Signature {
        /// The thumbprint of its key.
        key_id: Arc<str>,
    },
}

/// Whether the sender has yet to prove that it holds its key: the one that its token is bound to, or that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Possession {
    /// It has, by the proof or the signature of its request.
    ToProve,
    /// It did when this request came, which has waited since: what is good once was used then.
    Proven(Proven),
}

/// The keys whose possession a request has proved, by their thumbprints. Settings may have changed since it came: of what
/// was not verified then, nothing is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proven {
    // The one that signed the request.
    pub(super) signature: Option<Thumbprint>,
    // The one that its token is bound to.
    pub(super) proof: Option<Thumbprint>,
}
