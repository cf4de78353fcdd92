//! What is kept of a decision. Never a credential, a query or a body.

use std::{fmt::Write, sync::Arc, time::SystemTime};

use http::Method;

use super::line::{Object, name, text, time};
use crate::access::{
    Access, Authority, ContextualTuple, DecisionId, Entity, Outcome, Principal, Reason, Revision, Scheme,
};

/// One decision, as one line of JSON.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// When the request's head had arrived (RFC 3339, UTC).
    pub time: SystemTime,
    /// The name of the decision.
    pub decision_id: DecisionId,
    /// The snapshot it was made by; 0 if there was none.
    pub revision: Revision,
    /// `allow` or `deny`; `answer` for what the proxy answers itself.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The reason in words, for the operator; the client does not see it.
    pub detail: Option<String>,
    /// Who asked; absent if nobody was authenticated.
    pub principal: Option<PrincipalRecord>,
    /// The address at the other end: it holds nothing that JSON escapes.
    pub peer: Arc<str>,
    /// The method; absent if the head was refused.
    pub method: Option<Method>,
    /// The scheme of what an explicit proxy was asked for; absent of other requests.
    pub scheme: Option<Scheme>,
    /// The canonical host.
    pub host: Option<Authority>,
    /// The canonical path, without the query: it holds nothing that JSON escapes (RFC 3986, section 3.3).
    pub path: Option<Arc<str>>,
    /// The name of the route.
    pub route: Option<Arc<str>>,
    /// What the message in its body calls, such as `tools/call search`.
    pub call: Option<Arc<str>>,
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
    /// How often the request was sent to the upstream, or could not be for want of a connection.
    pub upstream_attempts: u32,
    /// The status of a gRPC call; absent of other requests, and if it broke off.
    pub grpc_status: Option<u16>,
    /// Whether the answer reached its end; a client or an upstream may break it off.
    pub complete: bool,
    /// Why it was cut off: while it lasted it ceased to be permitted.
    pub cut: Option<Reason>,
    /// How long it took.
    pub durations_us: Durations,
    /// Body bytes.
    pub bytes: Bytes,
    /// How many elements of a filtered answer were passed on and removed.
    pub items: Option<Items>,
    /// What proves what was sent to the upstream, if that is kept.
    pub sent: Option<Box<SentDigests>>,
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
            scheme: None,
            host: None,
            path: None,
            route: None,
            call: None,
            accesses: Vec::new(),
            denied_member: None,
            denied_access: None,
            status: None,
            upstream_status: None,
            upstream_attempts: 0,
            grpc_status: None,
            complete: false,
            cut: None,
            durations_us: Durations::default(),
            bytes: Bytes::default(),
            items: None,
            sent: None,
        }
    }

    /// Writes it as one JSON object, without a line's end. What is not known is left out.
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        Object::write(line, |record| self.members(record));
    }

    fn members(&self, record: &mut Object<'_>) {
        record.member(name!("time"), |line| time(line, self.time));
        record.plain(name!("decision_id"), self.decision_id.as_bytes());
        record.number(name!("revision"), self.revision.number());
        record.plain(name!("outcome"), self.outcome.name());
        record.plain(name!("reason"), self.reason.name());
        record.text_if(name!("detail"), self.detail.as_deref());
        if let Some(principal) = &self.principal {
            record.member(name!("principal"), |line| line.extend_from_slice(&principal.0));
        }
        record.plain(name!("peer"), self.peer.as_bytes());
        if let Some(method) = &self.method {
            // Letters, digits and some signs, of which JSON escapes none (RFC 9110, section 5.6.2).
            record.plain(name!("method"), method.as_str());
        }
        if let Some(scheme) = self.scheme {
            record.plain(name!("scheme"), scheme.name());
        }
        if let Some(host) = &self.host {
            record.plain(name!("host"), host.as_str());
        }
        if let Some(path) = &self.path {
            record.plain(name!("path"), path.as_bytes());
        }
        record.text_if(name!("route"), self.route.as_deref());
        record.text_if(name!("call"), self.call.as_deref());
        record.array(name!("accesses"), &self.accesses, |line, access| {
            Object::write(line, |object| access.members(object));
        });
        record.text_if(name!("denied_member"), self.denied_member.as_ref().map(Entity::as_str));
        if let Some(access) = &self.denied_access {
            record.object(name!("denied_access"), |object| access.members(object));
        }
        record.number_if(name!("status"), self.status.map(u64::from));
        record.number_if(name!("upstream_status"), self.upstream_status.map(u64::from));
        if self.upstream_attempts > 1 {
            record.number(name!("upstream_attempts"), u64::from(self.upstream_attempts));
        }
        record.number_if(name!("grpc_status"), self.grpc_status.map(u64::from));
        record.flag(name!("complete"), self.complete);
        if let Some(cut) = self.cut {
            record.plain(name!("cut"), cut.name());
        }
        record.object(name!("durations_us"), |object| {
            object.number(name!("decision"), self.durations_us.decision);
            object.number(name!("upstream"), self.durations_us.upstream);
            object.number(name!("total"), self.durations_us.total);
        });
        record.object(name!("bytes"), |object| {
            object.number(name!("request"), self.bytes.request);
            object.number(name!("response"), self.bytes.response);
        });
        if let Some(sent) = &self.sent {
            record.object(name!("sent"), |object| sent.members(object));
        }
        if let Some(items) = self.items {
            record.object(name!("items"), |object| {
                object.number(name!("kept"), u64::try_from(items.kept).unwrap_or(u64::MAX));
                object.number(name!("removed"), u64::try_from(items.removed).unwrap_or(u64::MAX));
            });
        }
    }
}

/// SHA-256 of a request as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDigests {
    /// Of its line and its fields.
    pub head: [u8; 32],
    /// Of its body; absent if there was none, or if it was not read before it was passed on.
    pub body: Option<[u8; 32]>,
}

impl SentDigests {
    fn members(&self, object: &mut Object<'_>) {
        object.plain(name!("head_sha256"), hexadecimal(&self.head));
        if let Some(body) = &self.body {
            object.plain(name!("body_sha256"), hexadecimal(body));
        }
    }
}

fn hexadecimal(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Text is always written into memory.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Elements of a filtered answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items {
    /// Passed on.
    pub kept: usize,
    /// Removed.
    pub removed: usize,
}

/// The chain behind a request, and how it was authenticated: on whose authority it ran, through whom and within which
/// task, by which kind of credential, and by which issuer or key. Written out once, for many requests are of one chain.
#[derive(Debug, Clone)]
pub struct PrincipalRecord(Arc<[u8]>);

impl PrincipalRecord {
    /// The record of a chain that `credential`, `jwt`, `api_key`, `spiffe` or `signature`, of this issuer, key or ID came
    /// to. The owner answers for the key, if it is one and somebody does. Contextual tuples are what the token told of its
    /// subject.
    pub fn new(
        principal: &Principal,
        credential: &str,
        authority: &str,
        owner: Option<&str>,
        told: &[ContextualTuple],
    ) -> Self {
        let mut written = Vec::new();
        Object::write(&mut written, |object| {
            object.text(name!("subject"), principal.subject().as_str());
            object.array(name!("actors"), principal.actors(), |line, actor| text(line, actor.as_str()));
            object.text_if(name!("task"), principal.task().map(Entity::as_str));
            object.text(name!("credential"), &[credential, authority].join(" "));
            object.text_if(name!("owner"), owner);
            if !told.is_empty() {
                object.array(name!("contextual_tuples"), told, |line, tuple| text(line, &tuple.to_string()));
            }
        });
        Self(written.into())
    }
}

/// One access.
#[derive(Debug, Clone)]
pub struct AccessRecord(pub Access);

impl AccessRecord {
    fn members(&self, object: &mut Object<'_>) {
        object.text(name!("action"), self.0.action.as_str());
        object.text(name!("resource"), self.0.resource.as_str());
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
