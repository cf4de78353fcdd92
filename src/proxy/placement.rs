//! What follows for a request from what its client takes the proxy for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header, request::Parts};

use crate::{
    access::{CanonicalRequest, HeadRules, HeaderProblem, Malformed, Reason, Scheme},
    identity::{AuthenticationError, SenderFields},
    net::{Peer, Role, Transport},
    route::{Route, RouteProblem},
    snapshot::Snapshot,
};

use super::rejection::Rejection;

/// The canonical form of the request, by these rules.
///
/// An explicit proxy is asked in absolute-form (RFC 9112, section 3.2.2), for `http` alone: what is for `https` comes
/// through a tunnel, out of which no other scheme comes.
pub(super) fn canonical(rules: HeadRules, parts: Parts, peer: &Peer) -> Result<CanonicalRequest, Malformed> {
    let named = parts.uri.scheme_str();
    let scheme = match &peer.role {
        Role::Service => match peer.transport {
            Transport::Clear => Scheme::Http,
            Transport::Tls => Scheme::Https,
        },
        Role::Proxy(_) => match named {
            Some("http") => Scheme::Http,
            // It is refused as such.
            _ if parts.method == Method::CONNECT => Scheme::Http,
            Some(_) => {
                return Err(Malformed::Target("a proxy is asked for `http` alone: `https` comes through CONNECT"));
            }
            None => return Err(Malformed::Target("a proxy is asked in absolute-form")),
        },
        Role::TunnelEnd(_) => match named {
            Some("https") | None => Scheme::Https,
            Some(_) => return Err(Malformed::Target("the scheme is not the tunnel's")),
        },
    };
    CanonicalRequest::parse_by(rules, parts, scheme)
}

/// Refuses a request that is for another host than its tunnel, or than the name which its connection was made for, where
/// that has decided something (RFC 9110, section 15.5.20). A client that shares one connection among hosts tries again on
/// another one.
pub(super) fn check(peer: &Peer, head: &CanonicalRequest) -> Result<(), Rejection> {
    match &peer.role {
        Role::Service => match &peer.asked_name {
            Some(asked) if !asked.admits(head.authority().host()) => Err(Rejection::new(Reason::Misdirected)),
            Some(_) | None => Ok(()),
        },
        Role::Proxy(_) => Ok(()),
        Role::TunnelEnd(end) if head.authority().as_str() == &*end.authority => Ok(()),
        Role::TunnelEnd(_) => Err(Rejection::new(Reason::Misdirected).closing_if(true)),
    }
}

/// What is open to everybody, if that is what the request asks for. Of services elsewhere it is theirs.
pub(super) fn public(peer: &Peer, snapshot: &Snapshot, head: &CanonicalRequest) -> Option<Bytes> {
    match &peer.role {
        Role::Service => {
            let keys = || snapshot.transaction_tokens.as_ref().and_then(|tokens| tokens.keys(head));
            snapshot.authenticator.challenges().metadata(head).or_else(keys)
        }
        Role::Proxy(_) | Role::TunnelEnd(_) => None,
    }
}

/// The most specific route for the request; of those that name a host, where the client has chosen it, and only if it is
/// for egress.
pub(super) fn route<'s>(
    peer: &Peer,
    snapshot: &'s Snapshot,
    head: &CanonicalRequest,
) -> Result<&'s Arc<Route>, RouteProblem> {
    match &peer.role {
        Role::Service => snapshot.routes.find(head),
        Role::Proxy(_) | Role::TunnelEnd(_) => snapshot.routes.find_egress(head),
    }
}

/// The fields by which the sender of the request is known, where these are not its own: `Authorization` belongs to the
/// service that is reached through the proxy.
pub(super) fn sender(
    peer: &Peer,
    snapshot: &Snapshot,
    head: &CanonicalRequest,
) -> Result<Option<Result<SenderFields, AuthenticationError>>, Rejection> {
    let presented = match &peer.role {
        Role::Service => return Ok(None),
        Role::Proxy(_) => presented(head)?,
        Role::TunnelEnd(end) => end.credential.as_ref(),
    };
    Ok(Some(snapshot.authenticator.proxied(head, presented)))
}

/// What the request itself tells the proxy of its sender.
pub(super) fn presented(head: &CanonicalRequest) -> Result<Option<&HeaderValue>, Rejection> {
    head.header_value(&header::PROXY_AUTHORIZATION).map_err(|problem| match problem {
        HeaderProblem::Repeated => Malformed::Repeated.into(),
        HeaderProblem::NotText | HeaderProblem::ConnectionListed => {
            Malformed::Header("Connection names Proxy-Authorization").into()
        }
    })
}

/// The refusal as the client of such a connection is told it.
pub(super) fn told(peer: &Peer, rejection: Rejection) -> Rejection {
    match &peer.role {
        Role::Service => rejection,
        Role::Proxy(_) | Role::TunnelEnd(_) => rejection.by_proxy(),
    }
}
