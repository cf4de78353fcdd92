//! The one request object: what is decided on is what is sent.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request::Parts, uri::PathAndQuery};
use thiserror::Error;

use super::{
    authority::Authority,
    decision::Reason,
    fields::{self, Noted},
    head_rules::HeadRules,
    lenient::is_method_override,
    path::{CanonicalPath, NonCanonical},
    sent::SentRequest,
};

/// How the client reached the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a request head is refused. The texts name no byte of the request, so they are safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// See [`Reason::MalformedMethod`].
    #[error("the method is not 1 to 32 upper-case letters")]
    Method,
    /// See [`Reason::RefusedMethod`].
    #[error("CONNECT, TRACE and the asterisk form are not served")]
    RefusedMethod,
    /// See [`Reason::MalformedTarget`].
    #[error("target: {0}")]
    Target(&'static str),
    /// See [`Reason::NonCanonicalPath`].
    #[error("path: {0}")]
    Path(#[from] NonCanonical),
    /// See [`Reason::MalformedHost`].
    #[error("host: {0}")]
    Host(&'static str),
    /// See [`Reason::MalformedFraming`].
    #[error("framing: {0}")]
    Framing(&'static str),
    /// See [`Reason::MalformedHeader`].
    #[error("header: {0}")]
    Header(&'static str),
    /// See [`Reason::RepeatedHeader`].
    #[error("a header field that must be single is repeated")]
    Repeated,
    /// See [`Reason::UnsupportedExpectation`].
    #[error("an expectation other than 100-continue")]
    Expectation,
    /// See [`Reason::TargetTooLong`].
    #[error("the request line is too long")]
    TargetTooLong,
    /// See [`Reason::HeadTooLarge`].
    #[error("the head has too many fields, or is too long")]
    TooLarge,
    /// See [`Reason::HeadTooLarge`].
    #[error("a field of the head is too long")]
    FieldTooLong,
    /// See [`Reason::MalformedMessage`].
    #[error("message: {0}")]
    Message(&'static str),
}

impl Malformed {
    /// The reason that the refusal is recorded and answered with.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::MalformedMethod,
            Self::RefusedMethod => Reason::RefusedMethod,
            Self::Target(_) => Reason::MalformedTarget,
            Self::Path(_) => Reason::NonCanonicalPath,
            Self::Host(_) => Reason::MalformedHost,
            Self::Framing(_) => Reason::MalformedFraming,
            Self::Header(_) => Reason::MalformedHeader,
            Self::Repeated => Reason::RepeatedHeader,
            Self::Expectation => Reason::UnsupportedExpectation,
            Self::TargetTooLong => Reason::TargetTooLong,
            Self::TooLarge | Self::FieldTooLong => Reason::HeadTooLarge,
            Self::Message(_) => Reason::MalformedMessage,
        }
    }
}

/// Why a header field has no one value that a decision may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderProblem {
    /// More than one field of that name, or of one that is the same to servers that take every other character for `-`.
    #[error("is repeated")]
    Repeated,
    /// Bytes outside visible ASCII, space and tab.
    #[error("is not plain text")]
    NotText,
    /// `Connection` lists it, so it would not travel on.
    #[error("is listed in Connection")]
    ConnectionListed,
}

/// Path and query as the upstream gets them.
#[derive(Debug, Clone)]
enum Target {
    // As it was parsed, because it is spelled canonically, as almost all are.
    Received(PathAndQuery),
    // The canonical path, and the query without its `?`.
    Respelled { query: Option<Box<str>> },
}

/// A request head in its one canonical spelling.
///
/// It is made in one place, [`CanonicalRequest::parse`]; route, credential and upstream request are all read from it
/// (parse once, decide, serialise: no second parser anywhere).
#[derive(Debug, Clone)]
pub struct CanonicalRequest {
    method: Method,
    version: Version,
    scheme: Scheme,
    authority: Authority,
    path: CanonicalPath,
    target: Target,
    // INVARIANT: passed `fields::check`, which noted this of them.
    headers: HeaderMap,
    noted: Noted,
}

impl CanonicalRequest {
    /// The canonical form of a received head, or why it is refused, by the rules that take least.
    pub fn parse(parts: Parts, scheme: Scheme) -> Result<Self, Malformed> {
        Self::parse_by(HeadRules::default(), parts, scheme)
    }

    /// The same by these rules.
    pub fn parse_by(rules: HeadRules, parts: Parts, scheme: Scheme) -> Result<Self, Malformed> {
        let Parts { method, uri, version, mut headers, .. } = parts;
        let name = method.as_str();
        if !(1..=32).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Malformed::Method);
        }
        if matches!(method, Method::CONNECT | Method::TRACE) || uri.path() == "*" {
            return Err(Malformed::RefusedMethod);
        }
        let noted = fields::check(&mut headers, version, rules)?;
        let authority = authority(&uri, version, &headers, scheme)?;
        let path = CanonicalPath::parse_by(rules, uri.path())?;
        uri.query().map_or(Ok(()), check_query)?;
        let target = match uri.into_parts().path_and_query {
            // Of `http://a?b` there is no slash to be sent.
            Some(received) if received.path() == path.as_str() && received.as_str().starts_with('/') => {
                Target::Received(received)
            }
            other => Target::Respelled { query: other.and_then(|target| target.query().map(Box::from)) },
        };
        Ok(Self { method, version, scheme, authority, path, target, headers, noted })
    }

    /// The method, in upper-case letters.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The version that the client spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the client reached the listener.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host that the request is for.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The canonical path.
    pub fn path(&self) -> &CanonicalPath {
        &self.path
    }

    /// The query as it was sent, without its `?`.
    pub fn query(&self) -> Option<&str> {
        match &self.target {
            Target::Received(received) => received.query(),
            Target::Respelled { query } => query.as_deref(),
        }
    }

    /// Whether there is such a header field, whatever its values.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name)
    }

    /// Whether there is a header field whose name begins so.
    pub fn has_beginning(&self, beginning: &str) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with(beginning))
    }

    /// The one value of a header field as text, `None` if there is no such field.
    pub fn header(&self, name: &HeaderName) -> Result<Option<&str>, HeaderProblem> {
        let value = self.header_value(name)?;
        value.map(HeaderValue::to_str).transpose().map_err(|_| HeaderProblem::NotText)
    }

    /// The one value of a header field as it was sent, `None` if there is no such field.
    pub fn header_value(&self, name: &HeaderName) -> Result<Option<&HeaderValue>, HeaderProblem> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() || (self.noted.odd && fields::has_twin(&self.headers, name)) {
            return Err(HeaderProblem::Repeated);
        }
        if self.noted.connection && fields::connection_names(&self.headers, name) {
            return Err(HeaderProblem::ConnectionListed);
        }
        Ok(Some(value))
    }

    /// Whether the client asked for another protocol on this connection. It is given none but where its operation says so.
    pub fn asks_for_upgrade(&self) -> bool {
        self.noted.upgrade
    }

    /// The protocol that the client asks for: the one `Upgrade`, if `Connection` names it (RFC 9110, section 7.8).
    pub fn upgrade(&self) -> Option<&str> {
        let mut values = self.headers.get_all(header::UPGRADE).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        fields::connection_names(&self.headers, &header::UPGRADE).then(|| value.to_str().ok()).flatten()
    }

    /// Whether the client can take trailers.
    pub fn takes_trailers(&self) -> bool {
        self.noted.te && fields::takes_trailers(&self.headers)
    }

    /// Path and query for the upstream, in origin form.
    pub fn target(&self) -> Result<PathAndQuery, Malformed> {
        let target = match &self.target {
            Target::Received(received) => return Ok(received.clone()),
            Target::Respelled { query: Some(query) } => {
                PathAndQuery::try_from(format!("{}?{query}", self.path.as_str()))
            }
            Target::Respelled { query: None } => PathAndQuery::try_from(self.path.as_str()),
        };
        target.map_err(|_| Malformed::Target("the canonical target is not one"))
    }

    /// The fields for the upstream: with this `Host`, without `removed`, and without those that end at this hop, that
    /// only a proxy may set, or that frame the message. It ends the request: what is sent is not decided on any more.
    /// The fields that are `kept` stay in what is left of it.
    pub fn into_outbound_headers(
        mut self: Box<Self>,
        host: HeaderValue,
        removed: &[HeaderName],
        kept: &[HeaderName],
    ) -> (HeaderMap, SentRequest) {
        let (mut headers, kept) = fields::outbound(std::mem::take(&mut self.headers), self.noted, removed, kept);
        headers.insert(header::HOST, host);
        (headers, SentRequest::new(self, kept))
    }

    /// Copies the target, if it is a piece of what the connection has read.
    pub(super) fn detach_target(&mut self) {
        if let Target::Received(received) = &mut self.target
            && let Ok(copy) = PathAndQuery::try_from(received.as_str())
        {
            *received = copy;
        }
    }

    /// The same request with these fields alone: to be asked who sends it, never to be sent.
    #[must_use]
    pub fn with_fields(&self, fields: &[(HeaderName, HeaderValue)]) -> Self {
        Self {
            method: self.method.clone(),
            version: self.version,
            scheme: self.scheme,
            authority: self.authority.clone(),
            path: self.path.clone(),
            target: self.target.clone(),
            headers: fields.iter().cloned().collect(),
            noted: Noted::default(),
        }
    }

    /// A request for a tunnel, whose fields passed the check.
    pub(super) fn tunnel(version: Version, authority: Authority, headers: HeaderMap, noted: Noted) -> Self {
        let (method, scheme, path) = (Method::CONNECT, Scheme::Https, CanonicalPath::root());
        Self { method, version, scheme, authority, path, target: Target::Respelled { query: None }, headers, noted }
    }
}

/// The host that a head names, in its target or in `Host`, which must agree (RFC 9112, section 3.2).
pub fn authority(uri: &Uri, version: Version, headers: &HeaderMap, scheme: Scheme) -> Result<Authority, Malformed> {
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(Malformed::Target("the scheme is not http or https"));
    }
    let parse = |text: &str| Authority::parse(text, scheme.default_port());
    let target = uri.authority().map(|authority| parse(authority.as_str())).transpose();
    let target = target.map_err(|_| Malformed::Target("the authority is malformed"))?;
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.to_str().ok().and_then(|text| parse(text).ok()));
    if hosts.next().is_some() {
        return Err(Malformed::Host("Host is repeated"));
    }
    match (target, host) {
        (_, Some(None)) => Err(Malformed::Host("Host is not a host")),
        (Some(target), Some(Some(host))) if target == host => Ok(target),
        (Some(_), Some(Some(_))) => Err(Malformed::Target("the target and Host disagree")),
        (None, Some(Some(host))) => Ok(host),
        (Some(target), None) if version == Version::HTTP_2 => Ok(target),
        (Some(_) | None, None) => Err(Malformed::Host("Host is missing")),
    }
}

fn check_query(query: &str) -> Result<(), Malformed> {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`');
    // Every byte is looked at, with no branch between them. Without an `m`, plain or escaped, no name can be one that
    // overrides the method.
    let (is_legal, may_override) = query.bytes().fold((true, false), |(is_legal, may_override), byte| {
        (is_legal & legal(byte), may_override | matches!(byte, b'm' | b'M' | b'%'))
    });
    if !is_legal {
        return Err(Malformed::Target("the query holds an illegal byte"));
    }
    let mut names = query.split(['&', ';', '?']).map(|pair| pair.split('=').next().unwrap_or_default());
    // Frameworks read another method from it than the one that is decided.
    if may_override && names.any(is_method_override) {
        return Err(Malformed::Target("the query overrides the method"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<CanonicalRequest, Malformed> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http)
    }

    const HOST: (&str, &str) = ("host", "crm.example");

    #[test]
    fn a_plain_request_is_itself() {
        let request = head("GET", "/a/b?x=1", &[("host", "CRM.example.:80"), ("accept", "*/*")]).unwrap();
        assert_eq!(request.authority().to_string(), "crm.example");
        assert_eq!(request.target().unwrap(), "/a/b?x=1");
        assert_eq!(request.header(&header::ACCEPT).unwrap(), Some("*/*"));
    }

    #[test]
    fn absolute_form_must_agree_with_host_and_becomes_origin_form() {
        let request = head("GET", "http://crm.example:80/a", &[HOST]).unwrap();
        assert_eq!(request.target().unwrap(), "/a");
        assert_eq!(head("GET", "http://crm.example?a", &[HOST]).unwrap().target().unwrap().as_str(), "/?a");
        let reason = |uri: &str| head("GET", uri, &[HOST]).unwrap_err().reason();
        assert_eq!(reason("http://other.example/a"), Reason::MalformedTarget);
        assert_eq!(reason("http://user@crm.example/a"), Reason::MalformedTarget);
        assert_eq!(reason("ftp://crm.example/a"), Reason::MalformedTarget);
        for query in ["_method=DELETE", "a=b&_METHOD=put", "%5Fmethod=DELETE", "a;_method=x"] {
            assert_eq!(reason(&format!("/a?{query}")), Reason::MalformedTarget, "{query}");
        }
    }

    #[test]
    fn methods_are_upper_case_letters() {
        assert_eq!(head("get", "/", &[HOST]).unwrap_err(), Malformed::Method);
        assert_eq!(head("M-SEARCH", "/", &[HOST]).unwrap_err(), Malformed::Method);
        assert_eq!(head(&"A".repeat(33), "/", &[HOST]).unwrap_err(), Malformed::Method);
        assert_eq!(head("TRACE", "/", &[HOST]).unwrap_err(), Malformed::RefusedMethod);
        assert_eq!(head("OPTIONS", "*", &[HOST]).unwrap_err(), Malformed::RefusedMethod);
        assert!(head("PROPFIND", "/", &[HOST]).is_ok());
    }

    #[test]
    fn host_is_there_once_and_is_a_host() {
        for fields in
            [&[][..], &[("host", "")], &[("host", "a"), ("host", "a")], &[("host", "a, b")], &[("host", "a@b")]]
        {
            assert_eq!(head("GET", "/", fields).unwrap_err().reason(), Reason::MalformedHost, "{fields:?}");
        }
    }

    #[test]
    fn framing_has_one_reading() {
        let framing =
            |fields: &[(&str, &str)]| head("POST", "/", &[&[HOST], fields].concat()).map_err(Malformed::reason);
        assert!(framing(&[("content-length", "5")]).is_ok());
        assert!(framing(&[("transfer-encoding", "Chunked")]).is_ok());
        for fields in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("content-length", "+5")],
            &[("content-length", "5,5")],
            &[("content-length", "")],
            &[("content-length", "9223372036854775808")],
            &[("content-length", "5"), ("content-length", "5")],
        ] {
            assert_eq!(framing(fields).err(), Some(Reason::MalformedFraming), "{fields:?}");
        }
    }

    #[test]
    fn fields_have_one_reading() {
        let reason =
            |fields: &[(&str, &str)]| head("GET", "/", &[&[HOST], fields].concat()).err().map(Malformed::reason);
        assert_eq!(reason(&[("x_user", "a")]), Some(Reason::MalformedHeader));
        assert_eq!(reason(&[("authorization", "a"), ("authorization", "b")]), Some(Reason::RepeatedHeader));
        assert_eq!(reason(&[("content-type", "a"), ("content-type", "a")]), Some(Reason::RepeatedHeader));
        assert_eq!(reason(&[("expect", "200-ok")]), Some(Reason::UnsupportedExpectation));
        assert_eq!(reason(&[("expect", "100-Continue")]), None);
        for protected in ["Authorization", "host", "Content-Length", "cookie", "Portcullis-Subject", "x-forwarded-for"]
        {
            assert_eq!(reason(&[("connection", protected)]), Some(Reason::MalformedHeader), "{protected}");
        }
        assert_eq!(reason(&[("connection", "close, TE")]), None);
        assert_eq!(reason(&[("connection", &"a,".repeat(21))]), Some(Reason::MalformedHeader));
        assert_eq!(reason(&[("connection", "a b")]), Some(Reason::MalformedHeader));
    }

    #[test]
    fn what_ends_here_does_not_travel_on() {
        let fields = [
            HOST,
            ("connection", "x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("x-forwarded-for", "1.2.3.4"),
            ("portcullis-subject", "user:root"),
            ("x-http-method-override", "DELETE"),
            ("authorization", "Bearer x"),
            ("content-length", "0"),
            ("accept", "*/*"),
            ("cookie", "a=b"),
        ];
        let request = head("POST", "/", &fields).unwrap();
        let host = HeaderValue::from_static("crm.internal");
        let outbound = Box::new(request.clone()).into_outbound_headers(host.clone(), &[header::AUTHORIZATION], &[]).0;
        let mut names: Vec<_> = outbound.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "cookie", "host"]);
        assert!(outbound.get_all(header::HOST).iter().eq([&host]));
        assert_eq!(request.header(&HeaderName::from_static("x-private")), Err(HeaderProblem::ConnectionListed));
    }

    #[test]
    fn two_fields_have_no_one_value() {
        let request = head("GET", "/", &[HOST, ("x-tenant", "a"), ("x-tenant", "b")]).unwrap();
        assert_eq!(request.header(&HeaderName::from_static("x-tenant")), Err(HeaderProblem::Repeated));
    }
}
