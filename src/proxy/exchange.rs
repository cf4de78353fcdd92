//! One request from its head to the end of its answer, and the one record that it leaves.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http::request::Parts;

use crate::{
    access::{Access, CanonicalRequest, DecisionId, Outcome, Reason, Revision},
    audit::{AccessRecord, AuditLog, AuditRecord, AuditUnavailable, Bytes, Durations, Items, PrincipalRecord, Slot},
    identity::{Authenticated, Method},
    net::Peer,
    route::Route,
};

use super::{metrics::ProxyMetrics, rejection::Rejection};

/// Gathers what happens to one request. It records exactly once, when it is dropped: whatever happened, also when the
/// client went away or a fault unwound.
#[derive(Debug)]
pub(super) struct Exchange {
    record: AuditRecord,
    begun: Instant,
    /// Time that was spent waiting for the client or the upstream.
    waited: Duration,
    decision: Option<Duration>,
    added: Option<Duration>,
    hides_existence: bool,
    sent: Arc<AtomicU64>,
    // A place in the audit log, once the request is permitted.
    slot: Option<Slot>,
    audit: AuditLog,
    metrics: ProxyMetrics,
}

impl Exchange {
    pub(super) fn begin(id: DecisionId, now: SystemTime, peer: Peer, audit: &AuditLog, metrics: &ProxyMetrics) -> Self {
        metrics.in_flight.inc();
        Self {
            record: empty(id, now, peer.address),
            begun: Instant::now(),
            waited: Duration::ZERO,
            decision: None,
            added: None,
            hides_existence: false,
            sent: Arc::default(),
            slot: None,
            audit: audit.clone(),
            metrics: metrics.clone(),
        }
    }

    pub(super) fn id(&self) -> DecisionId {
        self.record.decision_id
    }

    pub(super) fn revision(&self) -> Revision {
        self.record.revision
    }

    pub(super) fn is_head(&self) -> bool {
        self.record.method.as_deref() == Some("HEAD")
    }

    pub(super) fn hides_existence(&self) -> bool {
        self.hides_existence
    }

    /// Where the bytes that go to the upstream are counted.
    pub(super) fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    pub(super) fn by_snapshot(&mut self, revision: Revision) {
        self.record.revision = revision;
    }

    /// Notes the method of a head that may yet be refused. What is not plain is not noted.
    pub(super) fn received(&mut self, parts: &Parts) {
        self.record.method = Some(parts.method.as_str().chars().take(32).collect());
    }

    pub(super) fn canonical(&mut self, head: &CanonicalRequest) {
        self.record.host = Some(head.authority().to_string());
        self.record.path = Some(head.path().as_str().to_owned());
    }

    pub(super) fn routed(&mut self, route: &Route) {
        self.record.route = Some(Arc::clone(&route.name));
        self.hides_existence = route.hides_existence;
    }

    pub(super) fn authenticated(&mut self, authenticated: &Authenticated) {
        let credential = match &authenticated.method {
            Method::Jwt { issuer, .. } => format!("jwt {issuer}"),
            Method::ApiKey { id } => format!("api_key {id}"),
        };
        self.record.principal = Some(PrincipalRecord::new(&authenticated.principal, credential));
    }

    pub(super) fn mapped(&mut self, accesses: &[Access]) {
        self.record.accesses = accesses.iter().map(AccessRecord::from).collect();
    }

    pub(super) fn waited(&mut self, duration: Duration) {
        self.waited += duration;
    }

    pub(super) fn decided(&mut self, duration: Duration) {
        self.decision = Some(duration);
    }

    /// Reserves the record of a permitted request; without a place for it, the request may not pass.
    pub(super) fn permit(&mut self) -> Result<(), AuditUnavailable> {
        self.slot = Some(self.audit.reserve()?);
        self.record.outcome = Outcome::Allow;
        self.record.reason = Reason::Permitted;
        Ok(())
    }

    pub(super) fn upstream_answered(&mut self, status: u16, took: Duration) {
        self.waited += took;
        self.record.upstream_status = Some(status);
        self.record.durations_us.upstream = microseconds(took);
    }

    pub(super) fn upstream_failed(&self, upstream: &str, reason: Reason) {
        self.metrics.upstream_errors.with_label_values(&[upstream, reason.name()]).inc();
    }

    pub(super) fn filtered(&mut self, items: Items) {
        self.record.items = Some(items);
    }

    pub(super) fn rejected(&mut self, rejection: &Rejection) {
        self.record.reason = rejection.reason;
        self.record.detail.clone_from(&rejection.detail);
        if let Some((member, access)) = &rejection.denied {
            self.record.denied_member = Some(member.to_string());
            self.record.denied_access = Some(access.into());
        }
    }

    /// Notes that the head of the answer is on its way.
    pub(super) fn answering(&mut self, status: u16) {
        self.record.status = Some(status);
        self.added = Some(self.begun.elapsed().saturating_sub(self.waited));
    }

    pub(super) fn sent_to_client(&mut self, bytes: usize) {
        self.record.bytes.response += u64::try_from(bytes).unwrap_or(0);
    }

    pub(super) fn completed(&mut self) {
        self.record.complete = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let total = self.begun.elapsed();
        let record = &mut self.record;
        record.bytes.request = self.sent.load(Ordering::Relaxed);
        record.durations_us.total = microseconds(total);
        record.durations_us.decision = self.decision.map_or(0, microseconds);
        let route = record.route.as_deref().unwrap_or_default();
        let labels = [route, record.outcome.name(), record.reason.name()];
        self.metrics.decisions.with_label_values(&labels).inc();
        self.metrics.request_seconds.observe(total.as_secs_f64());
        if let Some(decision) = self.decision {
            self.metrics.decision_seconds.observe(decision.as_secs_f64());
        }
        if let Some(added) = self.added {
            self.metrics.added_seconds.observe(added.as_secs_f64());
        }
        self.metrics.in_flight.dec();
        let slot = self.slot.take().unwrap_or_else(|| self.audit.reserve_for_denial());
        // A drop cannot give its field away: the record that stays behind is an empty one.
        let left = empty(record.decision_id, record.time, record.peer);
        slot.record(std::mem::replace(record, left));
    }
}

/// The record of a decision of which nothing is known yet.
fn empty(decision_id: DecisionId, time: SystemTime, peer: SocketAddr) -> AuditRecord {
    AuditRecord {
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

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
