//! How large the parts of a request's head may be.

use http::{HeaderName, Version, header, request::Parts};

use super::request::Malformed;

/// The longest request line and the longest field, in bytes, however many a connection would carry. Of HTTP/2 they are
/// counted as they were decoded, and as HTTP/1.1 would write them: nobody behind the proxy has to take more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadBounds {
    /// Method, target and version, with a space between them (RFC 9112, section 3).
    pub line: usize,
    /// Name and value, with a colon and a space between them; all of `Cookie` together, which HTTP/2 may send in pieces.
    pub field: usize,
}

impl HeadBounds {
    /// The longest request line: what RFC 9112 (section 3) asks of everybody at least.
    pub const LINE: usize = 8 * 1024;
    /// The longest head, request line and fields together, whatever each of them may be.
    pub const HEAD: usize = 64 * 1024;
    /// The longest field, where nothing else is said.
    pub const FIELD: usize = 8 * 1024;

    /// Refuses a head with a part that is larger.
    pub fn check(self, parts: &Parts) -> Result<(), Malformed> {
        if line(parts) > self.line {
            return Err(Malformed::TargetTooLong);
        }
        let mut cookies = None;
        for (name, value) in &parts.headers {
            let alone = field(name, value.len());
            let length = if *name == header::COOKIE {
                let joined = cookies.map_or(alone, |before: usize| before + "; ".len() + value.len());
                *cookies.insert(joined)
            } else {
                alone
            };
            if length > self.field {
                return Err(Malformed::FieldTooLong);
            }
        }
        Ok(())
    }
}

impl Default for HeadBounds {
    fn default() -> Self {
        Self { line: Self::LINE, field: Self::FIELD }
    }
}

fn line(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    // Of HTTP/2 the authority is a field.
    let origin = match (parts.version, parts.uri.scheme_str(), parts.uri.authority()) {
        (Version::HTTP_2, _, _) | (_, _, None) => 0,
        (_, scheme, Some(authority)) => {
            scheme.map_or(0, |scheme| scheme.len() + "://".len()) + authority.as_str().len()
        }
    };
    parts.method.as_str().len() + origin + target + "  HTTP/1.1".len()
}

fn field(name: &HeaderName, value: usize) -> usize {
    name.as_str().len() + ": ".len() + value
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn checked(version: Version, target: &str, fields: &[(&str, usize)]) -> Result<(), Malformed> {
        let mut request = Request::get(target).version(version);
        for (name, length) in fields {
            request = request.header(*name, "x".repeat(*length));
        }
        HeadBounds::default().check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_line_and_each_field_have_a_longest() {
        let target = |length: usize| format!("/{}", "a".repeat(length - "GET / HTTP/1.1".len()));
        let absolute = |length: usize| format!("http://a{}", target(length - "http://a".len()));
        for version in [Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(checked(version, &target(8192), &[]), Ok(()));
            assert_eq!(checked(version, &target(8193), &[]), Err(Malformed::TargetTooLong));
            assert_eq!(checked(version, "/", &[("x", 8189), ("y", 8189)]), Ok(()));
            assert_eq!(checked(version, "/", &[("y", 1), ("x", 8190)]), Err(Malformed::FieldTooLong));
            assert_eq!(checked(version, "/", &[("cookie", 4088), ("cookie", 4094)]), Ok(()));
            assert_eq!(checked(version, "/", &[("cookie", 4088), ("cookie", 4095)]), Err(Malformed::FieldTooLong));
        }
        assert_eq!(checked(Version::HTTP_11, &absolute(8192), &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_11, &absolute(8193), &[]), Err(Malformed::TargetTooLong));
        assert_eq!(checked(Version::HTTP_2, &absolute(8193), &[]), Ok(()));
    }
}
