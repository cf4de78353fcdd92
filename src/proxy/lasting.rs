//! A request whose answer lasts: it is decided again while it does.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{Sleep, sleep_until};

use crate::{
    access::{CanonicalRequest, Reason, SentRequest, Timestamp},
    identity::{Possession, Proven},
    net::Gate,
    policy::{Permit, Policy, RequestContext, TaskRule},
    route::Route,
};

use super::{caller::Seen, rejection::Rejection};

/// How often it is decided again. What was revoked is cut off within a second, however late a busy worker comes.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// What a request was permitted by, to be asked for as long as its body or its answer lasts.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) seen: Arc<Seen>,
    pub(super) sent: SentRequest,
    pub(super) grounds: Grounds,
    /// When it was decided.
    pub(super) since: Instant,
    // Most answers are there before anybody has to wait for the next time.
    pub(super) next: Option<Pin<Box<Sleep>>>,
    /// When its caller gives it up, if it has said so: nobody waits for what comes later.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    /// How long nothing may pass once there is an answer.
    pub(super) pause: Pause,
}

/// For how long nothing has passed, and for how long that may be. It is looked at now and then, so that what passes costs
/// nothing: a pause ends up to twice [`EVERY`] late, and never early.
#[derive(Debug)]
pub(super) struct Pause {
    most: Duration,
    // When it was first seen that nothing passes any more.
    since: Option<Instant>,
    // What had passed to the upstream then, in bytes.
    sent: u64,
}

/// A request's body that comes slowly: it is decided again while it does, whoever waits for the answer or reads it.
#[derive(Debug)]
struct Upload {
    seen: Arc<Seen>,
    head: CanonicalRequest,
    grounds: Grounds,
    since: Instant,
}

/// What was permitted, and by which rules of its route.
#[derive(Debug, Clone)]
pub(super) struct Grounds {
    pub(super) route: Arc<Route>,
    pub(super) permit: Permit,
    pub(super) task_rule: TaskRule,
    /// What the request proved when it came.
    pub(super) proven: Proven,
}

/// By what and when something was decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) policy: Arc<Policy>,
    pub(super) at: Timestamp,
}

impl Lasting {
    /// Why it must end, as soon as it must. A body that is waited for may pause for so long only, and does not while what was
    /// `sent` to the upstream grows. The task is woken to ask again.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>, sent: Option<u64>) -> Poll<Rejection> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Rejection::with_detail(Reason::UpstreamTimeout, "the deadline of its caller"));
        }
        loop {
            let next = match &mut self.next {
                Some(next) => next,
                None => {
                    self.sent.detach();
                    // Whoever lets it wait gains no time by that.
                    self.next.insert(Box::pin(sleep_until((self.since + EVERY).into())))
                }
            };
            ready!(next.as_mut().poll(cx));
            next.as_mut().reset(tokio::time::Instant::now() + EVERY);
            if let Err(rejection) = self.decide_again() {
                return Poll::Ready(rejection);
            }
            if sent.is_some_and(|sent| self.pause.is_over(sent, Instant::now())) {
                return Poll::Ready(Rejection::with_detail(Reason::UpstreamTimeout, "the answer paused for too long"));
            }
        }
    }

    /// Why the exchange broke off, if that may be because its body did not pass the gate any more.
    pub(super) fn refused(&self) -> Option<Rejection> {
        if self.since.elapsed() <= EVERY { None } else { self.decide_again().err() }
    }

    /// What the request's body must pass on its way.
    pub(super) fn gate(&self) -> Box<dyn Gate> {
        let Self { seen, sent, grounds, since, .. } = self;
        Box::new(Upload { seen: Arc::clone(seen), head: sent.head(), grounds: grounds.clone(), since: *since })
    }

    /// See [`Grounds::decide_again`].
    pub(super) fn decide_again(&self) -> Result<Decided, Rejection> {
        self.grounds.decide_again(&self.seen, &self.sent.head())
    }
}

impl Pause {
    /// Of at most this long.
    pub(super) fn new(most: Duration) -> Self {
        Self { most, since: None, sent: 0 }
    }

    /// Something of the answer passes.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    fn is_over(&mut self, sent: u64, now: Instant) -> bool {
        if self.sent != sent {
            // The upstream may be waiting for what its client sends.
            (self.sent, self.since) = (sent, None);
        }
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= self.most
    }
}

impl Gate for Upload {
    fn may_pass(&mut self) -> bool {
        if self.since.elapsed() <= EVERY {
            return true;
        }
        self.since = Instant::now();
        self.grounds.decide_again(&self.seen, &self.head).is_ok()
    }
}

impl Grounds {
    /// The decision as if the request came now: by the policy, the keys and the revocations of this moment. What it stands
    /// for stays what it was, and no use is counted.
    pub(super) fn decide_again(&self, seen: &Seen, head: &CanonicalRequest) -> Result<Decided, Rejection> {
        let at = Timestamp::from(SystemTime::now());
        let snapshot = seen.snapshots.usable(at)?;
        let refused = |error| {
            let challenges = snapshot.authenticator.challenges();
            Rejection::unauthenticated(&error, challenges.unauthenticated(&error, &[]), challenges.signature())
        };
        let (rule, circumstances) = (self.route.authentication.as_ref(), (at, Possession::Proven(self.proven)));
        let authenticated =
            snapshot.authenticator.authenticate_as(head, &seen.credential, circumstances, rule).map_err(refused)?;
        snapshot.denylist.check(&authenticated).map_err(|revoked| refused(revoked.into()))?;
        if authenticated.principal != *self.permit.principal() {
            return Err(Rejection::with_detail(Reason::InvalidCredential, "the credential is of another chain now"));
        }
        let caller = seen.caller(&authenticated)?;
        let policy = caller.told(&snapshot)?.unwrap_or_else(|| Arc::clone(&snapshot.policy));
        let accesses = self.permit.accesses().to_vec();
        policy.authorize(&caller.principal, accesses, self.task_rule, &RequestContext::default().at(at))?;
        Ok(Decided { policy, at })
    }
}
