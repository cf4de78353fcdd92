//! A chain within the task that a request names, if its credential is bound to that.

use std::sync::Arc;

use super::error::AuthenticationError;
use crate::access::{Entity, Principal};

/// The chain of one credential, within its task or each of its tasks.
pub(super) enum Chain {
    /// Within one task or none.
    Fixed(Arc<Principal>),
    /// Within each of several tasks, one of which the request must name.
    Choice(Box<[Arc<Principal>]>),
}

impl Chain {
    /// The chain, within any of its tasks.
    pub(super) fn any(&self) -> Option<&Principal> {
        match self {
            Self::Fixed(principal) => Some(principal),
            // A choice of none is no chain: nobody gets a principal of it.
            Self::Choice(principals) => principals.first().map(|principal| &**principal),
        }
    }

    /// On whose authority it runs, whatever the task.
    pub(super) fn subject(&self) -> Option<&Entity> {
        self.any().map(Principal::subject)
    }

    /// The chain within the task that the request names. A name counts only if the credential says the same.
    pub(super) fn within(&self, named: Option<&str>) -> Result<&Arc<Principal>, AuthenticationError> {
        let is = |principal: &Principal, name: &str| principal.task().is_some_and(|task| task.id() == name);
        match (self, named) {
            (Self::Fixed(principal), None) => Ok(principal),
            (Self::Fixed(principal), Some(name)) if is(principal, name) => Ok(principal),
            (Self::Choice(_), None) => Err(AuthenticationError::UnnamedTask),
            (Self::Choice(principals), Some(name)) => {
                let found = principals.iter().find(|principal| is(principal, name));
                found.ok_or(AuthenticationError::UnboundTask)
            }
            (Self::Fixed(_), Some(_)) => Err(AuthenticationError::UnboundTask),
        }
    }
}
