//! What the clients of a connection take the proxy for.

use std::sync::Arc;

use http::HeaderValue;

use super::interception::Interception;

/// What the clients of a connection take the proxy for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Role {
    /// For the service itself.
    #[default]
    Service,
    /// For an explicit proxy: requests are in absolute-form (RFC 9112, section 3.2.2), and CONNECT opens a tunnel where
    /// what is said in it can be intercepted.
    Proxy(Option<Interception>),
    /// For the service at the end of a tunnel, which ends here.
    TunnelEnd(Arc<TunnelEnd>),
}

/// What a tunnel was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelEnd {
    /// The host, and `:` and the port unless it is 443, in their one spelling.
    pub authority: Box<str>,
    /// The host alone, as a server's name or as an address without brackets.
    pub host: Box<str>,
    /// What the request for the tunnel told the proxy of its sender (`Proxy-Authorization`): all that comes out of the
    /// tunnel is the same one's.
    pub credential: Option<HeaderValue>,
}
