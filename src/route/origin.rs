//! Which pages of browsers may ask: what a page of another origin makes a browser send names it (RFC 6454, section 7), but for
//! what only reads and sends nothing that is asked for first.

use http::header;
use thiserror::Error;

use crate::{
    access::{Authority, CanonicalRequest},
    protocol::Json,
};

use super::table::Route;

/// How the fields of MCP begin, whose servers have to look at the origin (MCP, transports: security warning).
const MCP: &str = "mcp-";

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
    /// Whether the page that the request names may ask, if it names one. Where the route names no origins, pages may ask for
    /// everything but by fields of the Model Context Protocol.
    pub fn admits_origin(&self, head: &CanonicalRequest) -> bool {
        if !head.has(&header::ORIGIN) {
            return true;
        }
        match &self.origins {
            Some(origins) => {
                let origin = head.header(&header::ORIGIN).ok().flatten();
                origin.is_some_and(|origin| origins.iter().any(|known| *known.0 == *origin))
            }
            None => !head.has_beginning(MCP),
        }
    }

    /// Whether that page may send this body: without origins none may send messages of JSON-RPC, as those of MCP are.
    pub fn admits_body(&self, head: &CanonicalRequest, body: Option<&Json>) -> bool {
        if self.origins.is_some() || !head.has(&header::ORIGIN) {
            return true;
        }
        match body {
            Some(Json::Array(items)) => !items.iter().any(is_message),
            Some(body) => !is_message(body),
            None => true,
        }
    }
}

fn is_message(json: &Json) -> bool {
    matches!(json, Json::Object(members) if members.iter().any(|(name, _)| name.eq_ignore_ascii_case("jsonrpc")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for text in ["https://app.acme.example", "http://localhost:6274", "http://[::1]:8080", "app://host"] {
            assert!(Origin::parse(text).is_ok(), "{text}");
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
            "http://[::1]:80a",
            "http://[0::1]",
            "://a",
            "https://",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
