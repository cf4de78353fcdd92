//! One request, one straight line: from its head to its answer, every `?` a denial.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::{
    access::{CanonicalRequest, DecisionId, Malformed, Reason, Scheme, Timestamp},
    audit::AuditLog,
    identity::AuthenticationError,
    net::{Client, Handler, HeadProblem, OutboundBody, Peer, Transport},
    policy::{RequestContext, TaskRule},
    route::{Inputs, Operation, Selected},
    snapshot::SnapshotCell,
};

use super::{
    answer::{AnswerBody, Content, answer},
    exchange::{Exchange, Sinks},
    filter::filter,
    inspect::inspect,
    metrics::ProxyMetrics,
    rejection::Rejection,
    upstream::{self, Permitted},
};

/// The bounds of the enforcement point.
#[derive(Debug, Clone, Copy)]
pub struct EnforcerSettings {
    /// Requests whose answer has not reached its end; more are denied.
    pub in_flight: usize,
    /// How long an inspected body may take to arrive.
    pub body_timeout: Duration,
}

impl Default for EnforcerSettings {
    fn default() -> Self {
        Self { in_flight: 20_000, body_timeout: Duration::from_secs(10) }
    }
}

/// Decides the requests of one worker, and forwards those that are permitted.
#[derive(Debug, Clone)]
pub struct Enforcer(Arc<Worker>);

#[derive(Debug)]
struct Worker {
    snapshots: Arc<SnapshotCell>,
    sinks: Arc<Sinks>,
    settings: EnforcerSettings,
    client: Client,
    // Told when a token names a key that is not there: the key set may be old.
    unknown_key: Arc<Notify>,
}

impl Enforcer {
    /// An enforcer with connections of its own to the upstreams.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        audit: AuditLog,
        metrics: ProxyMetrics,
        settings: EnforcerSettings,
        unknown_key: Arc<Notify>,
    ) -> Self {
        let sinks = Arc::new(Sinks { audit, metrics });
        Self(Arc::new(Worker { snapshots, sinks, settings, client: Client::default(), unknown_key }))
    }
}

impl Worker {
    fn begin(&self, peer: &Peer) -> (Exchange, SystemTime) {
        let now = SystemTime::now();
        let id = DecisionId::new(uuid::Uuid::now_v7().into_bytes());
        (Exchange::begin(id, now, peer, &self.sinks), now)
    }

    async fn decide(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Result<Response<Content>, Rejection> {
        let (parts, body) = request.into_parts();
        exchange.received(&parts);
        self.check_load()?;
        let snapshot = self.snapshots.usable(now)?; // One request, one snapshot.
        exchange.by_snapshot(snapshot.revision);
        let head = CanonicalRequest::parse(parts, scheme(peer))?;
        exchange.canonical(&head);
        let selected = snapshot.routes.find(&head)?;
        exchange.routed(selected.route);
        let authenticated = snapshot.authenticator.authenticate(&head, now).inspect_err(|error| self.note(error))?;
        exchange.authenticated(&authenticated);
        let body = inspect(selected.operation.body, &head, body, self.settings.body_timeout, exchange.sent()).await?;
        exchange.waited(body.waited);
        let principal = &authenticated.principal;
        let inputs = Inputs { head: &head, captures: &selected.captures, principal, body: body.document.as_ref() };
        let accesses = selected.operation.accesses(inputs)?;
        exchange.mapped(&accesses);
        let deciding = Instant::now();
        let permit = snapshot.policy.authorize(
            principal,
            accesses,
            task_rule(selected.operation),
            &RequestContext::default().at(now),
        );
        exchange.decided(deciding.elapsed());
        let permit = permit?;
        exchange.permit()?; // No place for its record, no passage.
        let Selected { route, operation, captures } = &selected;
        let permitted =
            Permitted { snapshot: &snapshot, permit: &permit, head: &head, route, operation, captures, now };
        self.forward(exchange, permitted, peer, body.outbound).await
    }

    async fn forward(
        &self,
        exchange: &mut Exchange,
        permitted: Permitted<'_>,
        peer: &Peer,
        body: OutboundBody,
    ) -> Result<Response<Content>, Rejection> {
        let sending = Instant::now();
        let response = upstream::send(&self.client, permitted, peer, exchange.marks(), body).await;
        let response = response.inspect_err(|rejection| {
            // What the client broke off is no failure of the upstream.
            if rejection.reason == Reason::MalformedMessage {
                return;
            }
            let upstream = permitted.snapshot.upstream(permitted.route.upstream);
            exchange.upstream_failed(upstream.map_or("", |upstream| upstream.name.as_ref()), rejection.reason);
        })?;
        exchange.upstream_answered(response.status().as_u16(), sending.elapsed());
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        let Some(rule) = permitted.operation.filter.as_ref().filter(|_| !is_error) else {
            return Ok(response.map(Content::Upstream));
        };
        let reading = Instant::now();
        let (response, items) = Box::pin(filter(rule, permitted, response)).await?;
        exchange.waited(reading.elapsed());
        exchange.filtered(items);
        Ok(response.map(Content::Whole))
    }

    fn check_load(&self) -> Result<(), Rejection> {
        let limit = i64::try_from(self.settings.in_flight).unwrap_or(i64::MAX);
        if self.sinks.metrics.in_flight.get() > limit { Err(Rejection::new(Reason::Overloaded)) } else { Ok(()) }
    }

    /// A token with a key that is not there may be newer than the keys.
    fn note(&self, error: &AuthenticationError) {
        if error.unknown_key().is_some() {
            self.unknown_key.notify_one();
        }
    }
}

/// What was decided. A fault denies this request and nothing else.
async fn without_fault<T>(deciding: impl Future<Output = Result<T, Rejection>>) -> Result<T, Rejection> {
    let caught = AssertUnwindSafe(deciding).catch_unwind().await;
    caught.unwrap_or_else(|_panic| Err(Rejection::new(Reason::InternalError)))
}

fn rejected(exchange: &mut Exchange, rejection: &Rejection) -> Response<Content> {
    exchange.rejected(rejection);
    rejection.response(&exchange.marks().id, exchange.revision(), exchange.hides_existence()).map(Content::Whole)
}

impl Handler for Enforcer {
    type Body = AnswerBody;

    async fn respond(&self, peer: &Peer, request: Request<Incoming>) -> Response<AnswerBody> {
        let (mut exchange, now) = self.0.begin(peer);
        let deciding = self.0.decide(&mut exchange, now.into(), peer, request);
        let response = match without_fault(deciding).await {
            Ok(response) => response,
            Err(rejection) => rejected(&mut exchange, &rejection),
        };
        answer(response, exchange)
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        let problem = malformed(problem);
        let (mut exchange, _) = self.0.begin(peer);
        exchange.rejected(&problem.into());
        // The answer that the connection has sent already.
        exchange.answering(problem.reason().status().as_u16());
        exchange.completed();
    }
}

fn task_rule(operation: &Operation) -> TaskRule {
    if operation.task_required { TaskRule::Required } else { TaskRule::Optional }
}

fn scheme(peer: &Peer) -> Scheme {
    match peer.transport {
        Transport::Clear => Scheme::Http,
        Transport::Tls => Scheme::Https,
    }
}

fn malformed(problem: HeadProblem) -> Malformed {
    match problem {
        HeadProblem::TwoFramings => Malformed::Framing("both Content-Length and Transfer-Encoding"),
        HeadProblem::UnclearFraming => Malformed::Framing("the framing cannot be followed"),
        HeadProblem::Fragment => Malformed::Target("a fragment"),
        HeadProblem::BareLineFeed => Malformed::Message("a line ends in a bare LF"),
        HeadProblem::BareCarriageReturn => Malformed::Message("a bare CR"),
        HeadProblem::TooLong => Malformed::Message("the head is too long"),
        HeadProblem::NotHttp => Malformed::Message("not HTTP/1.1, or a head beyond the limits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_is_a_denial() {
        let outcome: Result<(), _> = without_fault(async { panic!("a fault in what decides") }).await;
        let rejection = outcome.unwrap_err();
        assert_eq!(rejection.reason, Reason::InternalError);
        assert_eq!(rejection.reason.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        assert!(without_fault(async { Ok(()) }).await.is_ok());
    }
}
