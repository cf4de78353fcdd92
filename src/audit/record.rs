//! What is kept of a decision. Never a credential, a query or a body.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use serde::{Serialize, Serializer};

use crate::access::{Access, DecisionId, Entity, Outcome, Principal, Reason, Revision};

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
    pub peer: SocketAddr,
    /// The method; absent if the head was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The canonical host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The canonical path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// What the request stands for.
    pub accesses: Vec<AccessRecord>,
    /// The member of the chain that was not permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_member: Option<String>,
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
    pub fn new(time: SystemTime, decision_id: DecisionId, peer: SocketAddr) -> Self {
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

/// The chain behind a request.
#[derive(Debug, Clone, Serialize)]
pub struct PrincipalRecord {
    /// On whose authority it ran.
    pub subject: String,
    /// Through whom, the current actor first.
    pub actors: Vec<String>,
    /// Within which task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How it was authenticated: `jwt` or `api_key`, and which issuer or key.
    pub credential: String,
}

impl PrincipalRecord {
    /// The chain, with a word on how it was authenticated.
    pub fn new(principal: &Principal, credential: String) -> Self {
        Self {
            subject: principal.subject().to_string(),
            actors: principal.actors().iter().map(Entity::to_string).collect(),
            task: principal.task().map(Entity::to_string),
            credential,
        }
    }
}

/// One access.
#[derive(Debug, Clone, Serialize)]
pub struct AccessRecord {
    /// The relation.
    pub action: String,
    /// The object.
    pub resource: String,
}

impl From<&Access> for AccessRecord {
    fn from(access: &Access) -> Self {
        Self { action: access.action.to_string(), resource: access.resource.to_string() }
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
    serializer.collect_str(id)
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
