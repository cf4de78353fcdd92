//! One request from its head to the end of its answer, and the one record that it leaves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderValue, Method, request::Parts};

use crate::{
    access::{Access, CanonicalRequest, DecisionId, Outcome, Reason, Revision},
    audit::{AccessRecord, AuditLog, AuditRecord, AuditUnavailable, Items, PrincipalRecord, Slot},
    identity::{self, Authenticated},
    net::Peer,
    route::Route,
};

use super::{metrics::ProxyMetrics, rejection::Rejection, upstream::Marks};

/// The longest path in a record, in characters.
const LONGEST: usize = 1024;
/// The longest method in a record, in bytes: records wait in a queue, and a stranger chose how long it is.
const LONGEST_METHOD: usize = 32;

/// Gathers what happens to one request. It records exactly once, when it is dropped: whatever happened, also when the
/// client went away or a fault unwound.
#[derive(Debug)]
pub(super) struct Exchange {
    // `None` once it is recorded.
    record: Option<Box<AuditRecord>>,
    marks: Marks,
    begun: Instant,
    /// Time that was spent waiting for the client or the upstream.
    waited: Duration,
    decision: Option<Duration>,
    added: Option<Duration>,
    hides_existence: bool,
    sent: Arc<AtomicU64>,
    // A place in the audit log, once the request is permitted.
    slot: Option<Slot>,
    sinks: Arc<Sinks>,
}

/// Where exchanges are recorded and counted.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) audit: AuditLog,
    pub(super) metrics: ProxyMetrics,
}

impl Exchange {
    pub(super) fn begin(id: DecisionId, now: SystemTime, peer: &Peer, sinks: &Arc<Sinks>) -> Self {
        sinks.metrics.in_flight.inc();
        Self {
            record: Some(Box::new(AuditRecord::new(now, id, Arc::clone(&peer.address)))),
            marks: Marks {
                // Digits and hyphens are always a field's value.
                id: HeaderValue::from_bytes(&id.encode()).unwrap_or(HeaderValue::from_static("")),
                revision: HeaderValue::from_static("0"),
            },
            begun: Instant::now(),
            waited: Duration::ZERO,
            decision: None,
            added: None,
            hides_existence: false,
            sent: Arc::default(),
            slot: None,
            sinks: Arc::clone(sinks),
        }
    }

    /// What names the decision to the upstream and the client.
    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn revision(&self) -> Revision {
        self.record.as_ref().map_or_else(Revision::default, |record| record.revision)
    }

    pub(super) fn is_head(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.method == Some(Method::HEAD))
    }

    fn note(&mut self, change: impl FnOnce(&mut AuditRecord)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(super) fn hides_existence(&self) -> bool {
        self.hides_existence
    }

    /// Where the bytes that go to the upstream are counted.
    pub(super) fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    pub(super) fn by_snapshot(&mut self, revision: Revision) {
        self.marks.revision = HeaderValue::from(revision.number());
        self.note(|record| record.revision = revision);
    }

    /// Notes the method of a head that may yet be refused, of a long one only the beginning.
    pub(super) fn received(&mut self, parts: &Parts) {
        let beginning = parts.method.as_str().as_bytes().get(..LONGEST_METHOD);
        let method = beginning.map_or_else(|| Ok(parts.method.clone()), Method::from_bytes);
        self.note(|record| record.method = method.ok());
    }

    pub(super) fn canonical(&mut self, head: &CanonicalRequest) {
        self.note(|record| {
            record.host = Some(head.authority().clone());
            record.path = Some(shortened(head.path().as_str()));
        });
    }

    pub(super) fn routed(&mut self, route: &Route) {
        self.note(|record| record.route = Some(Arc::clone(&route.name)));
        self.hides_existence = route.hides_existence;
    }

    pub(super) fn authenticated(&mut self, authenticated: &Authenticated) {
        let (credential, authority) = match &authenticated.method {
            identity::Method::Jwt { issuer, .. } => ("jwt", Arc::clone(issuer)),
            identity::Method::ApiKey { id } => ("api_key", Arc::clone(id)),
        };
        let principal = Arc::clone(&authenticated.principal);
        self.note(|record| record.principal = Some(PrincipalRecord { principal, credential, authority }));
    }

    pub(super) fn mapped(&mut self, accesses: &[Access]) {
        self.note(|record| record.accesses = accesses.iter().cloned().map(AccessRecord).collect());
    }

    pub(super) fn waited(&mut self, duration: Duration) {
        self.waited += duration;
    }

    pub(super) fn decided(&mut self, duration: Duration) {
        self.decision = Some(duration);
    }

    /// Reserves the record of a permitted request; without a place for it, the request may not pass.
    pub(super) fn permit(&mut self) -> Result<(), AuditUnavailable> {
        self.slot = Some(self.sinks.audit.reserve()?);
        self.note(|record| (record.outcome, record.reason) = (Outcome::Allow, Reason::Permitted));
        Ok(())
    }

    pub(super) fn upstream_answered(&mut self, status: u16, took: Duration) {
        self.waited += took;
        self.note(|record| {
            record.upstream_status = Some(status);
            record.durations_us.upstream = microseconds(took);
        });
    }

    pub(super) fn upstream_failed(&self, upstream: &str, reason: Reason) {
        self.sinks.metrics.upstream_errors.with_label_values(&[upstream, reason.name()]).inc();
    }

    pub(super) fn filtered(&mut self, items: Items) {
        self.note(|record| record.items = Some(items));
    }

    pub(super) fn rejected(&mut self, rejection: &Rejection) {
        self.note(|record| {
            record.reason = rejection.reason;
            record.detail.clone_from(&rejection.detail);
            if let Some((member, access)) = &rejection.denied {
                record.denied_member = Some(member.clone());
                record.denied_access = Some(AccessRecord(access.clone()));
            }
        });
    }

    /// Notes that the head of the answer is on its way.
    pub(super) fn answering(&mut self, status: u16) {
        self.note(|record| record.status = Some(status));
        self.added = Some(self.begun.elapsed().saturating_sub(self.waited));
    }

    pub(super) fn sent_to_client(&mut self, bytes: usize) {
        self.note(|record| record.bytes.response += u64::try_from(bytes).unwrap_or(0));
    }

    pub(super) fn completed(&mut self) {
        self.note(|record| record.complete = true);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        let total = self.begun.elapsed();
        record.bytes.request = self.sent.load(Ordering::Relaxed);
        record.durations_us.total = microseconds(total);
        record.durations_us.decision = self.decision.map_or(0, microseconds);
        let metrics = &self.sinks.metrics;
        let route = record.route.as_deref().unwrap_or_default();
        metrics.decisions.with_label_values(&[route, record.outcome.name(), record.reason.name()]).inc();
        metrics.request_seconds.observe(total.as_secs_f64());
        if let Some(decision) = self.decision {
            metrics.decision_seconds.observe(decision.as_secs_f64());
        }
        if let Some(added) = self.added {
            metrics.added_seconds.observe(added.as_secs_f64());
        }
        metrics.in_flight.dec();
        let slot = self.slot.take().unwrap_or_else(|| self.sinks.audit.reserve_for_denial());
        slot.record(record);
    }
}

/// The beginning of a text that a stranger chose the length of.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
