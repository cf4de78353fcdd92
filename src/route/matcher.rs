//! What a route asks of a request's host, path and header fields.

use std::fmt;

use http::{HeaderName, HeaderValue};
use thiserror::Error;

use crate::access::{Authority, CanonicalPath, CanonicalRequest, HeaderProblem, Scheme, is_end_to_end};

use super::source::is_mirror;

/// Why a pattern of a route is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    /// A literal part of the path is not in its canonical spelling.
    #[error("the path `{0}` is not canonical: {1}")]
    Path(String, String),
    /// A segment mixes text and braces.
    #[error("`{0}` is neither a literal segment nor one whole `{{name}}`")]
    Segment(String),
    /// A capture's name is not letters, digits and `_`.
    #[error("`{0}` is not a capture's name: letters, digits and `_`, at least one")]
    CaptureName(String),
    /// Two captures have one name.
    #[error("`{{{0}}}` is captured twice")]
    RepeatedCapture(String),
    /// `{*rest}` is not at the end.
    #[error("`{{*{0}}}` captures the rest of the path, so it must be the last segment")]
    RestNotLast(String),
    /// Neither a host nor `*.` and a host.
    #[error("`{0}` is not a host, with an optional port, or `*.` and a host")]
    Host(String),
    /// The header field does not reach the upstream as the client sent it.
    #[error("the proxy drops or replaces `{0}`, so that a route cannot depend on it")]
    HeaderName(HeaderName),
    /// The field repeats what the body says.
    #[error("`{0}` repeats an argument of the message, which nothing holds it to, so that a route cannot depend on it")]
    Mirror(HeaderName),
    /// A header's value holds a control character.
    #[error("`{0}` cannot be a header field's value")]
    HeaderValue(String),
}

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    Capture,
    Rest,
}

/// A path with captures: `/repos/{owner}/{repo}/contents/{*file}`.
///
/// `{name}` captures one segment, `{*name}` the rest of the path (one segment or more). Literals are compared byte for
/// byte with the canonical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: Box<str>,
    segments: Box<[Segment]>,
    captures: Box<[Box<str>]>,
}

impl PathTemplate {
    /// Reads a template, or says why it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut segments = Vec::new();
        let mut captures: Vec<Box<str>> = Vec::new();
        let mut literal_path = String::new();
        for part in text.split('/').skip(1).filter(|part| !part.is_empty() || text != "/") {
            literal_path.push('/');
            let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let Some(inner) = inner else {
                if part.contains(['{', '}']) {
                    return Err(InvalidPattern::Segment(part.to_owned()));
                }
                literal_path.push_str(part);
                segments.push(Segment::Literal(part.into()));
                continue;
            };
            literal_path.push('x');
            let name = inner.strip_prefix('*').unwrap_or(inner);
            check_capture(name, &captures)?;
            captures.push(name.into());
            segments.push(if name.len() == inner.len() { Segment::Capture } else { Segment::Rest });
        }
        if let Some(index) = segments.iter().position(|segment| *segment == Segment::Rest)
            && index + 1 != segments.len()
        {
            return Err(InvalidPattern::RestNotLast(captures.last().map(|name| name.to_string()).unwrap_or_default()));
        }
        let spelled = if text.starts_with('/') { if text == "/" { "/" } else { &literal_path } } else { text };
        match CanonicalPath::parse(spelled) {
            Ok(path) if path.as_str() == spelled => {}
            Ok(path) => {
                return Err(InvalidPattern::Path(text.to_owned(), format!("it is spelled `{}`", path.as_str())));
            }
            Err(problem) => return Err(InvalidPattern::Path(text.to_owned(), problem.to_string())),
        }
        Ok(Self { text: text.into(), segments: segments.into(), captures: captures.into() })
    }

    /// The index of a capture.
    pub fn capture(&self, name: &str) -> Option<usize> {
        self.captures.iter().position(|capture| capture.as_ref() == name)
    }

    /// The captures' names, from left to right.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(AsRef::as_ref)
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostPattern {
    /// Any host.
    #[default]
    Any,
    /// Every host below this one: `*.acme.example` (its text begins with the dot).
    Below(Box<str>),
    /// One host, with any port.
    Host(Box<str>),
    /// One host with one port.
    Exact(Authority),
}

impl HostPattern {
    /// Reads `crm.acme.example`, `crm.acme.example:8443` or `*.acme.example`.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |_| InvalidPattern::Host(text.to_owned());
        if let Some(below) = text.strip_prefix("*.") {
            let authority: Authority = below.parse().map_err(invalid)?;
            return match authority.port() {
                None => Ok(Self::Below(format!(".{}", authority.host()).into())),
                Some(_) => Err(InvalidPattern::Host(text.to_owned())),
            };
        }
        let authority: Authority = text.parse().map_err(invalid)?;
        Ok(if authority.port().is_some() { Self::Exact(authority) } else { Self::Host(authority.host().into()) })
    }

    /// Whether the request is for one of them. A request without a port is for its scheme's default port.
    pub fn matches(&self, authority: &Authority, scheme: Scheme) -> bool {
        match self {
            Self::Any => true,
            Self::Below(suffix) => authority.host().len() > suffix.len() && authority.host().ends_with(suffix.as_ref()),
            Self::Host(host) => authority.host() == host.as_ref(),
            Self::Exact(exact) => {
                let port = authority.port().unwrap_or(scheme.default_port());
                authority.host() == exact.host() && exact.port() == Some(port)
            }
        }
    }

    /// Whether it names the host of the request, with its port: one for all hosts names none, and without a port it names
    /// the scheme's default one alone. So it is asked where clients choose whom they reach.
    pub fn names(&self, authority: &Authority, scheme: Scheme) -> bool {
        match self {
            Self::Any => false,
            Self::Below(_) | Self::Host(_) => authority.port().is_none() && self.matches(authority, scheme),
            Self::Exact(_) => self.matches(authority, scheme),
        }
    }

    /// Higher is more specific.
    pub(super) fn specificity(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Below(suffix) => suffix.len(),
            Self::Host(_) => usize::MAX - 1,
            Self::Exact(_) => usize::MAX,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Host(host) => f.write_str(host),
            Self::Exact(authority) => authority.fmt(f),
        }
    }
}

/// One header field that must have exactly one value, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The field.
    pub name: HeaderName,
    value: Box<str>,
}

impl HeaderMatch {
    /// A match of `name` against the whole `value`.
    pub fn new(name: HeaderName, value: &str) -> Result<Self, InvalidPattern> {
        if is_mirror(&name) {
            return Err(InvalidPattern::Mirror(name));
        }
        if !is_end_to_end(&name) {
            return Err(InvalidPattern::HeaderName(name));
        }
        HeaderValue::from_str(value).map_err(|_| InvalidPattern::HeaderValue(value.to_owned()))?;
        Ok(Self { name, value: value.into() })
    }

    /// Whether the request has it; a field without one clear value is a problem, not a mismatch.
    pub(super) fn matches(&self, head: &CanonicalRequest) -> Result<bool, HeaderProblem> {
        Ok(head.header(&self.name)? == Some(self.value.as_ref()))
    }

    /// Whether no request can match both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        self.name == other.name && self.value != other.value
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

fn check_capture(name: &str, captures: &[Box<str>]) -> Result<(), InvalidPattern> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(InvalidPattern::CaptureName(name.to_owned()));
    }
    if captures.iter().any(|capture| capture.as_ref() == name) {
        return Err(InvalidPattern::RepeatedCapture(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_its_captures() {
        let template = PathTemplate::parse("/repos/{owner}/{repo}/contents/{*file}").unwrap();
        assert_eq!(template.captures().collect::<Vec<_>>(), ["owner", "repo", "file"]);
        assert_eq!(template.capture("repo"), Some(1));
        assert!(PathTemplate::parse("/").unwrap().segments().is_empty());
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in [
            "", "a", "/a/", "/a//b", "/a{b}", "/{a}b", "/{}", "/{a-b}", "/{a}/{a}", "/{*a}/b", "/a b", "/..", "/%2f",
            "/%41", "/é", "/{a", "/a?b",
        ] {
            assert!(PathTemplate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_match_whole_labels() {
        let matches = |pattern: &str, host: &str| {
            HostPattern::parse(pattern).unwrap().matches(&host.parse().unwrap(), Scheme::Http)
        };
        assert!(matches("crm.example:80", "crm.example"));
        assert!(matches("CRM.example", "crm.example:8080"));
        assert!(matches("crm.example:8080", "crm.example:8080"));
        assert!(!matches("crm.example:8080", "crm.example"));
        assert!(matches("*.example", "a.b.example"));
        assert!(!matches("*.example", "example"));
        assert!(!matches("*.crm.example", "xcrm.example"));
        let names = |pattern: &str, host: &str| {
            HostPattern::parse(pattern).unwrap().names(&host.parse().unwrap(), Scheme::Https)
        };
        assert!(names("crm.example", "crm.example") && names("crm.example:443", "crm.example"));
        assert!(names("*.example", "crm.example") && names("crm.example:8443", "crm.example:8443"));
        assert!(!names("crm.example", "crm.example:22") && !names("*.example", "crm.example:22"));
        assert!(!HostPattern::Any.names(&"crm.example".parse().unwrap(), Scheme::Https));
        for text in ["", "*", "*.a:80", "a.*", "a b", "*.*.a"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
