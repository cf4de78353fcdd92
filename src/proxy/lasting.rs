//! A request whose answer lasts: it is decided again while it does.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep};

use crate::{
    access::{Reason, SentRequest, Timestamp},
    identity::Possession,
    policy::{Permit, RequestContext, TaskRule},
    route::Route,
    snapshot::SnapshotCell,
};

use super::{caller::Seen, rejection::Rejection};

/// How often it is decided again. What was revoked is cut off within a second, however late a busy worker comes.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// What a request was permitted by, to be asked for as long as its body or its answer lasts.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) snapshots: Arc<SnapshotCell>,
    pub(super) seen: Arc<Seen>,
    pub(super) sent: SentRequest,
    pub(super) route: Arc<Route>,
    pub(super) permit: Permit,
    pub(super) task_rule: TaskRule,
    // Most answers are there before anybody has to wait for the next time.
    pub(super) next: Option<Pin<Box<Sleep>>>,
}

impl Lasting {
    /// Why it must end, as soon as it must. The task is woken to ask again.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Rejection> {
        loop {
            let next = match &mut self.next {
                Some(next) => next,
                None => {
                    self.sent.detach();
                    self.next.insert(Box::pin(sleep(EVERY)))
                }
            };
            ready!(next.as_mut().poll(cx));
            next.as_mut().reset(Instant::now() + EVERY);
            if let Err(rejection) = self.decide_again() {
                return Poll::Ready(rejection);
            }
        }
    }

    /// The decision as if the request came now: by the policy, the keys and the revocations of this moment. What it stands
    /// for stays what it was, and no use is counted.
    pub(super) fn decide_again(&self) -> Result<(), Rejection> {
        let now = Timestamp::from(SystemTime::now());
        let snapshot = self.snapshots.usable(now)?;
        let (head, rule) = (self.sent.head(), self.route.authentication.as_ref());
        let seen = &self.seen.credential;
        let refused = |error| {
            let challenges = snapshot.authenticator.challenges();
            Rejection::unauthenticated(&error, challenges.unauthenticated(&error, &[]), challenges.signature())
        };
        let authenticated =
            snapshot.authenticator.authenticate_as(&head, seen, (now, Possession::Proven), rule).map_err(refused)?;
        snapshot.denylist.check(&authenticated).map_err(|revoked| refused(revoked.into()))?;
        if authenticated.principal != *self.permit.principal() {
            return Err(Rejection::with_detail(Reason::InvalidCredential, "the credential is of another chain now"));
        }
        let caller = self.seen.caller(&authenticated)?;
        let told = caller.told(&snapshot)?;
        let policy = told.as_deref().unwrap_or(&snapshot.policy);
        let accesses = self.permit.accesses().to_vec();
        policy.authorize(&caller.principal, accesses, self.task_rule, &RequestContext::default().at(now))?;
        Ok(())
    }
}
