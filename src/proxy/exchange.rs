//! One request from its head to the end of its answer, and the one record that it leaves.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, request::Parts};
use hyper::body::Frame;

use crate::{
    access::{Access, CanonicalRequest, DecisionId, Outcome, Reason, Revision},
    audit::{AccessRecord, AuditLog, AuditRecord, AuditUnavailable, Items, SentDigests, Slot},
    net::{Allowance, Ending, Peer, Progress, Role, Spent},
    route::{CountedBodies, Route},
};

use super::{
    caller::{Caller, Seen},
    grpc,
    mcp::Awaited,
    metrics::{Ended, ProxyMetrics, Shard},
    rejection::Rejection,
    shares::Place,
    upstream::Marks,
};

/// The longest path in a record, in characters.
const LONGEST: usize = 1024;
/// The longest method in a record, in bytes: records wait in a queue, and a stranger chose how long it is.
const LONGEST_METHOD: usize = 32;

/// Gathers what happens to one request. It records exactly once, when it is dropped: whatever happened, also when the
/// client went away or a fault unwound.
///
/// In a box of its own, because it moves with its answer.
#[derive(Debug)]
pub(super) struct Exchange(Box<State>);

#[derive(Debug)]
struct State {
    record: AuditRecord,
    marks: Marks,
    begun: Instant,
    /// Time that was spent waiting for the client or the upstream.
    waited: Duration,
    decision: Option<Duration>,
    added: Option<Duration>,
    hides_existence: bool,
    // A gRPC call, which is answered in its own way.
    is_call: bool,
    // A request of MCP, whose refusal answers it.
    awaited: Option<Box<Awaited>>,
    progress: Arc<Progress>,
    // A place in the audit log, once the request is to be permitted.
    slot: Option<Slot>,
    // Among the requests of its sender.
    place: Option<Place>,
    // What may pass, and whether the answer counts too.
    allowance: Option<(Allowance, CountedBodies)>,
    sinks: Arc<Sinks>,
}

/// Where exchanges are recorded and counted.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) audit: AuditLog,
    pub(super) metrics: ProxyMetrics,
    pub(super) shard: Arc<Shard>,
}

impl Exchange {
    pub(super) fn begin(id: DecisionId, now: SystemTime, peer: &Peer, sinks: &Arc<Sinks>) -> Self {
        sinks.metrics.in_flight.inc();
        Self(Box::new(State {
            record: AuditRecord::new(now, id, Arc::clone(&peer.address)),
            marks: Marks {
                // Digits and hyphens are always a field's value.
                id: HeaderValue::from_bytes(id.as_bytes()).unwrap_or(HeaderValue::from_static("")),
                revision: HeaderValue::from_static("0"),
            },
            begun: Instant::now(),
            waited: Duration::ZERO,
            decision: None,
            added: None,
            hides_existence: false,
            is_call: false,
            awaited: None,
            progress: Arc::default(),
            slot: None,
            place: None,
            allowance: None,
            sinks: Arc::clone(sinks),
        }))
    }

    /// What names the decision to the upstream and the client.
    pub(super) fn marks(&self) -> &Marks {
        &self.0.marks
    }

    /// The same for whoever is the last to be told.
    pub(super) fn take_marks(&mut self) -> Marks {
        const TOLD: HeaderValue = HeaderValue::from_static("");
        std::mem::replace(&mut self.0.marks, Marks { id: TOLD, revision: TOLD })
    }

    pub(super) fn revision(&self) -> Revision {
        self.0.record.revision
    }

    pub(super) fn is_head(&self) -> bool {
        self.0.record.method == Some(Method::HEAD)
    }

    pub(super) fn is_call(&self) -> bool {
        self.0.is_call
    }

    /// Notes what waits for an answer to a message, if something does.
    pub(super) fn awaited(&mut self, awaited: Option<Awaited>) {
        self.0.awaited = awaited.map(Box::new);
    }

    /// Notes what a message calls.
    pub(super) fn calls(&mut self, called: String) {
        self.0.record.call = Some(shortened(&called.into()));
    }

    /// The refusal as whoever asked understands it.
    pub(super) fn refusal(&self, rejection: &Rejection) -> Response<Bytes> {
        let (named, revision, hides) = (&self.0.marks.id, self.revision(), self.0.hides_existence);
        if self.0.is_call {
            return rejection.call_response(hides);
        }
        let answered = self.0.awaited.as_deref().and_then(|it| rejection.rpc_response(it, named, revision, hides));
        answered.unwrap_or_else(|| rejection.response(named, revision, hides))
    }

    /// Notes the status of a call, if the fields tell it.
    pub(super) fn call_ended(&mut self, fields: &HeaderMap) {
        if self.0.is_call {
            self.0.record.grpc_status = grpc::status(fields).or(self.0.record.grpc_status);
        }
    }

    pub(super) fn hides_existence(&self) -> bool {
        self.0.hides_existence
    }

    /// Where the bytes that go to the upstream are counted, until the exchange is over.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.0.progress)
    }

    /// So many bytes have gone there by now.
    pub(super) fn sent_upstream(&self) -> u64 {
        self.0.progress.sent()
    }

    pub(super) fn by_snapshot(&mut self, revision: Revision, seen: &Seen) {
        self.0.marks.revision = seen.revision(revision);
        self.0.record.revision = revision;
    }

    /// Notes the method of a head that may yet be refused, of a long one only the beginning.
    pub(super) fn received(&mut self, parts: &Parts) {
        let beginning = parts.method.as_str().as_bytes().get(..LONGEST_METHOD);
        let method = beginning.map_or_else(|| Ok(parts.method.clone()), Method::from_bytes);
        self.0.record.method = method.ok();
        self.0.is_call = grpc::is_call(parts);
    }

    pub(super) fn canonical(&mut self, head: &CanonicalRequest, peer: &Peer) {
        let record = &mut self.0.record;
        record.scheme = match &peer.role {
            // How it came says that.
            Role::Service => None,
            Role::Proxy(_) | Role::TunnelEnd(_) => Some(head.scheme()),
        };
        record.host = Some(head.authority().clone());
        record.path = Some(shortened(head.path().text()));
    }

    /// Notes what a tunnel is asked for.
    pub(super) fn tunnel(&mut self, head: &CanonicalRequest) {
        self.0.record.host = Some(head.authority().clone());
    }

    /// Notes that the tunnel is open: what is asked in it is recorded by itself.
    pub(super) fn opened(&mut self) {
        let record = &mut self.0.record;
        (record.outcome, record.reason) = (Outcome::Answer, Reason::Tunnel);
    }

    /// Notes that a client asks for another server in its tunnel.
    pub(super) fn misdirected(&mut self, authority: &str) {
        self.0.record.host = authority.parse().ok();
        self.0.record.reason = Reason::Misdirected;
    }

    pub(super) fn routed(&mut self, route: &Route) {
        self.0.record.route = Some(Arc::clone(&route.name));
        self.0.hides_existence = route.hides_existence;
    }

    pub(super) fn authenticated(&mut self, caller: &Caller) {
        self.0.record.principal = Some(caller.record.clone());
    }

    /// Keeps its place until it is over.
    pub(super) fn holding(&mut self, place: Place) {
        self.0.place = Some(place);
    }

    pub(super) fn mapped(&mut self, accesses: &[Access]) {
        self.0.record.accesses = accesses.iter().cloned().map(AccessRecord).collect();
    }

    pub(super) fn waited(&mut self, duration: Duration) {
        self.0.waited += duration;
    }

    pub(super) fn decided(&mut self, duration: Duration) {
        self.0.decision = Some(duration);
    }

    /// Reserves the record of a request that is to be permitted; without a place for it, it may not pass.
    pub(super) fn reserve(&mut self) -> Result<(), AuditUnavailable> {
        self.0.slot = Some(self.0.sinks.audit.reserve()?);
        Ok(())
    }

    /// Notes that the request is permitted.
    pub(super) fn permit(&mut self) {
        let record = &mut self.0.record;
        (record.outcome, record.reason) = (Outcome::Allow, Reason::Permitted);
    }

    /// Bounds what may pass of the request's body and the answer's.
    pub(super) fn bound(&mut self, allowance: Allowance, of: CountedBodies) {
        self.0.allowance = Some((allowance, of));
    }

    /// Whether something of the exchange did not pass.
    pub(super) fn was_cut(&self) -> bool {
        self.0.record.cut.is_some() || self.exceeded()
    }

    /// Whether the request's body came too slowly.
    pub(super) fn is_too_slow(&self) -> bool {
        self.0.progress.is_too_slow()
    }

    /// What it really was, if it failed because the proxy itself did not let the rest of the request's body pass: no fault of
    /// the upstream.
    pub(super) fn own_doing(&mut self, refused: impl FnOnce() -> Option<Rejection>, failure: Rejection) -> Rejection {
        if self.0.record.cut.is_some() {
            return failure;
        }
        if self.exceeded() {
            return Spent.into();
        }
        if self.is_too_slow() {
            return Rejection::new(Reason::BodyTimeout);
        }
        let Some(refused) = refused() else { return failure };
        self.cut(&refused);
        refused
    }

    fn exceeded(&self) -> bool {
        self.0.allowance.as_ref().is_some_and(|(allowance, _)| allowance.was_cut())
    }

    /// Lets a piece of the answer pass, if it may.
    pub(super) fn pass(&self, frame: &Frame<Bytes>) -> Result<(), Spent> {
        self.pass_bytes(frame.data_ref().map_or(0, Bytes::len))
    }

    /// Lets so many bytes of the answer pass, if they may.
    pub(super) fn pass_bytes(&self, bytes: usize) -> Result<(), Spent> {
        match &self.0.allowance {
            Some((allowance, of)) if of.of_answers() => allowance.spend(bytes),
            Some(_) | None => Ok(()),
        }
    }

    /// Lets so many bytes of what the client sends after its request pass, if they may.
    pub(super) fn pass_up(&self, bytes: usize) -> Result<(), Rejection> {
        match &self.0.allowance {
            Some((allowance, of)) if of.of_requests() => allowance.spend(bytes)?,
            Some(_) | None => {}
        }
        self.0.progress.pass(bytes);
        Ok(())
    }

    /// The same of what the upstream sends after its answer.
    pub(super) fn pass_down(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.pass_bytes(bytes)?;
        self.sent_to_client(bytes);
        Ok(())
    }

    /// Notes the digests of what is sent.
    pub(super) fn sent(&mut self, digests: SentDigests) {
        self.0.record.sent = Some(Box::new(digests));
    }

    pub(super) fn upstream_answered(&mut self, status: u16, took: Duration) {
        self.0.waited += took;
        let record = &mut self.0.record;
        record.upstream_status = Some(status);
        record.durations_us.upstream = microseconds(took);
    }

    pub(super) fn upstream_failed(&self, upstream: &str, reason: Reason) {
        self.0.sinks.metrics.upstream_errors.with_label_values(&[upstream, reason.name()]).inc();
    }

    pub(super) fn filtered(&mut self, items: Items) {
        self.0.record.items = Some(items);
    }

    pub(super) fn rejected(&mut self, rejection: &Rejection) {
        let record = &mut self.0.record;
        record.reason = rejection.reason;
        if rejection.reason == Reason::Metadata {
            record.outcome = Outcome::Answer;
        }
        self.explained(rejection);
    }

    fn explained(&mut self, rejection: &Rejection) {
        let record = &mut self.0.record;
        record.detail.clone_from(&rejection.detail);
        if let Some((member, access)) = &rejection.denied {
            record.denied_member = Some(member.clone());
            record.denied_access = Some(AccessRecord(access.clone()));
        }
    }

    /// Notes that the head of the answer is on its way.
    pub(super) fn answering(&mut self, status: u16) {
        self.0.record.status = Some(status);
        self.0.added = Some(self.0.begun.elapsed().saturating_sub(self.0.waited));
    }

    /// Notes that what was permitted is not any more, so that it ends before its end.
    pub(super) fn cut(&mut self, rejection: &Rejection) {
        let State { record, sinks, .. } = self.0.as_mut();
        record.cut = Some(rejection.reason);
        let route = record.route.as_deref().unwrap_or_default();
        sinks.metrics.cut.with_label_values(&[route, rejection.reason.name()]).inc();
        self.explained(rejection);
    }

    pub(super) fn sent_to_client(&mut self, bytes: usize) {
        self.0.record.bytes.response += u64::try_from(bytes).unwrap_or(0);
    }

    /// Counts what was ended though both sides would have gone on.
    pub(super) fn ended(&self, ending: Ending) {
        self.0.sinks.metrics.ended(ending);
    }

    pub(super) fn completed(&mut self) {
        self.0.record.complete = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.exceeded() && self.0.record.cut.is_none() {
            self.cut(&Spent.into());
        }
        let State { record, begun, decision, added, progress, slot, sinks, .. } = self.0.as_mut();
        let total = begun.elapsed();
        progress.end();
        record.bytes.request = progress.sent();
        record.upstream_attempts = progress.attempts();
        record.durations_us.total = microseconds(total);
        record.durations_us.decision = decision.map_or(0, microseconds);
        let route = record.route.as_deref().unwrap_or_default();
        let labels = [route, record.outcome.name(), record.reason.name()];
        sinks.shard.count(&Ended { labels, total, decision: *decision, added: *added });
        sinks.metrics.in_flight.dec();
        slot.take().unwrap_or_else(|| sinks.audit.reserve_for_denial()).record(record);
    }
}

/// The beginning of a text that a stranger chose the length of.
fn shortened(text: &Arc<str>) -> Arc<str> {
    let end = if text.len() <= LONGEST { None } else { text.char_indices().nth(LONGEST) };
    match end {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => Arc::clone(text),
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
