//! Proof that a request comes from the holder of the key that its token is bound to (DPoP, RFC 9449).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, Uri};
use thiserror::Error;

use super::{
    claims,
    digest::sha256,
    error::TokenPart,
    json::{self, Object},
    jwk::Jwk,
    once::{NotFirst, SeenOnce},
    token::{LONGEST, Signed},
};
use crate::access::{Authority, CanonicalPath, CanonicalRequest, Entity, HeadRules, HeaderProblem, Scheme, Timestamp};

/// The field of a proof (RFC 9449, section 4.1).
pub(super) const FIELD: HeaderName = HeaderName::from_static("dpop");

/// How many proofs of one sender are remembered in any case, with whatever keys: nobody knows before how many senders there
/// will be.
const SHARE: usize = SeenOnce::share_of(50);

/// How proofs are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofSettings {
    /// How far the time of a proof may be from ours, in both directions: whole seconds, at most 300.
    pub window: Duration,
    /// The scheme and the authority that clients see, if something before this listener changes them.
    pub origin: Option<Origin>,
    /// Whether tokens that are bound to no key are refused.
    pub need: ProofNeed,
}

/// Whether tokens that are bound to no key are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProofNeed {
    /// They are accepted as bearer tokens.
    #[default]
    WhereBound,
    /// They are refused.
    Always,
}

impl ProofSettings {
    /// The window if nothing else is said.
    pub const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
    /// The longest window.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(300);
}

/// The scheme and the authority of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// The text is not `https://host`, with a port or not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no origin: write it like `https://api.acme.example`")]
pub struct InvalidOrigin(String);

impl Origin {
    /// The origin of an absolute URL; `None` if it is none.
    pub fn of_url(url: &str) -> Option<Self> {
        place(HeadRules::default(), url).map(|(origin, _)| origin)
    }
}

impl std::str::FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (origin, path) = place(HeadRules::default(), text).ok_or_else(|| InvalidOrigin(text.to_owned()))?;
        if path.as_str() == "/" { Ok(origin) } else { Err(InvalidOrigin(text.to_owned())) }
    }
}

/// Why a request has no proof, or one that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidProof {
    /// The token is bound to a key, and no proof was sent.
    #[error("it is missing")]
    Missing,
    /// The field has no one value.
    #[error("its field {0}")]
    Field(HeaderProblem),
    /// Not a JWS in compact serialization with strict JSON, or too long.
    #[error("it is no signed token")]
    NotSigned,
    /// Its `typ` is not `dpop+jwt`, so that it was made for something else.
    #[error("its type is not `dpop+jwt`")]
    Type,
    /// Its algorithm is not served, or not one of its key.
    #[error("its algorithm is not served, or not its key's")]
    Algorithm,
    /// `jwk` is missing, not a served public key, or has its private part.
    #[error("its `jwk` is no public key that is served")]
    Key,
    /// Its signature is not that of its key.
    #[error("its signature is wrong")]
    Signature,
    /// Its key is not the one that the token is bound to.
    #[error("its key is not the token's")]
    OtherKey,
    /// A claim is missing or malformed.
    #[error("its `{0}` is missing or malformed")]
    Claim(&'static str),
    /// It was made for another method.
    #[error("it is for another method")]
    OtherMethod,
    /// It was made for another URL.
    #[error("it is for another URL")]
    OtherUrl,
    /// It was made for another token.
    #[error("it is for another token")]
    OtherToken,
    /// It was made too long ago, or in the future.
    #[error("it was not made now")]
    OtherTime,
    /// It was sent before.
    #[error("it was sent before")]
    Replayed,
    /// There is no room to remember one more of this sender, so that nobody could tell whether it comes twice.
    #[error("too many proofs of this sender are remembered already")]
    NoRoom,
}

impl From<NotFirst> for InvalidProof {
    fn from(problem: NotFirst) -> Self {
        match problem {
            NotFirst::Replayed => Self::Replayed,
            NotFirst::NoRoom => Self::NoRoom,
        }
    }
}

/// The SHA-256 thumbprint of a key (RFC 7638), which tokens are bound by.
pub(super) type Thumbprint = [u8; 32];

/// What a token is bound to, so that it is good for its holder alone.
pub(super) enum Binding {
    /// A key, whose possession each request proves (RFC 9449, section 6.1).
    Key(Thumbprint),
    /// A certificate by its SHA-256 digest, which the connection's other end has shown (RFC 8705, section 3.1).
    Certificate([u8; 32]),
}

/// What `cnf` binds a token to; `None` if that is not by exactly one member, a `jkt` or an `x5t#S256`.
pub(super) fn bound_to(confirmation: &crate::protocol::Json) -> Option<Binding> {
    let members = Object::of(confirmation)?;
    let mut names = members.names();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    let digest: [u8; 32] = URL_SAFE_NO_PAD.decode(members.get(name).and_then(json::text)?).ok()?.try_into().ok()?;
    match name {
        "jkt" => Some(Binding::Key(digest)),
        "x5t#S256" => Some(Binding::Certificate(digest)),
        _ => None,
    }
}

impl ProofSettings {
    /// Whether the request brings a fresh proof for this token by this key (RFC 9449, section 4.3).
    pub(super) fn check(
        &self,
        head: &CanonicalRequest,
        (token, key): (&str, &Thumbprint),
        (proofs, sender): (&SeenOnce, &Entity),
        now: Timestamp,
    ) -> Result<(), InvalidProof> {
        let text = head.header(&FIELD).map_err(InvalidProof::Field)?.ok_or(InvalidProof::Missing)?;
        if text.len() > LONGEST {
            return Err(InvalidProof::NotSigned);
        }
        let signed = Signed::parse(text).map_err(|_| InvalidProof::NotSigned)?;
        check_signature(&signed, key)?;
        let claims = signed.object(TokenPart::Claims).map_err(|_| InvalidProof::NotSigned)?;
        let claims = claims.read();
        let text = |name: &'static str| {
            claims.get(name).and_then(json::text).filter(|text| !text.is_empty()).ok_or(InvalidProof::Claim(name))
        };
        if text("htm")? != head.method().as_str() {
            return Err(InvalidProof::OtherMethod);
        }
        if !self.is_of(head, text("htu")?).ok_or(InvalidProof::Claim("htu"))? {
            return Err(InvalidProof::OtherUrl);
        }
        if URL_SAFE_NO_PAD.decode(text("ath")?).ok().as_deref() != Some(&sha256(token.as_bytes())[..]) {
            return Err(InvalidProof::OtherToken);
        }
        let issued = claims.get("iat").and_then(json::integer).filter(|seconds| *seconds >= 0);
        let issued = Timestamp::from_seconds(issued.ok_or(InvalidProof::Claim("iat"))?);
        if now.since(issued) > self.window || issued.since(now) > self.window {
            return Err(InvalidProof::OtherTime);
        }
        let id = claims::token_id(claims).ok().flatten().ok_or(InvalidProof::Claim("jti"))?;
        // The thumbprint has a fixed length, so that no two pairs are the same bytes.
        let digest = sha256(&[&key[..], id.as_bytes()].concat());
        Ok(proofs.first(digest, (sender, SHARE), issued.plus(self.window), now)?)
    }

    /// Whether `htu` is the request's URL without its query; `None` if it is no URL.
    fn is_of(&self, head: &CanonicalRequest, htu: &str) -> Option<bool> {
        // What the request's path may hold is known by now.
        let rules = HeadRules { escaped_slashes: head.path().has_escaped_slash(), ..HeadRules::default() };
        let (origin, path) = place(rules, htu)?;
        let seen = (head.scheme(), head.authority());
        let (scheme, authority) = self.origin.as_ref().map_or(seen, |origin| (origin.scheme, &origin.authority));
        Some(origin.scheme == scheme && origin.authority == *authority && path.as_str() == head.path().as_str())
    }
}

/// The origin and the path of an absolute URL, whose query is left out. A fragment is none of a URL that is sent.
fn place(rules: HeadRules, text: &str) -> Option<(Origin, CanonicalPath)> {
    let url: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
    let scheme = match url.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        Some(_) | None => return None,
    };
    let authority = Authority::parse(url.authority()?.as_str(), scheme.default_port()).ok()?;
    Some((Origin { scheme, authority }, CanonicalPath::parse_by(rules, url.path()).ok()?))
}

/// The proof is signed by the key in its header, and that is the token's key.
fn check_signature(signed: &Signed<'_>, key: &Thumbprint) -> Result<(), InvalidProof> {
    let header = signed.header_text().map_err(|_| InvalidProof::NotSigned)?;
    let members = signed.object(TokenPart::Header).map_err(|_| InvalidProof::NotSigned)?;
    let members = members.read();
    if members.contains("crit") || members.contains("b64") {
        return Err(InvalidProof::NotSigned);
    }
    let text = |name: &str| members.get(name).and_then(json::text);
    if !text("typ").is_some_and(|kind| kind.eq_ignore_ascii_case("dpop+jwt")) {
        return Err(InvalidProof::Type);
    }
    let algorithm = text("alg").and_then(|name| name.parse().ok()).ok_or(InvalidProof::Algorithm)?;
    let jwk = Jwk::read(&header, &header).ok().and_then(|members| {
        let text = members.raw("jwk")?;
        Jwk::read(&header, text).ok()
    });
    let jwk = jwk.filter(|jwk| jwk.private_member().is_none()).ok_or(InvalidProof::Key)?;
    let verifiers = jwk.verifiers().map_err(|_| InvalidProof::Key)?;
    if jwk.thumbprint().map_err(|_| InvalidProof::Key)? != *key {
        return Err(InvalidProof::OtherKey);
    }
    let verifier = verifiers.iter().find(|(served, _)| *served == algorithm).ok_or(InvalidProof::Algorithm)?;
    let signature = signed.signature().map_err(|_| InvalidProof::NotSigned)?;
    verifier.1.verify_sig(signed.signed().as_bytes(), &signature).map_err(|_| InvalidProof::Signature)
}
