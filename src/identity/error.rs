//! Why a credential is refused, in words for the log.

use std::fmt;

use thiserror::Error;

use super::{
    algorithm::Algorithm, contextual::InvalidTupleClaim, delegation::InvalidChain, denylist::Revoked,
    proof::InvalidProof, signature::InvalidSignature, svid::InvalidSvid,
};
use crate::access::{CredentialKind, Entity, HeaderProblem, Reason};

/// An identifier that a stranger sent: cut to 128 characters, with everything unprintable escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(Box<str>);

impl Shown {
    pub(super) fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(128).flat_map(char::escape_debug).collect();
        if text.chars().nth(128).is_some() {
            shown.push('…');
        }
        Self(shown.into())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a JWS in compact serialization (RFC 7515, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPart {
    /// The JOSE header.
    Header,
    /// The payload: the claims.
    Claims,
    /// The signature.
    Signature,
}

impl fmt::Display for TokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why a request has no principal. The texts are for the log and name no secret; clients get [`Self::reason`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthenticationError {
    /// No credential of a configured kind was sent.
    #[error("no credential was sent")]
    Missing,
    /// A token, an API key and a signature, or two of them, came together where not all of them are asked for: nobody
    /// could say whose request it is.
    #[error("more than one credential was sent")]
    Several,
    /// The field that carries the credential has no one value.
    #[error("the credential's field {0}")]
    Field(#[from] HeaderProblem),
    /// Another scheme than `Bearer`, or `DPoP` (RFC 9449, section 7.1) where that is configured.
    #[error("the authorization scheme is not Bearer, or DPoP where that is configured")]
    Scheme,
    /// A credential for the proxy that is none of those that are taken.
    #[error("Proxy-Authorization is neither Bearer nor Basic with `jwt` or `api_key` as its user")]
    ProxyScheme,
    /// Not `Bearer`, one space and a token68 (RFC 6750, section 2.1).
    #[error("the bearer token has a character that no token has")]
    Bearer,
    /// The token is refused.
    #[error("token: {0}")]
    Token(#[from] InvalidToken),
    /// The token is bound to a key, and the proof of its possession is refused.
    #[error("proof: {0}")]
    Proof(#[from] InvalidProof),
    /// The signature of the request is refused.
    #[error("signature: {0}")]
    Signature(#[from] InvalidSignature),
    /// The token is genuine, but names no chain of subjects.
    #[error("chain: {0}")]
    Chain(#[from] InvalidChain),
    /// The token is genuine, but a claim that contextual tuples are made of is not good.
    #[error("contextual tuples: {0}")]
    ContextualTuples(#[from] InvalidTupleClaim),
    /// The field that names the task has no one value.
    #[error("the task's field {0}")]
    TaskField(HeaderProblem),
    /// The request names a task, and the credential is not bound to it. A name that anybody can write is no proof.
    #[error("the request names a task that its credential is not bound to")]
    UnboundTask,
    /// The credential is bound to several tasks, and the request names none.
    #[error("the credential is bound to several tasks, and the request does not name one")]
    UnnamedTask,
    /// The credential is good, but was revoked.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// Not the form of an API key, or its checksum is wrong.
    #[error("the API key is mistyped or cut")]
    MalformedApiKey,
    /// No such API key: its id is unknown or its secret is wrong.
    #[error("the API key is unknown")]
    UnknownApiKey,
    /// The API key's time is over.
    #[error("the API key has expired")]
    ExpiredApiKey,
    /// So much was refused on the connection that nothing more is looked at.
    #[error("too many credentials were refused on this connection")]
    ConnectionOver,
    /// So many API keys of the connection's source were refused that none is looked at.
    #[error("too many API keys of this source were refused")]
    SourceOver,
    /// The request must bring a credential of this kind too.
    #[error("a credential of the kind `{0}` must come, and none did")]
    MissingKind(CredentialKind),
    /// A credential of this kind is not taken here.
    #[error("a credential of the kind `{0}` is not accepted here")]
    RefusedKind(CredentialKind),
    /// The certificate of the connection names a workload, and is refused.
    #[error("certificate: {0}")]
    Certificate(#[from] InvalidSvid),
    /// The credential is good, but somebody else's than the certificate of the connection.
    #[error("the connection is `{peer}`'s by its certificate, and the credential is for `{sender}`")]
    OtherPeer {
        /// Whom the certificate stands for.
        peer: Entity,
        /// Who sends the request by the credential: its current actor, or its subject if it has none.
        sender: Entity,
    },
    /// The token or key is good, but somebody else's than the signature.
    #[error("the request is signed by `{signer}`, and the credential is for `{sender}`")]
    OtherSigner {
        /// Who signed.
        signer: Entity,
        /// Who sends the request by the credential.
        sender: Entity,
    },
}

impl AuthenticationError {
    /// The reason that the refusal is recorded and answered with.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Missing | Self::MissingKind(_) => Reason::MissingCredential,
            Self::ConnectionOver | Self::SourceOver => Reason::TooManyRefusals,
            Self::TaskField(HeaderProblem::Repeated) => Reason::RepeatedHeader,
            Self::TaskField(HeaderProblem::NotText | HeaderProblem::ConnectionListed) => Reason::MalformedHeader,
            Self::UnboundTask => Reason::TaskNotBound,
            Self::Revoked(_) => Reason::Revoked,
            Self::UnnamedTask => Reason::TaskRequired,
            Self::Proof(InvalidProof::NoRoom) | Self::Signature(InvalidSignature::NoRoom) => Reason::TooManyProofs,
            Self::Several
            | Self::Field(_)
            | Self::Scheme
            | Self::ProxyScheme
            | Self::Bearer
            | Self::Token(_)
            | Self::Proof(_)
            | Self::Signature(_)
            | Self::Chain(_)
            | Self::ContextualTuples(_)
            | Self::MalformedApiKey
            | Self::UnknownApiKey
            | Self::ExpiredApiKey
            | Self::RefusedKind(_)
            | Self::Certificate(_)
            | Self::OtherPeer { .. }
            | Self::OtherSigner { .. } => Reason::InvalidCredential,
        }
    }

    /// Whether the keys that are known do not have the one that signed, so that a refresh may help. Nothing is verified
    /// then, and strangers can ask for this at will: whoever refreshes must bound how often.
    pub const fn may_await_its_key(&self) -> bool {
        self.unknown_key().is_some() || matches!(self, Self::Signature(InvalidSignature::UnknownKey))
    }

    /// The index of the issuer whose key set has no key of the token's `kid`, so that a refresh may help. The token is
    /// not verified then, and strangers can ask for this at will: whoever refreshes must bound how often.
    pub const fn unknown_key(&self) -> Option<usize> {
        match self {
            Self::Token(InvalidToken::UnknownKey { issuer }) => Some(*issuer),
            Self::Token(_)
            | Self::Missing
            | Self::TaskField(_)
            | Self::UnboundTask
            | Self::Revoked(_)
            | Self::UnnamedTask
            | Self::Several
            | Self::Field(_)
            | Self::Scheme
            | Self::ProxyScheme
            | Self::Bearer
            | Self::Proof(_)
            | Self::Signature(_)
            | Self::Chain(_)
            | Self::ContextualTuples(_)
            | Self::MalformedApiKey
            | Self::UnknownApiKey
            | Self::ExpiredApiKey
            | Self::ConnectionOver
            | Self::SourceOver
            | Self::MissingKind(_)
            | Self::RefusedKind(_)
            | Self::Certificate(_)
            | Self::OtherPeer { .. }
            | Self::OtherSigner { .. } => None,
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidToken {
    /// Longer than it may be.
    #[error("it is too long")]
    TooLong,
    /// Not header, claims and signature: encrypted, detached, nested or no token at all.
    #[error("it has not exactly three parts")]
    NotThreeParts,
    /// Padding, white space, another alphabet or stray last bits (RFC 7515, section 2).
    #[error("its {0} is not strict base64url")]
    NotBase64(TokenPart),
    /// Not one JSON value in UTF-8.
    #[error("its {0} is not strict JSON")]
    NotJson(TokenPart),
    /// A member that comes twice has two readings (RFC 7515, section 4).
    #[error("its {0} repeats a member")]
    RepeatedMember(TokenPart),
    /// Nested too deep.
    #[error("its {0} is nested too deep")]
    TooDeep(TokenPart),
    /// JSON, but not an object.
    #[error("its {0} is not an object")]
    NotAnObject(TokenPart),
    /// A parameter that brings its own trust or asks for an extension (RFC 7515, section 4.1).
    #[error("its header has `{0}`, which is never accepted")]
    RefusedParameter(&'static str),
    /// A parameter has the wrong type or size.
    #[error("`{0}` in its header is missing or malformed")]
    MalformedParameter(&'static str),
    /// `none`, an HMAC, a misspelling, or an algorithm that is not served.
    #[error("the algorithm `{0}` is not served")]
    UnservedAlgorithm(Shown),
    /// The issuer's settings do not allow it.
    #[error("the issuer may not use {0}")]
    RefusedAlgorithm(Algorithm),
    /// The key is of another kind: the key decides the algorithm, never the token.
    #[error("the key is not for {0}")]
    KeyOfOtherAlgorithm(Algorithm),
    /// The `typ` is not in the issuer's list (RFC 8725, section 3.11).
    #[error("the type `{0}` is not accepted")]
    RefusedType(Shown),
    /// No `typ`, and the issuer's list does not allow that.
    #[error("it has no type")]
    MissingType,
    /// A generic `typ` with a claim that only ID tokens and event tokens have.
    #[error("it has `{0}`, so it is not an access token")]
    NotAnAccessToken(&'static str),
    /// No issuer of that exact name.
    #[error("the issuer `{0}` is not configured")]
    UnknownIssuer(Shown),
    /// The issuer's key set has no key of that id.
    #[error("the issuer has no key of this id")]
    UnknownKey {
        /// The issuer's index in the settings.
        issuer: usize,
    },
    /// The issuer's keys could not be fetched for longer than they may be used.
    #[error("the issuer's keys are too old to be used: they could not be fetched")]
    OutdatedKeys,
    /// No `kid`, and the issuer has several keys.
    #[error("it names no key, and the issuer has several")]
    KeyIdNeeded,
    /// The signature is not the key's.
    #[error("its signature is wrong")]
    Signature,
    /// A claim that must be there is not.
    #[error("`{0}` is missing")]
    MissingClaim(&'static str),
    /// A claim has the wrong type, size or characters.
    #[error("`{0}` is malformed")]
    MalformedClaim(&'static str),
    /// None of its audiences is one of ours.
    #[error("it is for another audience: `{0}`")]
    OtherAudience(Shown),
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `iat` is to come.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// `iat` is longer ago than the issuer's `max_age`.
    #[error("it was issued too long ago")]
    TooOld,
    /// A transaction token that came as another credential does, or another token that came as transaction tokens do.
    #[error("it came in the field of another kind of token")]
    Misplaced,
    /// It was sent as one that is bound to a key, or must be one, and is bound to none.
    #[error("it is bound to no key")]
    Unbound,
    /// `cnf` binds it to a key or a certificate whose possession is not proven (RFC 7800, section 3.1).
    #[error("it is bound to a key by `cnf`, so it is no bearer token")]
    Bound,
    /// It is bound to a certificate, and the connection's other end has shown none (RFC 8705, section 3).
    #[error("it is bound to a certificate, and the connection has none")]
    NoCertificate,
    /// It is bound to another certificate than that of the connection.
    #[error("it is bound to another certificate than the connection's")]
    OtherCertificate,
    /// It is bound to the certificate of the connection, whose time is over.
    #[error("the connection's certificate, which it is bound to, has expired")]
    ExpiredCertificate,
}
