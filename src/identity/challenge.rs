//! What a client without a good credential is told: a challenge, and the document that it names.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    algorithm::Algorithm,
    error::AuthenticationError,
    proof::{ProofNeed, ProofSettings},
    signature::SignatureSettings,
};
use crate::access::{CanonicalPath, CanonicalRequest, Scope};

/// Where the metadata of a protected resource is, before its own path (RFC 9728, section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The text is not the identifier of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no resource: write its `https` URL as clients know it, without a query or a fragment")]
pub struct InvalidResource(String);

/// The identifier of a protected resource (RFC 9728, section 1.2): an `https` URL, or `http` to loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceUrl {
    text: Arc<str>,
    // INVARIANT: both are canonical paths; the second one is the first one and the resource's own path.
    root: Box<str>,
    own: Box<str>,
    origin: Box<str>,
}

impl FromStr for ResourceUrl {
    type Err = InvalidResource;

    fn from_str(text: &str) -> Result<Self, InvalidResource> {
        let invalid = || InvalidResource(text.to_owned());
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#' | b'?'));
        let url: Uri = text.parse().ok().filter(|_| plain).ok_or_else(invalid)?;
        let host = url.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
        let scheme = match url.scheme_str() {
            Some("https") => "https",
            Some("http") if is_loopback(host) => "http",
            Some(_) | None => return Err(invalid()),
        };
        // A slash after the host is none (RFC 9728, section 3.1).
        let path = if url.path() == "/" { "" } else { url.path() };
        let own = format!("{WELL_KNOWN}{path}");
        let canonical = CanonicalPath::parse(&own).map_err(|_| invalid())?;
        if canonical.as_str() != own {
            return Err(invalid());
        }
        let origin = format!("{scheme}://{authority}").into();
        Ok(Self { text: text.into(), root: WELL_KNOWN.into(), own: own.into(), origin })
    }
}

/// Whether the host of a URL is this machine, so that nobody is on the way to it.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What clients are told of this API (RFC 9728, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedResource {
    /// The API, as clients know it.
    pub resource: ResourceUrl,
    /// The issuers where clients get tokens for it.
    pub authorization_servers: Vec<Box<str>>,
    /// The scopes that requests may need.
    pub scopes: Vec<Scope>,
    /// The types of authorization details that requests may need.
    pub detail_types: Vec<Box<str>>,
    /// Whether tokens that are bound to certificates can be used (RFC 8705, section 3.3): some listener asks for these.
    pub certificates: bool,
    /// Its name, for people.
    pub name: Option<Box<str>>,
    /// Where people read how it is used.
    pub documentation: Option<Box<str>>,
}

impl ProtectedResource {
    fn document(&self, proofs: Option<&ProofSettings>) -> Bytes {
        let mut document = json!({
            "resource": &*self.resource.text,
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
        });
        let mut add = |name: &str, value: Value| {
            if let Some(members) = document.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if !self.scopes.is_empty() {
            add("scopes_supported", self.scopes.iter().map(Scope::as_str).collect());
        }
        if !self.detail_types.is_empty() {
            add("authorization_details_types_supported", self.detail_types.iter().map(AsRef::as_ref).collect());
        }
        if let Some(proofs) = proofs {
            add("dpop_signing_alg_values_supported", algorithms().into());
            add("dpop_bound_access_tokens_required", (proofs.need == ProofNeed::Always).into());
        }
        if self.certificates {
            add("tls_client_certificate_bound_access_tokens", true.into());
        }
        if let Some(name) = &self.name {
            add("resource_name", (**name).into());
        }
        if let Some(documentation) = &self.documentation {
            add("resource_documentation", (**documentation).into());
        }
        Bytes::from(document.to_string())
    }
}

/// What proofs may be signed with.
fn algorithms() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect()
}

/// The challenges of one API (RFC 6750, section 3, and RFC 9728, section 5.1), and its metadata.
#[derive(Debug)]
pub struct Challenges {
    published: Option<Published>,
    // The second challenge, if proofs are served (RFC 9449, section 7.1).
    scheme: Option<Box<str>>,
    // What a signature must be, if they are served.
    signature: Option<HeaderValue>,
}

#[derive(Debug)]
struct Published {
    resource: ResourceUrl,
    // `resource_metadata` of a challenge.
    url: Box<str>,
    document: Bytes,
}

impl Challenges {
    pub(super) fn new(
        resource: Option<&ProtectedResource>,
        proofs: Option<&ProofSettings>,
        signatures: Option<&SignatureSettings>,
    ) -> Self {
        let published = resource.map(|described| {
            let resource = described.resource.clone();
            let url = format!("{}{}", resource.origin, resource.own).into();
            Published { resource, url, document: described.document(proofs) }
        });
        Self {
            published,
            scheme: proofs.map(|_| format!(", DPoP algs=\"{}\"", algorithms().join(" ")).into()),
            signature: signatures.and_then(|signatures| HeaderValue::try_from(signatures.request()).ok()),
        }
    }

    /// The value of `Accept-Signature` (RFC 9421, section 5.1): what a signature must be that is accepted, if any is.
    pub fn signature(&self) -> Option<&HeaderValue> {
        self.signature.as_ref()
    }

    /// The metadata, if that is what the request asks for: in JSON, open to everybody.
    pub fn metadata(&self, head: &CanonicalRequest) -> Option<Bytes> {
        let published = self.published.as_ref()?;
        let path = head.path().as_str();
        let asked = path == &*published.resource.own || path == &*published.resource.root;
        (asked && matches!(*head.method(), Method::GET | Method::HEAD)).then(|| published.document.clone())
    }

    /// The challenge of a request whose credential is missing or refused, of which no more is said. The scopes are
    /// those that the request needs.
    pub fn unauthenticated(&self, error: &AuthenticationError, scopes: &[Scope]) -> HeaderValue {
        let problem = match error {
            AuthenticationError::Missing => None,
            _ => Some("invalid_token"),
        };
        self.challenge(problem, scopes)
    }

    /// The challenge of a request whose credential has not all of these scopes.
    pub fn insufficient_scope(&self, scopes: &[Scope]) -> HeaderValue {
        self.challenge(Some("insufficient_scope"), scopes)
    }

    fn challenge(&self, error: Option<&str>, scopes: &[Scope]) -> HeaderValue {
        let mut text = "Bearer realm=\"portcullis\"".to_owned();
        let mut add = |name: &str, value: &str| text.push_str(&format!(", {name}=\"{value}\""));
        if let Some(error) = error {
            add("error", error);
        }
        if !scopes.is_empty() {
            let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
            add("scope", &scopes.join(" "));
        }
        if let Some(published) = &self.published {
            add("resource_metadata", &published.url);
        }
        text.push_str(self.scheme.as_deref().unwrap_or_default());
        // Scopes and URLs are visible ASCII without quotes, so that it always is a field's value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}
