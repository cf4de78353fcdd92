//! How often a grant was used and how many bytes passed by it, counted in bounded memory.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use http::Method;
use thiserror::Error;

use crate::{
    access::{Bounded, Entity, Timestamp},
    identity::{self, Authenticated},
    net::Allowance,
    route::{ByteRule, UseRule, UsedBy},
};

/// A request may not use a grant once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{why}")]
pub(super) struct Exhausted {
    /// What is counted.
    pub(super) of: Counted,
    pub(super) why: NotUsable,
}

/// What is counted of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Uses,
    Bytes,
}

/// Why a grant may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NotUsable {
    /// It was used as often as it may be.
    #[error("it was used as often as it may be")]
    Used,
    /// So many bytes passed as may.
    #[error("so many bytes passed as may")]
    Spent,
    /// Nobody knows whether this credential used it: it has no id.
    #[error("the token has no `jti`, so that its uses cannot be counted")]
    Nameless,
    /// There is no room to count one more.
    #[error("too many grants are counted already")]
    NoRoom,
}

impl NotUsable {
    const fn of(self, of: Counted) -> Exhausted {
        Exhausted { of, why: self }
    }
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
    pub(super) fn of(authenticated: &Authenticated, by: UsedBy, of: Counted) -> Result<Self, Exhausted> {
        let principal = &authenticated.principal;
        let entity = match by {
            // Without a task the request is denied anyway: it is required.
            UsedBy::Task => principal.task().unwrap_or(principal.subject()),
            UsedBy::Subject => principal.subject(),
            UsedBy::Actor => principal.current_actor().unwrap_or(principal.subject()),
            UsedBy::Credential => {
                return match (&authenticated.credential.method, &authenticated.credential.token_id) {
                    (identity::Method::Jwt { issuer, .. }, Some(id)) => {
                        Ok(Self::Token(Arc::clone(issuer), Arc::clone(id)))
                    }
                    (identity::Method::Jwt { .. }, None) => Err(NotUsable::Nameless.of(of)),
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

/// All uses and bytes that still count. It outlives every snapshot, and ends with the process.
#[derive(Debug, Default)]
pub struct Budgets {
    uses: Mutex<Bounded<Grant, Spent<u32>>>,
    bytes: Mutex<Bounded<Grant, Spent<Arc<AtomicU64>>>>,
}

/// What was spent of a grant.
#[derive(Debug)]
struct Spent<T> {
    amount: T,
    /// When the first of it was.
    since: Timestamp,
    /// How long it counts from then on, by the rule of the last request: a reload may change it.
    within: Duration,
}

impl Budgets {
    /// Uses the grant once more, if it may be.
    pub(super) fn spend(&self, grant: Grant, rule: UseRule, now: Timestamp) -> Result<(), Exhausted> {
        let mut counted = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Spent { amount: 1, since: now, within: rule.within };
        let Some(spent) = counted.get_mut(&grant) else {
            let is_counted = counted.insert(grant, first, now, |spent| spent.is_over(now));
            return if is_counted { Ok(()) } else { Err(NotUsable::NoRoom.of(Counted::Uses)) };
        };
        spent.within = rule.within;
        if spent.is_over(now) {
            *spent = first;
        } else if spent.amount >= rule.most {
            return Err(NotUsable::Used.of(Counted::Uses));
        } else {
            spent.amount += 1;
        }
        Ok(())
    }

    /// What one more exchange may move by the grant, if there is something left. It is counted while it moves; bytes
    /// that move later count within the time in which their exchange began.
    pub(super) fn allow(&self, grant: Grant, rule: ByteRule, now: Timestamp) -> Result<Allowance, Exhausted> {
        let mut counted = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || Spent { amount: Arc::<AtomicU64>::default(), since: now, within: rule.within };
        let Some(spent) = counted.get_mut(&grant) else {
            let first = first();
            let allowance = Allowance::new(Arc::clone(&first.amount), rule.most);
            let is_counted = counted.insert(grant, first, now, |spent| spent.is_over(now));
            return if is_counted { Ok(allowance) } else { Err(NotUsable::NoRoom.of(Counted::Bytes)) };
        };
        spent.within = rule.within;
        if spent.is_over(now) {
            *spent = first();
        }
        let allowance = Allowance::new(Arc::clone(&spent.amount), rule.most);
        if allowance.has_room_for(1) { Ok(allowance) } else { Err(NotUsable::Spent.of(Counted::Bytes)) }
    }
}

impl<T> Spent<T> {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.since.plus(self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{net, route::CountedBodies};

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
        assert_eq!(spend("user:mara", 159), Err(NotUsable::Used.of(Counted::Uses)));
        assert_eq!(spend("user:erin", 159), Ok(()), "everybody has an own budget");
        assert_eq!(
            spend("user:mara", 90),
            Err(NotUsable::Used.of(Counted::Uses)),
            "a clock that goes backwards gives nothing back"
        );
        assert_eq!(spend("user:mara", 160), Ok(()), "60 s after the first use");
        let other = Grant { method: Method::PUT, ..grant("user:mara") };
        assert_eq!(budgets.spend(other, UseRule { most: 1, ..RULE }, at(160)), Ok(()));
        let narrowed = budgets.spend(grant("user:mara"), UseRule { most: 1, ..RULE }, at(161));
        assert_eq!(narrowed, Err(NotUsable::Used.of(Counted::Uses)), "a new configuration counts what was used before");
        let lengthened = UseRule { most: 1, within: Duration::from_secs(600), ..RULE };
        assert_eq!(
            budgets.spend(grant("user:mara"), lengthened, at(700)),
            Err(NotUsable::Used.of(Counted::Uses)),
            "for as long as it says"
        );
        assert_eq!(budgets.spend(grant("user:mara"), lengthened, at(760)), Ok(()));
    }

    const BYTES: ByteRule =
        ByteRule { most: 10, within: Duration::from_secs(60), by: UsedBy::Subject, of: CountedBodies::Both };

    #[test]
    fn a_grant_is_good_for_so_many_bytes_within_its_time() {
        let budgets = Budgets::default();
        let allow = |holder: &str, seconds: i64| budgets.allow(grant(holder), BYTES, at(seconds));
        let (first, second) = (allow("user:mara", 100).unwrap(), allow("user:mara", 130).unwrap());
        assert_eq!((first.spend(6), second.spend(4), first.spend(1)), (Ok(()), Ok(()), Err(net::Spent)));
        assert_eq!(allow("user:mara", 159).err(), Some(NotUsable::Spent.of(Counted::Bytes)));
        assert!(allow("user:erin", 159).is_ok(), "everybody has an own budget");
        let wider = budgets.allow(grant("user:mara"), ByteRule { most: 12, ..BYTES }, at(159)).unwrap();
        assert_eq!((wider.spend(2), wider.spend(1)), (Ok(()), Err(net::Spent)), "what was used before counts");
        let later = allow("user:mara", 160).unwrap();
        assert_eq!((later.spend(10), first.spend(1)), (Ok(()), Err(net::Spent)), "60 s after the first request");
        // Uses are another count.
        assert_eq!(budgets.spend(grant("user:mara"), RULE, at(161)), Ok(()));
    }

    #[test]
    fn bytes_that_cannot_be_counted_do_not_pass() {
        let budgets = Budgets::default();
        for holder in 0..Bounded::<Grant, ()>::MOST {
            assert!(budgets.allow(grant(&format!("user:{holder}")), BYTES, at(100)).is_ok());
        }
        let more = |seconds: i64| budgets.allow(grant("user:more"), BYTES, at(seconds));
        assert_eq!(more(100).err(), Some(NotUsable::NoRoom.of(Counted::Bytes)));
        assert!(more(160).is_ok());
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
        for holder in 0..Bounded::<Grant, Spent<u32>>::MOST {
            assert_eq!(budgets.spend(grant(&format!("user:{holder}")), one, at(100)), Ok(()));
        }
        assert_eq!(budgets.spend(grant("user:more"), one, at(100)), Err(NotUsable::NoRoom.of(Counted::Uses)));
        assert_eq!(budgets.spend(grant("user:0"), one, at(101)), Err(NotUsable::Used.of(Counted::Uses)));
        assert_eq!(budgets.spend(grant("user:more"), one, at(160)), Ok(()));
    }
}
