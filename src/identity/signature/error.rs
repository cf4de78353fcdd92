//! Why a signature is refused.

use http::HeaderName;
use thiserror::Error;

use super::component::SignedComponent;
use crate::{access::HeaderProblem, identity::error::Shown};

/// Why the signature of a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSignature {
    /// A field of it has no one value.
    #[error("the field `{0}` {1}")]
    Field(HeaderName, HeaderProblem),
    /// There is no such field, and one of the others needs it.
    #[error("the field `{0}` is missing")]
    NoField(HeaderName),
    /// Longer than 8 KiB, no structured field, or a name comes twice in it.
    #[error("the field `{0}` is no structured field of a bearable size in which each name comes once")]
    Malformed(HeaderName),
    /// None is made for this.
    #[error("no signature has the tag that is configured")]
    OtherTag,
    /// More than one is made for this: nobody could say which counts.
    #[error("more than one signature has the tag that is configured")]
    Several,
    /// `Signature` has no bytes of that name.
    #[error("the bytes of the signature are missing or malformed")]
    NoBytes,
    /// A component that is not served, or twice the same one.
    #[error("it covers `{0}`, which is no component that is served, or covers it twice")]
    Component(Shown),
    /// A component with other parameters than `key`, such as `sf`, `bs`, `req`, `tr` or `name`.
    #[error("it covers `{0}` with a parameter, which is not served")]
    ComponentParameter(Shown),
    /// It does not cover what it must.
    #[error("it does not cover `{0}`")]
    Uncovered(SignedComponent),
    /// A parameter that is not understood.
    #[error("its parameter `{0}` is not served")]
    UnservedParameter(Shown),
    /// A parameter that must be there is not, or has another type or size.
    #[error("its parameter `{0}` is missing or malformed")]
    Parameter(&'static str),
    /// It was made in the future.
    #[error("it was made in the future")]
    MadeInFuture,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It is good for longer than signatures may be.
    #[error("it is good for longer than signatures may be")]
    TooLong,
    /// No agent has the key.
    #[error("no agent has this key")]
    UnknownKey,
    /// Several agents have the key, and no covered `Signature-Agent` says which of their directories it is of.
    #[error("several agents have this key")]
    SharedKey,
    /// `alg` is not that of its key (RFC 9421, section 3.3.7).
    #[error("`alg` is not served, or not its key's")]
    Algorithm,
    /// `Signature-Agent` names another directory than the one that has the key.
    #[error("`Signature-Agent` is not the agent that has this key")]
    OtherAgent,
    /// A covered field does not have exactly one value that the upstream gets.
    #[error("a field that it covers {0}")]
    CoveredField(HeaderProblem),
    /// A covered field is not there.
    #[error("it covers the field `{0}`, which is missing")]
    MissingField(HeaderName),
    /// A covered member of a field is not there.
    #[error("it covers a member `{1}` of the field `{0}`, which is missing")]
    MissingMember(HeaderName, Shown),
    /// A covered field has white space around its value.
    #[error("it covers the field `{0}`, whose value has white space around it")]
    PaddedField(HeaderName),
    /// It covers `@query`, and the query is there but empty.
    #[error("it covers a query that is there and empty, and is signed like none")]
    EmptyQuery,
    /// The target has no spelling.
    #[error("the target cannot be spelled")]
    Target,
    /// It is not that of its key and the request as it is decided on.
    #[error("it is wrong for this request")]
    Wrong,
    /// It was not verified when the request came, and is asked for now.
    #[error("it was not verified when the request came")]
    Unproven,
    /// A nonce is asked for.
    #[error("it has no `nonce`, which is asked for")]
    NoNonce,
    /// Its nonce came before.
    #[error("its `nonce` was sent before")]
    Replayed,
    /// There is no room to remember one more nonce of this agent, so that nobody could tell whether it comes twice.
    #[error("too many nonces of this agent are remembered already")]
    NoRoom,
    /// `Content-Digest` has no SHA-256 or SHA-512 of the right length (RFC 9530).
    #[error("`Content-Digest` has no well-formed `sha-256` or `sha-512`")]
    ContentDigest,
    /// There is a body, and `Content-Digest` is not covered.
    #[error("there is a body, and it does not cover `content-digest`")]
    UnsignedBody,
    /// The body is another one.
    #[error("the body is not the one of `Content-Digest`")]
    OtherBody,
}
