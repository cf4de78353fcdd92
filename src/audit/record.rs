//! What is kept of a decision. Never a credential, a query or a body.

use std::{sync::Arc, time::SystemTime};

use http::Method;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::access::{Access, Authority, DecisionId, Entity, Outcome, Principal, Reason, Revision};

/// The longest method in a record, in characters.
const LONGEST_METHOD: usize = 32;

/// One decision, as one line of JSON.
#[derive(Debug, Clone, Serialize)]
pub struct AuditRecord {
    /// When the request's head had arrived (RFC 3339, UTC).
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The name of the decision.
    #[serde(serialize_with = "display")]
    pub decision_id: DecisionId,
    /// The snapshot it was made by; 0 if there was none.
    #[serde(serialize_with = "revision")]
    pub revision: Revision,
    /// `allow` or `deny`.
    #[serde(serialize_with = "outcome")]
    pub outcome: Outcome,
    /// Why.
    #[serde(serialize_with = "reason")]
    pub reason: Reason,
    /// The reason in words, for the operator; the client does not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who asked; absent if nobody was authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalRecord>,
    /// The address at the other end.
    pub peer: Arc<str>,
    /// The method; absent if the head was refused.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "method")]
    pub method: Option<Method>,
    /// The canonical host.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "host")]
    pub host: Option<Authority>,
    /// The canonical path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// What the request stands for.
    pub accesses: Vec<AccessRecord>,
    /// The member of the chain that was not permitted.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "member")]
    pub denied_member: Option<Entity>,
    /// The access that it was not permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_access: Option<AccessRecord>,
    /// The status that the client got; absent if it went away before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The status that the upstream answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Whether the answer reached its end; a client or an upstream may break it off.
    pub complete: bool,
    /// How long it took.
    pub durations_us: Durations,
    /// Body bytes.
    pub bytes: Bytes,
    /// How many elements of a filtered answer were passed on and removed.
    #[serde(skip_serializing_if = "Option::is_none")]
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
}

/// Elements of a filtered answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

impl Serialize for PrincipalRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { principal, credential, authority } = self;
        let mut fields = serializer.serialize_struct("principal", 4)?;
        fields.serialize_field("subject", principal.subject().as_str())?;
        fields.serialize_field("actors", &Names(principal.actors()))?;
        if let Some(task) = principal.task() {
            fields.serialize_field("task", task.as_str())?;
        }
        fields.serialize_field("credential", &format_args!("{credential} {authority}"))?;
        fields.end()
    }
}

struct Names<'a>(&'a [Entity]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Entity::as_str))
    }
}

/// One access.
#[derive(Debug, Clone)]
pub struct AccessRecord(pub Access);

impl Serialize for AccessRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("access", 2)?;
        fields.serialize_field("action", self.0.action.as_str())?;
        fields.serialize_field("resource", self.0.resource.as_str())?;
        fields.end()
    }
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Durations {
    /// The decision by the engine.
    pub decision: u64,
    /// From the sent request to the head of the upstream's answer.
    pub upstream: u64,
    /// From the head of the request to the end of the answer.
    pub total: u64,
}

/// Bytes of bodies.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Bytes {
    /// Sent to the upstream.
    pub request: u64,
    /// Sent to the client.
    pub response: u64,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // A clock before 1970 is wrong; its records are kept all the same.
    serializer.collect_str(&humantime::format_rfc3339_micros((*time).max(SystemTime::UNIX_EPOCH)))
}

fn display<S: Serializer>(id: &DecisionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(str::from_utf8(&id.encode()).unwrap_or_default())
}

fn method<S: Serializer>(method: &Option<Method>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = method.as_ref().map_or("", Method::as_str);
    let end = text.char_indices().nth(LONGEST_METHOD).map_or(text.len(), |(end, _)| end);
    serializer.serialize_str(text.get(..end).unwrap_or_default())
}

fn host<S: Serializer>(host: &Option<Authority>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(host.as_ref().map_or("", Authority::as_str))
}

fn member<S: Serializer>(member: &Option<Entity>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(member.as_ref().map_or("", Entity::as_str))
}

fn revision<S: Serializer>(revision: &Revision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(revision.number())
}

fn outcome<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.name())
}

fn reason<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.name())
}
