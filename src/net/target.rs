//! Where upstreams are, and how long they may take.

use std::{fmt, hash::BuildHasher, str::FromStr, sync::Arc, time::Duration};

use foldhash::fast::FixedState;
use http::{HeaderValue, Uri};
use thiserror::Error;

use super::tls::ClientTls;

/// Where an upstream is: `http://host:port` or `https://host:port`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    tls: bool,
    authority: HeaderValue,
    // Of all the above, made once: a connection is looked up for every request.
    pub(super) hash: u64,
}

/// The text is not an upstream's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// Not a URL with a host.
    #[error("not a URL: write `http://host:port` or `https://host:port`")]
    NotAUrl,
    /// A scheme that is not spoken.
    #[error("the scheme is neither `http` nor `https`")]
    Scheme,
    /// A path, query or user information.
    #[error("only scheme, host and port: the request's own path is forwarded")]
    MoreThanAnOrigin,
}

impl FromStr for TargetUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::NotAUrl)?;
        let authority = uri.authority().ok_or(InvalidUrl::NotAUrl)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::NotAUrl),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(InvalidUrl::MoreThanAnOrigin);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let hash = FixedState::default().hash_one((host, port, tls));
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidUrl::NotAUrl)?;
        Ok(Self { host: host.into(), port, tls, authority, hash })
    }
}

impl TargetUrl {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The value of `Host` for this upstream.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }
}

/// An upstream and how long it may take.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Arc<TargetUrl>,
    /// The roots for its certificate, if the URL is `https`.
    pub tls: Option<ClientTls>,
    /// From the first packet to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer; while the request's body moves, time does not count.
    pub response_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin() {
        let url: TargetUrl = "https://crm.example".parse().unwrap();
        assert_eq!((url.host.as_ref(), url.port, url.is_tls()), ("crm.example", 443, true));
        let url: TargetUrl = "http://[::1]:9001/".parse().unwrap();
        assert_eq!((url.host.as_ref(), url.port, url.to_string().as_str()), ("::1", 9001, "http://[::1]:9001"));
        for text in ["", "crm", "crm:80", "ftp://a", "http://a/b", "http://a?b", "http://u@a", "/a"] {
            assert!(text.parse::<TargetUrl>().is_err(), "{text}");
        }
    }
}
