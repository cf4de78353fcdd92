//! What all workers of the enforcement point share.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::identity::RefusedKeys;

use super::{budget::Budgets, sessions::SessionKey, shares::Shares};

/// What all workers share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Told when a token names a key that is not there: the key set may be old.
    pub unknown_key: Arc<Notify>,
    /// How often grants were used.
    pub budgets: Arc<Budgets>,
    /// The API keys that were refused of late.
    pub refused_keys: Arc<RefusedKeys>,
    /// How many requests in flight, tunnels and lookups everybody has.
    pub shares: Arc<Shares>,
    /// By what sessions of MCP are bound to whom they are for.
    pub sessions: Arc<SessionKey>,
}

impl Shared {
    /// Nothing was counted or refused yet.
    pub fn new(sessions: Arc<SessionKey>) -> Self {
        Self {
            unknown_key: Arc::default(),
            budgets: Arc::default(),
            refused_keys: Arc::default(),
            shares: Arc::default(),
            sessions,
        }
    }
}
