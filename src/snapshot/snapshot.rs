//! Everything that one request is decided by.

use std::{sync::Arc, time::Duration};

use crate::{
    access::{ContextualTuple, Revision, Timestamp},
    identity::{Authenticator, Denylist, MappedTuple},
    net::{Endpoints, Network, Reach},
    policy::{InvalidContextualTuple, Policy},
    route::{RouteTable, UpstreamId},
};

use super::{authority::StoredModel, callers::Callers, overlays::Overlays, transaction::TransactionTokens};

/// A service behind the proxy.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How it is reached. With `original_destination` or `requested_host` there are none.
    pub endpoints: Arc<Endpoints>,
    /// The networks that connections go on to which were redirected, if it is where each of them was meant to go.
    pub original_destination: Option<Arc<[Network]>>,
    /// Which addresses may be reached, if it is the host that each client of an explicit proxy asks for.
    pub requested_host: Option<Reach>,
    /// Whether it gets the host that the client asked for, or its own.
    pub preserve_host: bool,
    /// Whether it is told of the decision by a signed token too.
    pub transaction_token: bool,
}

/// Routes, keys, model and tuples of one revision. It never changes. A clone shares everything with it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its number.
    pub revision: Revision,
    /// When it was built.
    pub built_at: Timestamp,
    /// Where model and tuples come from, for people.
    pub source: Arc<str>,
    /// The file that the routes are written in, for diagnostics.
    pub(super) routes_file: Arc<str>,
    /// Which request stands for what.
    pub routes: Arc<RouteTable>,
    // INVARIANT: holds every upstream that a route of `routes` names.
    pub(super) upstreams: Arc<[Upstream]>,
    /// Who is asking.
    pub authenticator: Arc<Authenticator>,
    // INVARIANT: the model of `policy` lets in every one of them.
    pub(super) mapped: Arc<[MappedTuple]>,
    /// By what tokens for upstreams are made, if they are.
    pub transaction_tokens: Option<Arc<TransactionTokens>>,
    /// Whose credentials were revoked.
    pub denylist: Arc<Denylist>,
    /// Who may ask for decisions.
    pub callers: Arc<Callers>,
    /// The model of the policy, with its id and as JSON.
    pub model: Arc<StoredModel>,
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// How long the source may be out of reach before nothing is decided any more.
    pub max_staleness: Option<Duration>,
    // INVARIANT: of this snapshot alone. The cell gives each one its own.
    pub(super) overlays: Arc<Overlays>,
}

impl Snapshot {
    /// The policy with what a token tells of its subject laid over it. It is made once for each token, and shares all
    /// else with the policy.
    pub fn policy_told(&self, told: &Arc<[ContextualTuple]>) -> Result<Arc<Policy>, InvalidContextualTuple> {
        self.overlays.policy(&self.policy, told)
    }

    /// The upstream with this id.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        self.upstreams.get(id.0)
    }
}
