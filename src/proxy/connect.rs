//! Tunnels to services elsewhere (CONNECT, RFC 9110, section 9.3.6): whether one is opened.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use hyper::upgrade::OnUpgrade;
use prometheus::IntGauge;

use crate::{
    access::{CanonicalRequest, CredentialKind, CredentialRule, HeadRules, Malformed, Scheme, Timestamp},
    identity::{AuthenticationError, Possession},
    net::{OpenedTunnel, Peer, Role, TunnelEnd},
    route::RouteProblem,
    snapshot::Snapshot,
};

use super::{
    answer::Content, caller::Seen, exchange::Exchange, placement::presented, rejection::Rejection, shares::Shares,
};

/// What the snapshot says, whom it is asked about, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) seen: &'a Seen,
    pub(super) now: Timestamp,
    pub(super) tunnels: Tunnels<'a>,
}

/// The tunnels that are open, and how many one sender may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnels<'a> {
    pub(super) shares: &'a Shares,
    pub(super) most: usize,
    pub(super) open: &'a IntGauge,
}

/// Whether the request asks for a tunnel where there are some.
pub(super) fn is_asked<B>(peer: &Peer, request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT && matches!(&peer.role, Role::Proxy(Some(_)))
}

/// Opens a tunnel to a host and a port that some route names, for somebody who is known. Nothing is decided by that but
/// that the tunnel may be asked in: each request in it is decided by itself.
///
/// After a refusal the connection carries nothing more: what follows the request might be for the tunnel.
pub(super) fn open(
    exchange: &mut Exchange,
    circumstances: Circumstances<'_>,
    (rules, mut parts): (HeadRules, Parts),
    note: impl Fn(&AuthenticationError),
) -> Result<Response<Content>, Rejection> {
    let Circumstances { snapshot, seen, now, tunnels } = circumstances;
    let connection = parts.extensions.remove::<OnUpgrade>().ok_or(Malformed::RefusedMethod)?;
    let head = CanonicalRequest::parse_connect(rules, parts)?;
    exchange.tunnel(&head);
    if !snapshot.routes.names(head.authority(), Scheme::Https) {
        return Err(RouteProblem::NoRoute.into());
    }
    let credential = presented(&head)?;
    let challenges = snapshot.authenticator.challenges();
    let refused = |error: AuthenticationError| {
        note(&error);
        Rejection::unauthenticated(&error, challenges.unauthenticated(&error, &[]), None)
    };
    let fields = snapshot.authenticator.proxied(&head, credential).map_err(refused)?;
    // Which kinds it takes is for the routes of the requests to say.
    let any = CredentialRule::OneOf(CredentialKind::ALL.into());
    let asking = head.with_fields(&fields);
    let known = (now, Possession::ToProve);
    let authenticated = snapshot.authenticator.authenticate_as(&asking, &seen.credential, known, Some(&any));
    let authenticated = authenticated.map_err(refused)?;
    let caller = seen.caller(&authenticated)?;
    exchange.authenticated(&caller);
    snapshot.denylist.check(&authenticated).map_err(|revoked| refused(revoked.into()))?;
    let place = Arc::new(caller.enter_tunnel(tunnels)?);
    let host = head.authority().host();
    let end = Arc::new(TunnelEnd {
        authority: head.authority().as_str().into(),
        host: host.trim_start_matches('[').trim_end_matches(']').into(),
        credential: credential.cloned().map(|mut credential| {
            credential.set_sensitive(true);
            credential
        }),
    });
    let mut response = Response::new(Content::Whole(Bytes::new()));
    response.extensions_mut().insert(OpenedTunnel { end, connection, place });
    exchange.reserve()?; // No place for its record, no tunnel.
    exchange.opened();
    Ok(response)
}
