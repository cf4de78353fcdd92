//! What is kept of a decision. Never a credential, a query or a body.

use std::{io::Write, sync::Arc, time::SystemTime};

use http::Method;

use super::line::{Object, text};
use crate::access::{Access, Authority, DecisionId, Entity, Outcome, Principal, Reason, Revision};

/// One decision, as one line of JSON.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// When the request's head had arrived (RFC 3339, UTC).
    pub time: SystemTime,
    /// The name of the decision.
    pub decision_id: DecisionId,
    /// The snapshot it was made by; 0 if there was none.
    pub revision: Revision,
    /// `allow` or `deny`.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The reason in words, for the operator; the client does not see it.
    pub detail: Option<String>,
    /// Who asked; absent if nobody was authenticated.
    pub principal: Option<PrincipalRecord>,
    /// The address at the other end.
    pub peer: Arc<str>,
    /// The method; absent if the head was refused.
    pub method: Option<Method>,
    /// The canonical host.
    pub host: Option<Authority>,
    /// The canonical path, without the query.
    pub path: Option<String>,
    /// The name of the route.
    pub route: Option<Arc<str>>,
    /// What the request stands for.
    pub accesses: Vec<AccessRecord>,
    /// The member of the chain that was not permitted.
    pub denied_member: Option<Entity>,
    /// The access that it was not permitted.
    pub denied_access: Option<AccessRecord>,
    /// The status that the client got; absent if it went away before.
    pub status: Option<u16>,
    /// The status that the upstream answered with.
    pub upstream_status: Option<u16>,
    /// Whether the answer reached its end; a client or an upstream may break it off.
    pub complete: bool,
    /// How long it took.
    pub durations_us: Durations,
    /// Body bytes.
    pub bytes: Bytes,
    /// How many elements of a filtered answer were passed on and removed.
    pub items: Option<Items>,
}

impl AuditRecord {
    /// The record of a request of which nothing is known but its time, its decision and where it came from: it is
    /// denied, and nobody has waited for the answer.
    pub fn new(time: SystemTime, decision_id: DecisionId, peer: Arc<str>) -> Self {
        Self {
            time,
            decision_id,
            revision: Revision::default(),
            outcome: Outcome::Deny,
            reason: Reason::Abandoned,
            detail: None,
            principal: None,
            peer,
            method: None,
            host: None,
            path: None,
            route: None,
            accesses: Vec::new(),
            denied_member: None,
            denied_access: None,
            status: None,
            upstream_status: None,
            complete: false,
            durations_us: Durations::default(),
            bytes: Bytes::default(),
            items: None,
        }
    }

    /// Writes it as one JSON object, without a line's end. What is not known is left out.
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        Object::write(line, |record| self.members(record));
    }

    fn members(&self, record: &mut Object<'_>) {
        // A clock before 1970 is wrong; its records are kept all the same.
        let time = humantime::format_rfc3339_micros(self.time.max(SystemTime::UNIX_EPOCH));
        let mut buffer = [0; 32];
        record.text("time", displayed(&mut buffer, time));
        record.text("decision_id", str::from_utf8(&self.decision_id.encode()).unwrap_or_default());
        record.number("revision", self.revision.number());
        record.text("outcome", self.outcome.name());
        record.text("reason", self.reason.name());
        record.text_if("detail", self.detail.as_deref());
        if let Some(principal) = &self.principal {
            record.object("principal", |object| principal.members(object));
        }
        record.text("peer", &self.peer);
        record.text_if("method", self.method.as_ref().map(Method::as_str));
        record.text_if("host", self.host.as_ref().map(Authority::as_str));
        record.text_if("path", self.path.as_deref());
        record.text_if("route", self.route.as_deref());
        record.array("accesses", &self.accesses, |line, access| Object::write(line, |object| access.members(object)));
        record.text_if("denied_member", self.denied_member.as_ref().map(Entity::as_str));
        if let Some(access) = &self.denied_access {
            record.object("denied_access", |object| access.members(object));
        }
        record.number_if("status", self.status.map(u64::from));
        record.number_if("upstream_status", self.upstream_status.map(u64::from));
        record.flag("complete", self.complete);
        record.object("durations_us", |object| {
            object.number("decision", self.durations_us.decision);
            object.number("upstream", self.durations_us.upstream);
            object.number("total", self.durations_us.total);
        });
        record.object("bytes", |object| {
            object.number("request", self.bytes.request);
            object.number("response", self.bytes.response);
        });
        if let Some(items) = self.items {
            record.object("items", |object| {
                object.number("kept", u64::try_from(items.kept).unwrap_or(u64::MAX));
                object.number("removed", u64::try_from(items.removed).unwrap_or(u64::MAX));
            });
        }
    }
}

/// A text of at most 32 bytes, written without a place of its own.
fn displayed(buffer: &mut [u8; 32], value: impl std::fmt::Display) -> &str {
    let mut rest = buffer.as_mut_slice();
    // What does not fit is cut: the record is kept all the same.
    let _ = write!(rest, "{value}");
    let left = rest.len();
    str::from_utf8(buffer.get(..buffer.len() - left).unwrap_or_default()).unwrap_or_default()
}

/// Elements of a filtered answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items {
    /// Passed on.
    pub kept: usize,
    /// Removed.
    pub removed: usize,
}

/// The chain behind a request, and how it was authenticated.
#[derive(Debug, Clone)]
pub struct PrincipalRecord {
    /// On whose authority it ran, through whom, and within which task.
    pub principal: Arc<Principal>,
    /// The kind of the credential: `jwt` or `api_key`.
    pub credential: &'static str,
    /// Which issuer, or which key.
    pub authority: Arc<str>,
    /// Who answers for the key, if it is one and somebody does.
    pub owner: Option<Arc<str>>,
}

impl PrincipalRecord {
    fn members(&self, object: &mut Object<'_>) {
        object.text("subject", self.principal.subject().as_str());
        object.array("actors", self.principal.actors(), |line, actor| text(line, actor.as_str()));
        if let Some(task) = self.principal.task() {
            object.text("task", task.as_str());
        }
        object.text("credential", &[self.credential, &self.authority].join(" "));
        object.text_if("owner", self.owner.as_deref());
    }
}

/// One access.
#[derive(Debug, Clone)]
pub struct AccessRecord(pub Access);

impl AccessRecord {
    fn members(&self, object: &mut Object<'_>) {
        object.text("action", self.0.action.as_str());
        object.text("resource", self.0.resource.as_str());
    }
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Durations {
    /// The decision by the engine.
    pub decision: u64,
    /// From the sent request to the head of the upstream's answer.
    pub upstream: u64,
    /// From the head of the request to the end of the answer.
    pub total: u64,
}

/// Bytes of bodies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bytes {
    /// Sent to the upstream.
    pub request: u64,
    /// Sent to the client.
    pub response: u64,
}
