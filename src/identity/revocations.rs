//! What issuers told of ended sessions, remembered until no token of before is left.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use foldhash::fast::RandomState;

use super::denylist::Revoked;
use crate::access::{Bounded, Entity, Timestamp};

/// A name by which an issuer knows a member of a token's chain, as it came: what templates make of it may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberName {
    /// Whose name it is, if not the token's issuer's: the `iss` of an actor (RFC 8693, section 4.1).
    pub(super) issuer: Option<Box<str>>,
    pub(super) name: Box<str>,
    /// The member, for the log.
    pub(super) member: Entity,
}

/// From when on tokens of a name are good again, and until when that has to be known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) before: Timestamp,
    pub(super) until: Timestamp,
}

/// There is no room in an issuer's share: what it told is not in force, and it has to be told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShareIsFull;

#[derive(Debug, Default)]
struct OfIssuer {
    ended: Bounded<Box<str>, Ended>,
    heard: Bounded<[u8; 32], Timestamp>,
}

/// The revocations that were heard, and the signals themselves, of each issuer apart: nobody takes another's room. What
/// is in force is never forgotten to make room. It outlives its authenticator.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    // Whether there is anything: most of the time there is not, and nobody has to wait for the lock.
    any: AtomicBool,
    // By the exact names of issuers that are configured, or were.
    issuers: Mutex<HashMap<Arc<str>, OfIssuer, RandomState>>,
}

impl Revocations {
    /// Whether a good token of the issuer, with these members, was revoked.
    pub(super) fn check(
        &self,
        issuer: &str,
        names: &[MemberName],
        issued: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Revoked> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let holds = |ended: &Ended| now <= ended.until && issued.is_none_or(|issued| issued < ended.before);
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_ended = |issuer: &str, name: &str| {
            issuers.get_mut(issuer).and_then(|own| own.ended.get_mut(name)).is_some_and(|ended| holds(ended))
        };
        // Whose name it is may tell of it, and so may whoever vouches for the whole chain.
        let mut is_over = |member: &&MemberName| {
            has_ended(issuer, &member.name)
                || member.issuer.as_ref().is_some_and(|issuer| has_ended(issuer, &member.name))
        };
        names.iter().find(|member| is_over(member)).map_or(Ok(()), |found| Err(Revoked::Member(found.member.clone())))
    }

    /// Counts what an issuer told of a name, never less than what it told before. It has room for `share` names.
    pub(super) fn end(
        &self,
        issuer: &Arc<str>,
        name: &str,
        ended: Ended,
        (share, now): (usize, Timestamp),
    ) -> Result<(), ShareIsFull> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = issuers.entry(Arc::clone(issuer)).or_default();
        let name = Box::from(name);
        if let Some(known) = own.ended.get_mut(&name) {
            *known = Ended { before: known.before.max(ended.before), until: known.until.max(ended.until) };
        } else if !own.ended.insert_within(share, name, ended, now, |known| known.until < now) {
            return Err(ShareIsFull);
        }
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the issuer's signal with this digest was heard before.
    pub(super) fn is_repeated(&self, issuer: &str, digest: &[u8; 32]) -> bool {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.get_mut(issuer).is_some_and(|own| own.heard.get_mut(digest).is_some())
    }

    /// Remembers a signal that counts already, if there is room: to hear it once more changes nothing, and what comes
    /// after it must not wait for room.
    pub(super) fn remember(
        &self,
        issuer: &Arc<str>,
        digest: [u8; 32],
        until: Timestamp,
        (share, now): (usize, Timestamp),
    ) {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = issuers.entry(Arc::clone(issuer)).or_default();
        own.heard.insert_within(share, digest, until, now, |until| now > *until);
    }
}
