//! One request, one straight line: from its head to its answer, every `?` a denial.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{HeaderName, HeaderValue, Request, Response, header, request::Parts};
use hyper::body::{Body, Incoming};

use crate::{
    access::{CanonicalRequest, DecisionId, HeadRules, Reason, Scope, Timestamp},
    audit::AuditLog,
    identity::{Authenticated, AuthenticationError, Credential, Possession, Proven, SeenCredential, SenderFields},
    net::{Client, Peer, RequestBody, Rest},
    policy::{RequestContext, TaskRule},
    route::{Inputs, Mapped, Operation, Route},
    snapshot::{Snapshot, SnapshotCell},
};

use super::{
    answer::{AnswerBody, Content, answer},
    behind,
    bounds::{Digests, EnforcerSettings},
    budget::{Counted, Grant, Holder},
    caller::{Caller, Seen},
    connect::{self, Circumstances, Tunnels},
    exchange::{Exchange, Sinks},
    fault::without_fault,
    filter::{FilterRule, Filtering},
    forward::Sending,
    grpc,
    inspect::{BodyRefusal, Inspected, Received, ToRead},
    lasting::{self, Grounds, Lasting, Pause},
    metrics::ProxyMetrics,
    placement,
    rejection::Rejection,
    sessions::Place,
    shared::Shared,
    upstream::{self, Permitted},
    websocket::{Opening, Way},
};

/// Decides the requests of one worker, and forwards those that are permitted.
#[derive(Debug, Clone)]
pub struct Enforcer {
    pub(super) worker: Arc<Worker>,
    // Of the one connection that it is for.
    pub(super) seen: Arc<Seen>,
}

/// What the enforcers of all connections of one worker have in common.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) sinks: Arc<Sinks>,
    settings: EnforcerSettings,
    client: Client,
    pub(super) shared: Shared,
}

impl Enforcer {
    /// An enforcer with connections of its own to the upstreams.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        audit: AuditLog,
        metrics: ProxyMetrics,
        settings: EnforcerSettings,
        shared: Shared,
    ) -> Self {
        let shard = metrics.shard();
        let sinks = Arc::new(Sinks { audit, metrics, shard });
        let worker = Worker { sinks, settings, client: Client::default(), shared };
        Self { worker: Arc::new(worker), seen: Arc::new(Seen::new(SeenCredential::default(), snapshots)) }
    }
}

/// A request whose body may yet be on its way.
#[derive(Debug)]
struct Asked {
    snapshot: Arc<Snapshot>,
    // In a box, because it moves through many hands.
    head: Box<CanonicalRequest>,
    // The fields by which its sender is known, if these are not its own.
    sender: Option<SenderFields>,
    route: Arc<Route>,
    caller: Arc<Caller>,
    credential: Arc<Credential>,
    proven: Proven,
    // Whose uses of the operation are counted, if they are, and whose bytes.
    holder: Option<Holder>,
    mover: Option<Holder>,
    opening: Option<Box<Opening>>,
    // How long its caller waits.
    patience: Option<Duration>,
}

impl Worker {
    pub(super) fn begin(&self, peer: &Peer) -> (Exchange, SystemTime) {
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, since.as_secs(), since.subsec_nanos());
        let id = DecisionId::new(uuid::Uuid::new_v7(time));
        (Exchange::begin(id, now, peer, &self.sinks), now)
    }

    pub(super) async fn respond(
        &self,
        (peer, seen): (&Peer, &Arc<Seen>),
        request: Box<Request<Incoming>>,
    ) -> Response<AnswerBody> {
        let (mut exchange, now) = self.begin(peer);
        let outcome = {
            // Pinned where it is: it is not small.
            let deciding = pin!(self.decide(&mut exchange, now.into(), (peer, seen), request));
            without_fault(deciding).await
        };
        let response = match outcome {
            Ok(response) => response,
            Err(rejection) => rejected(&mut exchange, &placement::told(peer, rejection)),
        };
        answer(response, exchange)
    }

    async fn decide(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        (peer, seen): (&Peer, &Arc<Seen>),
        request: Box<Request<Incoming>>,
    ) -> Result<Response<Content>, Rejection> {
        if connect::is_asked(peer, &request) {
            return self.connect(exchange, now, seen, *request).map_err(|rejection| rejection.closing_if(true));
        }
        let (asked, body) = self.receive(exchange, now, (peer, seen), request)?;
        let sending = match body {
            Received::Passed(body) => self.authorize(exchange, now, (peer, seen), asked, Inspected::unread(body))?,
            // Reading is rare and large: in a box of its own, so that it does not make every request's future larger.
            Received::ToRead(body) => Box::pin(self.authorize_read(exchange, now, (peer, seen), asked, body)).await?,
        };
        sending.forward(&self.client, exchange).await
    }

    fn connect(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        seen: &Arc<Seen>,
        request: Request<Incoming>,
    ) -> Result<Response<Content>, Rejection> {
        let parts = request.into_parts().0;
        let snapshot = self.admit(exchange, (now, seen), &parts)?;
        let (shares, open) = (&self.shared.shares, &self.sinks.metrics.tunnels);
        let tunnels = Tunnels { shares, most: self.settings.tunnels_each, open };
        let circumstances = Circumstances { snapshot: &snapshot, seen, now, tunnels };
        connect::open(exchange, circumstances, (self.settings.rules, parts), |error| self.note(error))
    }

    /// What every request is decided by, if it may be looked at at all.
    fn admit(
        &self,
        exchange: &mut Exchange,
        (now, seen): (Timestamp, &Seen),
        parts: &Parts,
    ) -> Result<Arc<Snapshot>, Rejection> {
        exchange.received(parts);
        // What is refused before its framing was looked at leaves nothing to be read after it.
        let closing =
            |rejection: Rejection| rejection.closing_if(parts.headers.contains_key(header::TRANSFER_ENCODING));
        self.check_load().map_err(closing)?;
        let snapshot = seen.snapshots.usable(now).map_err(|problem| closing(problem.into()))?; // One request, one snapshot.
        exchange.by_snapshot(snapshot.revision, seen);
        self.settings.head.check(parts)?;
        Ok(snapshot)
    }

    /// What can be said before the body is there: what is asked, and by whom.
    fn receive(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        (peer, seen): (&Peer, &Arc<Seen>),
        request: Box<Request<Incoming>>,
    ) -> Result<(Asked, Received), Rejection> {
        let (mut parts, body) = request.into_parts();
        let may_wait = !body.is_end_stream() && parts.headers.contains_key(header::EXPECT);
        let rest = if may_wait { Rest::Left } else { Rest::HeardOut };
        let body = RequestBody::new(body, self.settings.pace, rest);
        let way = Way::of(&mut parts);
        let snapshot = self.admit(exchange, (now, seen), &parts)?;
        behind::check(peer, &parts.headers)?;
        let rules = HeadRules { escaped_slashes: snapshot.routes.takes_escaped_slashes(), ..self.settings.rules };
        let head = Box::new(placement::canonical(rules, parts, peer)?);
        exchange.canonical(&head, peer);
        placement::check(peer, &head)?;
        let patience = if exchange.is_call() { grpc::timeout(&head)? } else { None };
        if let Some(document) = placement::public(peer, &snapshot, &head) {
            return Err(Rejection::metadata(document));
        }
        let challenges = snapshot.authenticator.challenges();
        let route = Arc::clone(placement::route(peer, &snapshot, &head)?);
        exchange.routed(&route);
        if !route.admits_origin(&head) {
            return Err(Rejection::new(Reason::OriginNotAllowed));
        }
        let operation = route.operation(&head)?;
        let refused = |error: AuthenticationError| refused(&error, &snapshot, operation, seen);
        let sender = placement::sender(peer, &snapshot, &head)?.transpose().map_err(refused)?;
        let authenticated = self.authenticate((&snapshot, &route), (&head, sender.as_deref()), (now, seen));
        let authenticated = authenticated.map_err(refused)?;
        let caller = seen.caller(&authenticated)?;
        exchange.authenticated(&caller);
        snapshot.denylist.check(&authenticated).map_err(|revoked| refused(revoked.into()))?;
        exchange.holding(caller.enter(&self.shared.shares, self.settings.in_flight_each)?);
        let holder = operation.uses.map(|rule| Holder::of(&authenticated, rule.by, Counted::Uses)).transpose()?;
        let mover = operation.bytes.map(|rule| Holder::of(&authenticated, rule.by, Counted::Bytes)).transpose()?;
        let Authenticated { credential, body: signed, proven, .. } = authenticated;
        if !operation.has_scopes(credential.grants.as_deref()) {
            return Err(Rejection::insufficient_scope(challenges.insufficient_scope(&operation.scopes)));
        }
        let opening = Opening::of(&head, operation, (way, self.settings.unread))?;
        let body = body.pausing(route.body_pause.unwrap_or(self.settings.pace.pause));
        let body = Received::new(operation.body, &head, (signed, body), exchange.progress());
        let body = body.map_err(|refusal| match refusal {
            BodyRefusal::Rejected(rejection) => rejection,
            BodyRefusal::Signature(problem) => refused(seen.credential.refuse(problem.into(), now)),
        })?;
        let asked =
            Asked { snapshot, head, sender, route, caller, credential, proven, holder, mover, opening, patience };
        Ok((asked, body))
    }

    /// Who asks, by the request's own fields or by those that stand for them.
    fn authenticate(
        &self,
        (snapshot, route): (&Snapshot, &Route),
        (head, sender): (&CanonicalRequest, Option<&[(HeaderName, HeaderValue)]>),
        (now, seen): (Timestamp, &Seen),
    ) -> Result<Authenticated, AuthenticationError> {
        let asking = sender.map(|fields| Box::new(head.with_fields(fields)));
        let asking = asking.as_deref().unwrap_or(head);
        let (circumstances, rule) = ((now, Possession::ToProve), route.authentication.as_ref());
        let authenticated = snapshot.authenticator.authenticate_as(asking, &seen.credential, circumstances, rule);
        authenticated.inspect_err(|error| self.note(error))
    }

    async fn authorize_read(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        (peer, seen): (&Peer, &Arc<Seen>),
        asked: Asked,
        body: ToRead,
    ) -> Result<Sending, Rejection> {
        let operation = asked.route.operation(&asked.head)?;
        let body = body.read(exchange, &asked.head, operation, self.settings.body_timeout).await;
        let body = body.map_err(|refusal| match refusal {
            BodyRefusal::Rejected(rejection) => rejection,
            BodyRefusal::Signature(problem) => {
                let error = seen.credential.refuse(problem.into(), now);
                refused(&error, &asked.snapshot, operation, seen)
            }
        })?;
        exchange.waited(body.waited);
        if !asked.route.admits_body(&asked.head, body.document.as_ref()) {
            return Err(Rejection::new(Reason::OriginNotAllowed));
        }
        self.authorize(exchange, now, (peer, seen), asked, body)
    }

    /// The decision, and what will be sent by it.
    fn authorize(
        &self,
        exchange: &mut Exchange,
        now: Timestamp,
        (peer, seen): (&Peer, &Arc<Seen>),
        asked: Asked,
        body: Inspected,
    ) -> Result<Sending, Rejection> {
        let Asked { snapshot, head, sender, route, caller, credential, proven, holder, mover, opening, patience } =
            asked;
        let Inspected { document, message, outbound, waited } = body;
        let principal = &caller.principal;
        let operation = route.operation(&head)?;
        let captures = route.captures(&head);
        let sessions = operation.has_sessions().then(|| (Arc::clone(&self.shared.sessions), Place::of(&route, &head)));
        let session = match &sessions {
            Some((key, place)) => key.opened(place, principal, &head)?,
            None => None,
        };
        let inputs = Inputs {
            head: &head,
            captures: &captures,
            principal,
            body: document.as_ref(),
            message: message.as_ref(),
            called: None,
        };
        if let Some(message) = &message {
            exchange.calls(message.words(document.as_ref()));
        }
        let mapped = operation.mapped(inputs)?;
        exchange.mapped(&mapped.accesses);
        if !mapped.has_scopes(credential.grants.as_deref()) {
            let mut needed: Vec<Scope> = operation.scopes.iter().chain(mapped.scopes()).cloned().collect();
            needed.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
            needed.dedup();
            let challenges = snapshot.authenticator.challenges();
            return Err(Rejection::insufficient_scope(challenges.insufficient_scope(&needed)));
        }
        operation.check_details(inputs, credential.grants.as_deref())?;
        let deciding = Instant::now();
        let told = caller.told(&snapshot)?;
        let policy = told.as_deref().unwrap_or(&snapshot.policy);
        let task_rule = task_rule(operation, &mapped);
        let permit = policy.authorize(principal, mapped.accesses, task_rule, &RequestContext::default().at(now));
        let decided = Instant::now();
        exchange.decided(decided - deciding);
        let permit = permit?;
        if waited > lasting::EVERY {
            // The body took so long that what was true at its beginning may not be any more.
            let asking = sender.as_deref().map(|fields| head.with_fields(fields));
            let grounds = Grounds { route: Arc::clone(&route), permit: permit.clone(), task_rule, proven };
            grounds.decide_again(seen, asking.as_ref().unwrap_or(&head))?;
        }
        exchange.reserve()?; // No place for its record, no passage.
        let grant = |holder| Grant { route: Arc::clone(&route.name), method: head.method().clone(), holder };
        let charged = (holder.map(grant), mover.map(grant));
        let outbound = self.shared.budgets.charge(exchange, (operation, now), charged, outbound)?;
        exchange.permit();
        let filtering = FilterRule::of((operation, message.as_ref()), &head, &captures, &permit);
        let filtering = filtering.map(|(rule, limit)| {
            Box::new(Filtering { rule, told: told.clone(), now, limit, timeout: self.settings.filter_timeout })
        });
        drop(captures);
        // What was decided on is what is sent: the head ends here.
        let permitted = Permitted {
            snapshot: &snapshot,
            permit: &permit,
            caller: &caller,
            sender: sender.as_deref(),
            route: &route,
            now,
            filtered: filtering.is_some(),
            reads_json: document.is_some(),
        };
        let (mut request, sent) = upstream::request(permitted, head, outbound, peer, exchange.marks())?;
        if sessions.is_some() {
            request.in_session(session);
        }
        let (upstream, seen) = (route.upstream, Arc::clone(seen));
        let pause = Pause::new(route.answer_pause.unwrap_or(self.settings.answer_pause));
        let grounds = Grounds { route, permit, task_rule, proven };
        let deadline = patience.map(|patience| Box::pin(tokio::time::sleep(patience)));
        let lasting = Box::new(Lasting { seen, sent, grounds, since: decided, next: None, deadline, pause });
        request.pass_by(|| lasting.gate());
        if let Some(opening) = &opening {
            request.ask(opening);
        }
        if self.settings.digests == Digests::Sent {
            exchange.sent(request.digests());
        }
        Ok(Sending { snapshot, upstream, request, lasting, filtering, opening, sessions })
    }

    fn check_load(&self) -> Result<(), Rejection> {
        let limit = i64::try_from(self.settings.in_flight).unwrap_or(i64::MAX);
        if self.sinks.metrics.in_flight.get() > limit { Err(Rejection::new(Reason::Overloaded)) } else { Ok(()) }
    }

    /// What was signed by a key that is not there may be newer than the keys.
    fn note(&self, error: &AuthenticationError) {
        if error.may_await_its_key() {
            self.shared.unknown_key.notify_one();
        }
    }
}

/// The refusal of a credential, which ends the connection if there were too many.
fn refused(error: &AuthenticationError, snapshot: &Snapshot, operation: &Operation, seen: &Seen) -> Rejection {
    let challenges = snapshot.authenticator.challenges();
    let token = challenges.unauthenticated(error, &operation.scopes);
    Rejection::unauthenticated(error, token, challenges.signature()).closing_if(seen.credential.is_over())
}

fn rejected(exchange: &mut Exchange, rejection: &Rejection) -> Response<Content> {
    exchange.rejected(rejection);
    exchange.refusal(rejection).map(Content::Whole)
}

fn task_rule(operation: &Operation, mapped: &Mapped<'_>) -> TaskRule {
    if operation.task_required || mapped.task_required() { TaskRule::Required } else { TaskRule::Optional }
}
