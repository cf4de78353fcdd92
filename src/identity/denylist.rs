//! What was revoked before its time: credentials that are good, and refused all the same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;
use thiserror::Error;

use super::authenticated::{Authenticated, Credential, Method};
use crate::access::{Entity, Timestamp};

/// One thing that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// The token with this id (`jti`), of one issuer or of any.
    Token {
        /// Its id.
        id: Box<str>,
        /// Its issuer.
        issuer: Option<Box<str>>,
    },
    /// Whatever credential has this entity in its chain: as its subject, as an actor, prior ones too, or as its task.
    Member {
        /// The entity.
        entity: Entity,
        /// Which of them.
        which: Which,
    },
    /// All tokens of this issuer that were issued before a time.
    Issuer {
        /// The issuer.
        issuer: Box<str>,
        /// The time.
        before: Timestamp,
    },
    /// The API key with this public id.
    ApiKey(Box<str>),
}

/// Which of the credentials are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that were issued before a time, and those that do not say when they were.
    IssuedBefore(Timestamp),
}

impl Which {
    fn holds(self, issued: Option<Timestamp>) -> bool {
        match self {
            Self::All => true,
            Self::IssuedBefore(time) => issued.is_none_or(|issued| issued < time),
        }
    }

    /// What is revoked by either of them.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::IssuedBefore(one), Self::IssuedBefore(two)) => Self::IssuedBefore(one.max(two)),
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

/// By what a credential is revoked. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Revoked {
    /// By its id.
    #[error("the token is revoked")]
    Token,
    /// By a member of its chain.
    #[error("the credentials of `{0}` are revoked")]
    Member(Entity),
    /// By its issuer.
    #[error("the issuer's tokens of that time are revoked")]
    Issuer,
    /// By its key's id.
    #[error("the API key is revoked")]
    ApiKey,
}

/// Everything that was revoked.
#[derive(Debug, Default)]
pub struct Denylist {
    // By `jti`: of which issuers, `None` for all.
    tokens: HashMap<Box<str>, Option<HashSet<Box<str>>>, RandomState>,
    members: HashMap<Entity, Which, RandomState>,
    issuers: HashMap<Box<str>, Timestamp, RandomState>,
    api_keys: HashSet<Box<str>, RandomState>,
}

impl Denylist {
    /// How many entries it has, of which some may be the same.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.members.len() + self.issuers.len() + self.api_keys.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a credential that is good otherwise is revoked.
    pub fn check(&self, authenticated: &Authenticated) -> Result<(), Revoked> {
        if self.is_empty() {
            return Ok(());
        }
        match &authenticated.credential.method {
            Method::Jwt { issuer, .. } => self.check_token(issuer, &authenticated.credential)?,
            Method::ApiKey { id, .. } if self.api_keys.contains(&**id) => return Err(Revoked::ApiKey),
            Method::ApiKey { .. } | Method::Spiffe { .. } | Method::Signature { .. } => {}
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let principal = &authenticated.principal;
        // Prior actors too, whatever the mode: their part in the chain is what was revoked.
        let mut members = std::iter::once(principal.subject()).chain(principal.actors()).chain(principal.task());
        let revoked = members
            .find(|member| self.members.get(*member).is_some_and(|it| it.holds(authenticated.credential.issued)));
        revoked.map_or(Ok(()), |member| Err(Revoked::Member(member.clone())))
    }

    fn check_token(&self, issuer: &Arc<str>, token: &Credential) -> Result<(), Revoked> {
        let by_id = token.token_id.as_ref().and_then(|id| self.tokens.get(&**id));
        if by_id.is_some_and(|issuers| issuers.as_ref().is_none_or(|issuers| issuers.contains(&**issuer))) {
            return Err(Revoked::Token);
        }
        match self.issuers.get(&**issuer) {
            Some(before) if Which::IssuedBefore(*before).holds(token.issued) => Err(Revoked::Issuer),
            Some(_) | None => Ok(()),
        }
    }
}

impl FromIterator<Revocation> for Denylist {
    fn from_iter<I: IntoIterator<Item = Revocation>>(revocations: I) -> Self {
        let mut list = Self::default();
        for revocation in revocations {
            match revocation {
                Revocation::Token { id, issuer } => {
                    let issuers = list.tokens.entry(id).or_insert_with(|| Some(HashSet::new()));
                    match (issuers.as_mut(), issuer) {
                        (Some(known), Some(issuer)) => drop(known.insert(issuer)),
                        (Some(_), None) => *issuers = None,
                        (None, _) => {}
                    }
                }
                Revocation::Member { entity, which } => {
                    list.members.entry(entity).and_modify(|known| *known = known.or(which)).or_insert(which);
                }
                Revocation::Issuer { issuer, before } => {
                    list.issuers.entry(issuer).and_modify(|known| *known = before.max(*known)).or_insert(before);
                }
                Revocation::ApiKey(id) => drop(list.api_keys.insert(id)),
            }
        }
        list
    }
}
