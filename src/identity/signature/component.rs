//! The parts of a request that a signature may cover.

use std::{fmt, str::FromStr};

use http::{HeaderName, header};
use sfv::KeyRef;
use thiserror::Error;

use super::{
    error::InvalidSignature,
    fields::{INPUT, SIGNATURE},
    structured,
};
use crate::{
    access::{CanonicalRequest, Scheme, is_hop_by_hop, is_reserved},
    identity::error::Shown,
};

/// The text names no part of a request that a signature may cover.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no component of a signature: `@method`, `@authority`, `@path`, `@query`, `@target-uri`, \
     `@request-target`, `@scheme`, or the name of a header field in lower case that reaches the upstream"
)]
pub struct InvalidComponent(String);

/// A component that signatures cover (RFC 9421, sections 2.1 and 2.2). Of the parameters only `key` is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedComponent {
    /// `@method`.
    Method,
    /// `@authority`: the host, in lower case, and its port unless that is the scheme's own.
    Authority,
    /// `@scheme`.
    Scheme,
    /// `@target-uri`: scheme, authority, path and query.
    TargetUri,
    /// `@request-target`: path and query.
    RequestTarget,
    /// `@path`.
    Path,
    /// `@query`, with its `?`.
    Query,
    /// A header field, which must come exactly once. Fields that end at this hop, or that only a proxy may set, are none.
    Field(HeaderName),
    /// One member of a header field that is a dictionary, by its key (RFC 9421, section 2.1.2). The field comes once too.
    Member(HeaderName, Box<str>),
}

impl SignedComponent {
    /// The member of the field with this name; `None` if there can be none, or the field is none that can be covered.
    pub(super) fn member(field: &str, key: &str) -> Option<Self> {
        let Ok(Self::Field(name)) = field.parse() else { return None };
        KeyRef::from_str(key).is_ok().then(|| Self::Member(name, key.into()))
    }

    /// Its name, as signatures write it, without parameters.
    pub fn name(&self) -> &str {
        match self {
            Self::Method => "@method",
            Self::Authority => "@authority",
            Self::Scheme => "@scheme",
            Self::TargetUri => "@target-uri",
            Self::RequestTarget => "@request-target",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::Field(name) | Self::Member(name, _) => name.as_str(),
        }
    }

    /// Whether a signature of these says all that this one would.
    pub(super) fn is_covered_by(&self, covered: &[Self]) -> bool {
        let has = |component: &Self| covered.contains(component);
        has(self)
            || match self {
                Self::Authority | Self::Scheme => has(&Self::TargetUri),
                Self::Path | Self::Query => has(&Self::TargetUri) || has(&Self::RequestTarget),
                Self::RequestTarget => has(&Self::TargetUri) || (has(&Self::Path) && has(&Self::Query)),
                Self::TargetUri => {
                    has(&Self::Scheme) && has(&Self::Authority) && Self::RequestTarget.is_covered_by(covered)
                }
                Self::Method | Self::Field(_) | Self::Member(..) => false,
            }
    }

    /// Its value in the request that is decided on and forwarded, whichever way the client spelled it.
    pub(super) fn value(&self, head: &CanonicalRequest, scheme: Scheme) -> Result<String, InvalidSignature> {
        let target = || head.target().map_err(|_| InvalidSignature::Target);
        Ok(match self {
            Self::Method => head.method().as_str().to_owned(),
            Self::Authority => head.authority().as_str().to_owned(),
            Self::Scheme => scheme.name().to_owned(),
            Self::TargetUri => format!("{}://{}{}", scheme.name(), head.authority(), target()?),
            Self::RequestTarget => target()?.as_str().to_owned(),
            Self::Path => head.path().as_str().to_owned(),
            Self::Query => match head.query() {
                // By the RFC it is signed as if there were none: two requests would be one.
                Some("") => return Err(InvalidSignature::EmptyQuery),
                Some(query) => format!("?{query}"),
                None => "?".to_owned(),
            },
            Self::Member(name, key) => {
                let members = structured::dictionary(covered_field(head, name)?);
                let members = members.map_err(|_| InvalidSignature::Malformed(name.clone()))?;
                let member = members.iter().find(|member| *member.name == **key);
                let member = member.ok_or_else(|| InvalidSignature::MissingMember(name.clone(), Shown::new(key)))?;
                member.serialized().ok_or_else(|| InvalidSignature::Malformed(name.clone()))?
            }
            Self::Field(name) => {
                let value = covered_field(head, name)?;
                // What is signed has no white space around it, and the upstream would get it with that.
                if value.trim_matches([' ', '\t']) != value {
                    return Err(InvalidSignature::PaddedField(name.clone()));
                }
                value.to_owned()
            }
        })
    }
}

/// The one value of a field.
fn covered_field<'h>(head: &'h CanonicalRequest, name: &HeaderName) -> Result<&'h str, InvalidSignature> {
    let value = head.header(name).map_err(InvalidSignature::CoveredField)?;
    value.ok_or_else(|| InvalidSignature::MissingField(name.clone()))
}

impl FromStr for SignedComponent {
    type Err = InvalidComponent;

    fn from_str(text: &str) -> Result<Self, InvalidComponent> {
        let derived = [
            Self::Method,
            Self::Authority,
            Self::Scheme,
            Self::TargetUri,
            Self::RequestTarget,
            Self::Path,
            Self::Query,
        ];
        if let Some(component) = derived.into_iter().find(|component| component.name() == text) {
            return Ok(component);
        }
        let name = HeaderName::from_lowercase(text.as_bytes()).map_err(|_| InvalidComponent(text.to_owned()))?;
        let is_none = is_hop_by_hop(&name) || is_reserved(&name) || [header::HOST, INPUT, SIGNATURE].contains(&name);
        if is_none { Err(InvalidComponent(text.to_owned())) } else { Ok(Self::Field(name)) }
    }
}

impl fmt::Display for SignedComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // No character of a key has to be escaped.
            Self::Member(name, key) => write!(f, "{name};key=\"{key}\""),
            other => f.write_str(other.name()),
        }
    }
}
