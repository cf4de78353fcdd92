//! How often a grant was used: counted in this replica, in bounded memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Method;
use thiserror::Error;

use crate::{
    access::{Bounded, Entity, Timestamp},
    identity::{self, Authenticated},
    route::{UseRule, UsedBy},
};

/// Why a request may not use a grant once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Exhausted {
    /// It was used as often as it may be.
    #[error("it was used as often as it may be")]
    Used,
    /// Nobody knows whether this credential used it: it has no id.
    #[error("the token has no `jti`, so that its uses cannot be counted")]
    Nameless,
    /// There is no room to count one more.
    #[error("too many grants are counted already")]
    NoRoom,
}

/// Whose uses are counted together. The parts are compared as they are, never joined to one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// Of a task, a subject or an actor.
    Entity(Entity),
    /// Of one token, by its issuer and its id.
    Token(Arc<str>, Arc<str>),
    /// Of one API key, by its id.
    ApiKey(Arc<str>),
    /// Of one workload, by its SPIFFE ID: its certificates follow one another within hours.
    Spiffe(Arc<str>),
    /// Of one signing key, by its thumbprint.
    Signature(Arc<str>),
}

impl Holder {
    /// Whose uses a request counts among.
    pub(super) fn of(authenticated: &Authenticated, by: UsedBy) -> Result<Self, Exhausted> {
        let principal = &authenticated.principal;
        let entity = match by {
            // Without a task the request is denied anyway: it is required.
            UsedBy::Task => principal.task().unwrap_or(principal.subject()),
            UsedBy::Subject => principal.subject(),
            UsedBy::Actor => principal.current_actor().unwrap_or(principal.subject()),
            UsedBy::Credential => {
                return match (&authenticated.method, &authenticated.token_id) {
                    (identity::Method::Jwt { issuer, .. }, Some(id)) => {
                        Ok(Self::Token(Arc::clone(issuer), Arc::clone(id)))
                    }
                    (identity::Method::Jwt { .. }, None) => Err(Exhausted::Nameless),
                    (identity::Method::ApiKey { id, .. }, _) => Ok(Self::ApiKey(Arc::clone(id))),
                    (identity::Method::Spiffe { id }, _) => Ok(Self::Spiffe(Arc::clone(id))),
                    (identity::Method::Signature { key_id }, _) => Ok(Self::Signature(Arc::clone(key_id))),
                };
            }
        };
        Ok(Self::Entity(entity.clone()))
    }
}

/// What is used: an operation of a route, by one holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) route: Arc<str>,
    pub(super) method: Method,
    pub(super) holder: Holder,
}

/// All uses that still count. It outlives every snapshot, and ends with the process.
#[derive(Debug, Default)]
pub struct Budgets(Mutex<Bounded<Grant, Spent>>);

#[derive(Debug)]
struct Spent {
    uses: u32,
    /// When the first of them was.
    since: Timestamp,
    /// How long they count from then on, by the rule of the last use: a reload may change it.
    within: Duration,
}

impl Budgets {
    /// Uses the grant once more, if it may be.
    pub(super) fn spend(&self, grant: Grant, rule: UseRule, now: Timestamp) -> Result<(), Exhausted> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Spent { uses: 1, since: now, within: rule.within };
        let Some(spent) = counted.get_mut(&grant) else {
            let is_counted = counted.insert(grant, first, now, |spent| spent.is_over(now));
            return if is_counted { Ok(()) } else { Err(Exhausted::NoRoom) };
        };
        spent.within = rule.within;
        if spent.is_over(now) {
            *spent = first;
        } else if spent.uses >= rule.most {
            return Err(Exhausted::Used);
        } else {
            spent.uses += 1;
        }
        Ok(())
    }
}

impl Spent {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.since.plus(self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: UseRule = UseRule { most: 2, within: Duration::from_secs(60), by: UsedBy::Subject };

    fn grant(holder: &str) -> Grant {
        let holder = Holder::Entity(holder.parse().unwrap());
        Grant { route: "/export".into(), method: Method::POST, holder }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_grant_is_good_for_so_many_uses_within_its_time() {
        let budgets = Budgets::default();
        let spend = |holder: &str, seconds: i64| budgets.spend(grant(holder), RULE, at(seconds));
        assert_eq!((spend("user:mara", 100), spend("user:mara", 159)), (Ok(()), Ok(())));
        assert_eq!(spend("user:mara", 159), Err(Exhausted::Used));
        assert_eq!(spend("user:erin", 159), Ok(()), "everybody has an own budget");
        assert_eq!(spend("user:mara", 90), Err(Exhausted::Used), "a clock that goes backwards gives nothing back");
        assert_eq!(spend("user:mara", 160), Ok(()), "60 s after the first use");
        let other = Grant { method: Method::PUT, ..grant("user:mara") };
        assert_eq!(budgets.spend(other, UseRule { most: 1, ..RULE }, at(160)), Ok(()));
        let narrowed = budgets.spend(grant("user:mara"), UseRule { most: 1, ..RULE }, at(161));
        assert_eq!(narrowed, Err(Exhausted::Used), "a new configuration counts what was used before");
        let lengthened = UseRule { most: 1, within: Duration::from_secs(600), ..RULE };
        assert_eq!(
            budgets.spend(grant("user:mara"), lengthened, at(700)),
            Err(Exhausted::Used),
            "for as long as it says"
        );
        assert_eq!(budgets.spend(grant("user:mara"), lengthened, at(760)), Ok(()));
    }

    #[test]
    fn holders_of_other_kinds_or_borders_are_others() {
        let token = |issuer: &str, id: &str| Holder::Token(issuer.into(), id.into());
        assert_ne!(token("a", "bc"), token("ab", "c"));
        assert_ne!(Holder::ApiKey("x".into()), token("", "x"));
    }

    #[test]
    fn what_counts_is_not_forgotten_to_make_room() {
        let budgets = Budgets::default();
        let one = UseRule { most: 1, ..RULE };
        for holder in 0..Bounded::<Grant, Spent>::MOST {
            assert_eq!(budgets.spend(grant(&format!("user:{holder}")), one, at(100)), Ok(()));
        }
        assert_eq!(budgets.spend(grant("user:more"), one, at(100)), Err(Exhausted::NoRoom));
        assert_eq!(budgets.spend(grant("user:0"), one, at(101)), Err(Exhausted::Used));
        assert_eq!(budgets.spend(grant("user:more"), one, at(160)), Ok(()));
    }
}
