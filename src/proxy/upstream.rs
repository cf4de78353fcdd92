//! The way to an upstream. It takes a permit, which only the engine makes.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Body;
use smallvec::SmallVec;

use crate::{
    access::{
        CanonicalRequest, CredentialHandling, Malformed, Reason, Scheme, SentRequest, Timestamp, ends_here,
        may_be_trailer,
    },
    audit::SentDigests,
    net::{
        Client, Destination, Gate, Network, OutboundBody, Peer, Reach, Role, TakesTrailers, TargetUrl, UpstreamBody,
    },
    policy::Permit,
    route::Route,
    snapshot::{Snapshot, Upstream},
};

use super::{
    answer::Content, caller::Caller, lasting::Lasting, rejection::Rejection, sent, sessions::SESSION_ID, transaction,
    websocket::Opening,
};

pub(super) const DECISION_ID: HeaderName = HeaderName::from_static("portcullis-decision-id");
pub(super) const REVISION: HeaderName = HeaderName::from_static("portcullis-revision");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A permitted request, and what it was decided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permitted<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) permit: &'a Permit,
    pub(super) caller: &'a Caller,
    /// The fields by which the sender is known, if these are not the request's own.
    pub(super) sender: Option<&'a [(HeaderName, HeaderValue)]>,
    pub(super) route: &'a Route,
    pub(super) now: Timestamp,
    /// Whether the answer will be filtered: then it must come whole and readable.
    pub(super) filtered: bool,
    /// Whether the decision has read the body as JSON.
    pub(super) reads_json: bool,
}

/// A request on its way to an upstream. Only a permit makes one.
#[derive(Debug)]
pub(super) struct Outgoing {
    // In a box, because it moves through many hands.
    request: Box<Request<OutboundBody>>,
    // The client's connection does not serve another request.
    closes: bool,
    // The client can take trailers.
    takes_trailers: bool,
    // It may be sent again, when what it was permitted by may be long ago.
    is_repeatable: bool,
    // Where the client's connection was meant to go, if that is where the request goes.
    destination: Option<Destination>,
}

/// The canonical request as its upstream gets it, and what is left of it.
pub(super) fn request(
    permitted: Permitted<'_>,
    head: Box<CanonicalRequest>,
    body: OutboundBody,
    peer: &Peer,
    marks: &Marks,
) -> Result<(Outgoing, SentRequest), Rejection> {
    let Permitted { snapshot, route, .. } = permitted;
    let upstream = snapshot.upstream(route.upstream).ok_or_else(|| Rejection::new(Reason::InternalError))?;
    let url = destination(upstream, &head, peer)?;
    let destination = url.map(|url| Destination { url, lookups: permitted.caller.lookups() });
    let closes = head.asks_for_upgrade() || head.version() == Version::HTTP_10;
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = head.method().clone();
    *request.uri_mut() = head.target()?.into();
    *request.version_mut() = Version::HTTP_11;
    let takes_trailers = head.takes_trailers();
    if takes_trailers {
        request.extensions_mut().insert(TakesTrailers);
    }
    let (headers, sent) = request_headers(permitted, head, upstream, peer, marks)?;
    *request.headers_mut() = headers;
    if !request.body().is_end_stream() {
        // A body without a media type is a form to some servers. It is sent as what it was decided as (RFC 9110, section
        // 8.3: what is not named is bytes of any kind).
        let assumed = if permitted.reads_json { "application/json" } else { "application/octet-stream" };
        request.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(assumed));
    }
    let is_repeatable = upstream.endpoints.rules().retries.is_some();
    Ok((Outgoing { request, closes, takes_trailers, is_repeatable, destination }, sent))
}

impl Outgoing {
    /// Whether its body is yet to come.
    pub(super) fn is_uploading(&self) -> bool {
        !self.request.body().is_end_stream()
    }

    /// What of its body is yet to come from the client has to pass this gate, and what is sent again.
    pub(super) fn pass_by(&mut self, gate: impl FnOnce() -> Box<dyn Gate>) {
        if self.is_repeatable || self.is_uploading() && self.request.body().is_streamed() {
            self.request.body_mut().behind(gate());
        }
    }

    /// Names the session as the upstream knows it. Without one nothing is told again: it could be what somebody else was
    /// told.
    pub(super) fn in_session(&mut self, id: Option<HeaderValue>) {
        if id.is_none() || *self.request.method() != Method::GET {
            self.request.headers_mut().remove(LAST_EVENT_ID);
        }
        if let Some(id) = id {
            self.request.headers_mut().insert(SESSION_ID, id);
        }
    }

    /// Asks for the WebSocket connection in it.
    pub(super) fn ask(&mut self, opening: &Opening) {
        opening.write(self.request.headers_mut());
    }

    /// What proves later what it was.
    pub(super) fn digests(&self) -> SentDigests {
        sent::digests(&self.request)
    }

    /// Asks for the WebSocket connection, and waits for the head of the answer.
    pub(super) async fn open(
        self,
        upstream: &Upstream,
        opening: Opening,
        lasting: Box<Lasting>,
    ) -> Result<Response<Content>, Rejection> {
        opening.open(self.request, (upstream, self.destination), lasting).await
    }

    /// Sends it, now, and waits for the head of the answer.
    pub(super) async fn send(
        self,
        client: &Client,
        upstream: &Upstream,
        now: Instant,
    ) -> Result<Response<UpstreamBody>, Rejection> {
        let Self { request, closes, takes_trailers, destination, .. } = self;
        let endpoints = &upstream.endpoints;
        let mut response = match destination {
            Some(to) => endpoints.send_to(to, client, request, now).await?,
            None => endpoints.send(client, request, now).await?,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Rejection::with_detail(Reason::UpstreamMalformed, "101 without having been asked to switch"));
        }
        let announced = if takes_trailers { announced(response.headers()) } else { None };
        check_framing(response.headers())?;
        strip(response.headers_mut());
        if let Some(announced) = announced {
            response.headers_mut().insert(header::TRAILER, announced);
        }
        if closes {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Where the request goes, if that is not for the upstream to say.
fn destination(upstream: &Upstream, head: &CanonicalRequest, peer: &Peer) -> Result<Option<Arc<TargetUrl>>, Rejection> {
    match (&upstream.original_destination, &upstream.requested_host) {
        (None, None) => Ok(None),
        (Some(networks), _) => redirected(networks, peer).map(Some),
        (None, Some(reach)) => requested(reach, head, peer).map(Some),
    }
}

/// Where the connection was meant to go, if it may go there: who has connected has chosen that.
fn redirected(networks: &[Network], peer: &Peer) -> Result<Arc<TargetUrl>, Rejection> {
    let refused = |detail: &'static str| Rejection::with_detail(Reason::UpstreamUnreachable, detail);
    let (url, address) = peer.destination.as_ref().ok_or_else(|| refused("the connection was not redirected here"))?;
    let is_within = networks.iter().any(|network| network.contains(*address));
    is_within.then(|| Arc::clone(url)).ok_or_else(|| refused("the original destination is in none of its networks"))
}

/// The host that the client of an explicit proxy asks for, which a route names. Whether it is somewhere that may be
/// reached is seen when it is connected to.
fn requested(reach: &Reach, head: &CanonicalRequest, peer: &Peer) -> Result<Arc<TargetUrl>, Rejection> {
    let refused = |detail: &'static str| Rejection::with_detail(Reason::UpstreamUnreachable, detail);
    match &peer.role {
        // Its name of the service is not where that is.
        Role::Service => return Err(refused("the request did not come by way of an explicit proxy")),
        Role::Proxy(_) | Role::TunnelEnd(_) => {}
    }
    if head.scheme() == Scheme::Http && head.authority().port() == Some(Scheme::Https.default_port()) {
        return Err(refused("the port is that of https, and the request is in the clear"));
    }
    let url = format!("{}://{}", head.scheme().name(), head.authority());
    let url: TargetUrl = url.parse().map_err(|_| refused("the requested host is no place"))?;
    Ok(Arc::new(url.within(reach.clone())))
}

fn request_headers(
    permitted: Permitted<'_>,
    head: Box<CanonicalRequest>,
    upstream: &Upstream,
    peer: &Peer,
    marks: &Marks,
) -> Result<(HeaderMap, SentRequest), Rejection> {
    let Permitted { snapshot, permit, caller, sender, route, now, filtered, .. } = permitted;
    if !Arc::ptr_eq(permit.principal(), &caller.principal) {
        return Err(Rejection::with_detail(Reason::InternalError, "the permit is for another chain"));
    }
    let removed = match (sender, route.credential) {
        (None, CredentialHandling::Strip) => snapshot.authenticator.credential_fields(),
        (None, CredentialHandling::Forward) => &[],
        // Credentials in its own fields are for the service; what it says of its task is not.
        (Some(_), _) => snapshot.authenticator.task_field().map(std::slice::from_ref).unwrap_or_default(),
    };
    let host = head.authority().as_str();
    let host = HeaderValue::from_str(host).map_err(|_| Malformed::Host("it cannot be a field's value"))?;
    let scheme = head.scheme();
    let own_host = upstream.endpoints.authority().filter(|_| !upstream.preserve_host);
    let upstream_host = own_host.unwrap_or(&host).clone();
    let kept = if sender.is_none() { snapshot.authenticator.asked_fields() } else { &[] };
    let (mut headers, sent) = head.into_outbound_headers(upstream_host, removed, kept);
    if filtered {
        for name in
            [header::RANGE, header::IF_RANGE, header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        {
            headers.remove(name);
        }
    }
    headers.append(header::VIA, HeaderValue::from_static("1.1 portcullis"));
    // Who asks from where concerns the services behind the proxy, and nobody elsewhere.
    let sent = match sender {
        None => {
            headers.insert(FORWARDED_HOST, host);
            headers.insert(FORWARDED_FOR, peer.forwarded_for.clone());
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.name()));
            marks.clone().name_in(&mut headers);
            caller.mark(&mut headers);
            sent
        }
        Some(fields) => sent.presenting(fields),
    };
    if let Some(tokens) = &snapshot.transaction_tokens {
        if upstream.transaction_token {
            headers.insert(&tokens.header, transaction::token(tokens, permit, marks, peer, now)?);
        } else if route.credential == CredentialHandling::Strip {
            // What a client wrote there is nobody's word.
            headers.remove(&tokens.header);
        }
    }
    Ok((headers, sent))
}

/// Which trailers an upstream's answer announces, of those that may travel on. HTTP/1.1 sends no others.
fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| HeaderName::from_bytes(name.trim().as_bytes()));
    let names: Vec<HeaderName> = names.filter_map(Result::ok).filter(may_be_trailer).collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

/// Refuses an answer that two readers would part from the next one in two places (RFC 9112, section 6.1).
pub(super) fn check_framing(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next().map(HeaderValue::as_bytes);
    let is_one = match headers.get(header::TRANSFER_ENCODING) {
        None => length.is_none_or(|length| !length.is_empty() && length.iter().all(u8::is_ascii_digit)),
        Some(coding) => {
            let is_repeated = headers.get_all(header::TRANSFER_ENCODING).iter().nth(1).is_some();
            !is_repeated && length.is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
    };
    // The length is sent on as it came, whoever reads it.
    if is_one && lengths.next().is_none() {
        Ok(())
    } else {
        Err(Rejection::with_detail(Reason::UpstreamMalformed, "the framing is not exactly one"))
    }
}

/// Removes the fields of an upstream's answer that end here.
pub(super) fn strip(headers: &mut HeaderMap) {
    // `Connection` is one of those that end here: without any, none is named either.
    if !headers.keys().any(ends_here) {
        return;
    }
    let mut ending: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for value in headers.get_all(header::CONNECTION) {
        let listed = value.to_str().unwrap_or_default().split(',');
        ending.extend(listed.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()));
    }
    ending.extend(headers.keys().filter(|name| ends_here(name)).cloned());
    for name in ending {
        headers.remove(name);
    }
}

/// What names a decision, as values of fields.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// The decision's id.
    pub(super) id: HeaderValue,
    /// The revision that it was made by.
    pub(super) revision: HeaderValue,
}

impl Marks {
    /// Names the decision in the fields of a request or an answer.
    pub(super) fn name_in(self, headers: &mut HeaderMap) {
        headers.insert(DECISION_ID, self.id);
        headers.insert(REVISION, self.revision);
    }
}
