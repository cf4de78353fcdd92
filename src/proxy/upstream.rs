//! The way to an upstream. It takes a permit, which only the engine makes.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};

use crate::{
    access::{
        CanonicalRequest, CredentialHandling, DecisionId, Malformed, Reason, Revision, is_hop_by_hop, is_reserved,
    },
    net::{Client, OutboundBody, Peer, UpstreamBody},
    policy::Permit,
    route::{Operation, Route},
    snapshot::{Snapshot, Upstream},
};

use super::rejection::Rejection;

pub(super) const DECISION_ID: HeaderName = HeaderName::from_static("portcullis-decision-id");
pub(super) const REVISION: HeaderName = HeaderName::from_static("portcullis-revision");
const SUBJECT: HeaderName = HeaderName::from_static("portcullis-subject");
const ACTORS: HeaderName = HeaderName::from_static("portcullis-actors");
const TASK: HeaderName = HeaderName::from_static("portcullis-task");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a permitted request is made of.
#[derive(Debug)]
pub(super) struct Permitted<'a> {
    pub(super) head: &'a CanonicalRequest,
    pub(super) route: &'a Route,
    pub(super) operation: &'a Operation,
    pub(super) peer: Peer,
    pub(super) id: DecisionId,
}

/// Sends the canonical request to its upstream. Nothing is sent without a permit.
pub(super) async fn send(
    client: &Client,
    snapshot: &Snapshot,
    permit: &Permit,
    permitted: Permitted<'_>,
    body: OutboundBody,
) -> Result<Response<UpstreamBody>, Rejection> {
    let upstream = snapshot.upstream(permitted.route.upstream).ok_or_else(|| Rejection::new(Reason::InternalError))?;
    let mut request = Request::new(body);
    *request.method_mut() = permitted.head.method().clone();
    *request.uri_mut() = permitted.head.target()?.into();
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers(snapshot, permit, &permitted, upstream)?;
    let response = client.send(&upstream.target, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Rejection::with_detail(Reason::UpstreamMalformed, "101 without having been asked to switch"));
    }
    Ok(response.map(|body| body))
}

fn headers(
    snapshot: &Snapshot,
    permit: &Permit,
    permitted: &Permitted<'_>,
    upstream: &Upstream,
) -> Result<HeaderMap, Rejection> {
    let head = permitted.head;
    let removed = match permitted.route.credential {
        CredentialHandling::Strip => snapshot.authenticator.credential_fields(),
        CredentialHandling::Forward => &[],
    };
    let mut headers = head.outbound_headers(removed);
    if permitted.operation.filter.is_some() {
        // A filtered answer must come whole and readable.
        for name in
            [header::RANGE, header::IF_RANGE, header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        {
            headers.remove(name);
        }
    }
    let host = text(&head.authority().to_string())?;
    headers.insert(FORWARDED_HOST, host.clone());
    headers.insert(header::HOST, if upstream.preserve_host { host } else { upstream.target.url.authority().clone() });
    headers.insert(FORWARDED_FOR, text(&permitted.peer.address.ip().to_string())?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(head.scheme().name()));
    headers.append(header::VIA, HeaderValue::from_static("1.1 portcullis"));
    headers.insert(DECISION_ID, text(&permitted.id.to_string())?);
    headers.insert(REVISION, revision(snapshot.revision));
    let principal = permit.principal();
    headers.insert(SUBJECT, text(principal.subject().as_str())?);
    if !principal.actors().is_empty() {
        let actors: Vec<&str> = principal.actors().iter().map(|actor| actor.as_str()).collect();
        headers.insert(ACTORS, text(&actors.join(" "))?);
    }
    if let Some(task) = principal.task() {
        headers.insert(TASK, text(task.as_str())?);
    }
    Ok(headers)
}

/// The fields of an upstream's answer that travel on.
pub(super) fn answer_headers(mut headers: HeaderMap) -> HeaderMap {
    let mut ending: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let listed = value.to_str().unwrap_or_default().split(',');
        ending.extend(listed.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()));
    }
    ending.extend(headers.keys().filter(|name| is_hop_by_hop(name) || is_reserved(name)).cloned());
    for name in ending {
        headers.remove(name);
    }
    headers
}

/// Names the decision in an answer.
pub(super) fn mark(headers: &mut HeaderMap, id: DecisionId, revision_number: Revision) {
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(DECISION_ID, id);
    }
    headers.insert(REVISION, revision(revision_number));
}

fn revision(revision: Revision) -> HeaderValue {
    HeaderValue::from(revision.number())
}

/// Ids may hold any UTF-8 that is not white space or a control character: outside ASCII it travels as obs-text.
fn text(text: &str) -> Result<HeaderValue, Rejection> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Malformed::Header("a name cannot be a field's value").into())
}
