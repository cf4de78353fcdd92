//! The proof that a request is permitted, or why it is not.

use std::sync::Arc;

use thiserror::Error;

use crate::access::{Access, Entity, Principal, Reason};

/// The proof that every member of a chain is permitted every one of these accesses.
///
/// Only [`Policy::authorize`](super::Policy::authorize) makes one.
#[derive(Debug, Clone)]
pub struct Permit {
    principal: Arc<Principal>,
    accesses: Vec<Access>,
}

impl Permit {
    pub(super) fn new(principal: Arc<Principal>, accesses: Vec<Access>) -> Self {
        Self { principal, accesses }
    }

    /// The chain it was made for.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What is permitted, never empty.
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }
}

/// Why a chain is not permitted: the first member, in the order of the chain, that is refused an access.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Denial {
    /// The reason, one of those that a policy can give.
    pub reason: Reason,
    /// The member that was refused.
    pub member: Option<Entity>,
    /// The access that was refused.
    pub access: Option<Access>,
    /// The same in words, for the audit record and not for the client.
    pub detail: String,
}
