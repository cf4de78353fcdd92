//! Which pages of browsers may ask: what a page makes a browser send comes with the page's origin (RFC 6454, section 7).

use http::{HeaderName, header};
use thiserror::Error;

use crate::access::{Authority, CanonicalRequest};

use super::table::Route;

/// The fields of a message of MCP, whose servers have to look at the origin (MCP, transports: security warning).
static MCP: [HeaderName; 4] = [
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-session-id"),
];

/// The text is not an origin as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not an origin as browsers write it: `https://app.acme.example`, in lower case, with no path and no usual port"
)]
pub struct InvalidOrigin(String);

/// The origin of pages, in the one spelling that browsers give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Box<str>);

impl Origin {
    /// Reads `scheme://host[:port]`. Refuses `null`, which any page can make its own.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = || InvalidOrigin(text.to_owned());
        let (scheme, host) = text.split_once("://").ok_or_else(invalid)?;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(legal);
        let authority = match scheme {
            "http" => Authority::parse(host, 80),
            "https" => Authority::parse(host, 443),
            _ => host.parse(),
        };
        let is_spelled_so = authority.is_ok_and(|authority| authority.as_str() == host);
        if is_scheme && is_spelled_so { Ok(Self(text.into())) } else { Err(invalid()) }
    }
}

impl Route {
    /// Whether the page that the request is of may ask, if it is of one. Where the route names no origins, pages may ask for
    /// everything but by the Model Context Protocol.
    pub fn admits_origin(&self, head: &CanonicalRequest) -> bool {
        if !head.has(&header::ORIGIN) {
            return true;
        }
        match &self.origins {
            Some(origins) => {
                let origin = head.header(&header::ORIGIN).ok().flatten();
                origin.is_some_and(|origin| origins.iter().any(|known| *known.0 == *origin))
            }
            None => !MCP.iter().any(|name| head.has(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for text in ["https://app.acme.example", "http://localhost:6274", "http://[::1]:80a", "app://host"] {
            assert_eq!(Origin::parse(text).is_ok(), !text.ends_with("80a"), "{text}");
        }
        for text in [
            "null",
            "",
            "*",
            "app.acme.example",
            "https://app.acme.example/",
            "https://App.acme.example",
            "HTTPS://app.acme.example",
            "https://app.acme.example:443",
            "http://app.acme.example:80",
            "https://*.acme.example",
            "https://user@app.acme.example",
            "https://app.acme.example.",
            "://a",
            "https://",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
