//! A request for a tunnel (CONNECT: RFC 9110, section 9.3.6).

use http::{Method, Version, header, request::Parts};

use super::{
    authority::Authority,
    fields,
    head_rules::HeadRules,
    request::{self, CanonicalRequest, Malformed, Scheme},
};

impl CanonicalRequest {
    /// The canonical form of a request for a tunnel, or why it is refused. Its scheme is `https`, because nothing else is
    /// spoken in tunnels, its authority is the host and the port of the target, and it has no path of its own: no route is
    /// looked up for it, and nothing of it is sent.
    ///
    /// The target is `host:port` and nothing more (RFC 9112, section 3.2.3). `Host` must agree with it; HTTP/1.0 may leave
    /// it out. There is no body.
    pub fn parse_connect(rules: HeadRules, parts: Parts) -> Result<Self, Malformed> {
        let Parts { method, uri, version, mut headers, .. } = parts;
        // A stream of HTTP/2 is no tunnel here.
        if method != Method::CONNECT || version > Version::HTTP_11 {
            return Err(Malformed::RefusedMethod);
        }
        let noted = fields::check(&mut headers, version, rules)?;
        let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        if has_body || headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Malformed::Framing("CONNECT has no body"));
        }
        let target = uri.authority().filter(|_| uri.scheme().is_none() && uri.path_and_query().is_none());
        let target = target.filter(|target| target.port().is_some()).map(|target| target.as_str());
        let target = target.ok_or(Malformed::Target("CONNECT needs a host and a port, and nothing more"))?;
        let authority = if version == Version::HTTP_10 && !headers.contains_key(header::HOST) {
            let parsed = Authority::parse(target, Scheme::Https.default_port());
            parsed.map_err(|_| Malformed::Target("the authority is malformed"))?
        } else {
            request::authority(&uri, version, &headers, Scheme::Https)?
        };
        Ok(Self::tunnel(version, authority, headers, noted))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::access::Reason;

    fn asked(target: &str, version: Version, fields: &[(&str, &str)]) -> Result<String, Reason> {
        let mut request = Request::builder().method("CONNECT").uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        CanonicalRequest::parse_connect(HeadRules::default(), parts)
            .map(|head| head.authority().to_string())
            .map_err(Malformed::reason)
    }

    const HTTP: Version = Version::HTTP_11;
    const HOST: (&str, &str) = ("host", "api.example");

    #[test]
    fn a_tunnel_is_for_a_host_and_a_port() {
        assert_eq!(asked("API.example.:443", HTTP, &[HOST]).as_deref(), Ok("api.example"));
        assert_eq!(asked("api.example:8443", HTTP, &[("host", "api.example:8443")]).as_deref(), Ok("api.example:8443"));
        assert_eq!(asked("[::1]:443", HTTP, &[("host", "[0::1]:443")]).as_deref(), Ok("[::1]"));
        assert_eq!(asked("api.example:443", Version::HTTP_10, &[]).as_deref(), Ok("api.example"));
        assert_eq!(asked("api.example:443", HTTP, &[HOST, ("content-length", "0")]).as_deref(), Ok("api.example"));
        for target in
            ["api.example", "https://api.example:443", "http://api.example:443/", "/", "*", "u@api.example:443"]
        {
            assert_eq!(asked(target, HTTP, &[HOST]), Err(Reason::MalformedTarget), "{target}");
        }
    }

    #[test]
    fn host_agrees_and_nothing_is_there_twice() {
        let reason = |fields: &[(&str, &str)]| asked("api.example:443", HTTP, fields).unwrap_err();
        assert_eq!(reason(&[("host", "other.example")]), Reason::MalformedTarget);
        assert_eq!(reason(&[("host", "api.example:444")]), Reason::MalformedTarget);
        assert_eq!(reason(&[]), Reason::MalformedHost);
        assert_eq!(reason(&[HOST, HOST]), Reason::MalformedHost);
        assert_eq!(reason(&[HOST, ("content-length", "1")]), Reason::MalformedFraming);
        assert_eq!(reason(&[HOST, ("transfer-encoding", "chunked")]), Reason::MalformedFraming);
        assert_eq!(asked("api.example:443", Version::HTTP_2, &[HOST]), Err(Reason::RefusedMethod));
    }
}
