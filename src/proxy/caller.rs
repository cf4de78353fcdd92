//! Who is behind a request, in the words of records and upstreams.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    access::{ContextualTuple, Entity, Malformed, Principal, Reason, Revision},
    audit::PrincipalRecord,
    identity::{Authenticated, Credential, Method, RefusedKeys, SeenCredential},
    net::{Lookups, Peer},
    policy::Policy,
    snapshot::{Snapshot, SnapshotCell},
};

use super::{
    connect::Tunnels,
    rejection::Rejection,
    shares::{Place, Share, Shares, TunnelPlace},
};

const SUBJECT: HeaderName = HeaderName::from_static("portcullis-subject");
const ACTORS: HeaderName = HeaderName::from_static("portcullis-actors");
const TASK: HeaderName = HeaderName::from_static("portcullis-task");

/// A chain that was authenticated, and what records and upstreams are told of it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    pub(super) record: PrincipalRecord,
    subject: HeaderValue,
    actors: Option<HeaderValue>,
    task: Option<HeaderValue>,
    // What the credential tells of the subject, for the decisions of its own requests.
    told: Option<Arc<[ContextualTuple]>>,
    share: OnceLock<Share>,
}

impl Caller {
    fn new(authenticated: &Authenticated) -> Result<Self, Rejection> {
        let Authenticated { principal, credential, .. } = authenticated;
        let Credential { method, contextual, .. } = credential.as_ref();
        let told = contextual.as_deref().unwrap_or_default();
        let record = match method {
            Method::Jwt { issuer, .. } => PrincipalRecord::new(principal, "jwt", issuer, None, told),
            Method::ApiKey { id, owner } => PrincipalRecord::new(principal, "api_key", id, owner.as_deref(), told),
            Method::Spiffe { id } => PrincipalRecord::new(principal, "spiffe", id, None, told),
            Method::Signature { key_id } => PrincipalRecord::new(principal, "signature", key_id, None, told),
        };
        let actors: Vec<&str> = principal.actors().iter().map(Entity::as_str).collect();
        Ok(Self {
            subject: text(principal.subject().as_str())?,
            actors: if actors.is_empty() { None } else { Some(text(&actors.join(" "))?) },
            task: principal.task().map(|task| text(task.as_str())).transpose()?,
            record,
            principal: Arc::clone(principal),
            told: contextual.clone(),
            share: OnceLock::new(),
        })
    }

    /// The policy that the caller's requests are decided by, with what the credential tells laid over the snapshot's;
    /// `None` if it tells nothing.
    pub(super) fn told(&self, snapshot: &Snapshot) -> Result<Option<Arc<Policy>>, Rejection> {
        let Some(told) = &self.told else { return Ok(None) };
        // The model lets every such tuple in, or there would be no such snapshot.
        let policy = snapshot.policy_told(told);
        policy.map(Some).map_err(|problem| Rejection::with_detail(Reason::InternalError, problem.to_string()))
    }

    /// The place of one more request among those of its sender; a refusal if it has so many already.
    pub(super) fn enter(&self, shares: &Shares, most: usize) -> Result<Place, Rejection> {
        let share = self.share.get_or_init(|| shares.of(&self.principal));
        share.enter(most).ok_or_else(|| Rejection::new(Reason::TooManyInFlight))
    }

    /// The place of one more tunnel among those of its sender; a refusal if it has so many already.
    pub(super) fn enter_tunnel(&self, tunnels: Tunnels<'_>) -> Result<TunnelPlace, Rejection> {
        let share = self.share.get_or_init(|| tunnels.shares.of(&self.principal));
        share.enter_tunnel(tunnels.most, tunnels.open).ok_or_else(|| Rejection::new(Reason::TooManyTunnels))
    }

    /// Among which the names are that are looked up for its sender, once it has a place.
    pub(super) fn lookups(&self) -> Lookups {
        self.share.get().map(Share::lookups).unwrap_or_default()
    }

    /// Tells an upstream.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(SUBJECT, self.subject.clone());
        for (name, value) in [(ACTORS, &self.actors), (TASK, &self.task)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// What a connection brought last, and what it was decided by: an agent sends the same credential with every request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) credential: SeenCredential,
    /// What its requests are decided by.
    pub(super) snapshots: Arc<SnapshotCell>,
    caller: Mutex<Option<Arc<Caller>>>,
    revision: Mutex<Option<(Revision, HeaderValue)>>,
}

impl Seen {
    /// What is known of a connection before its first request.
    pub(super) fn of_peer(peer: &Peer, refused_keys: &Arc<RefusedKeys>, snapshots: Arc<SnapshotCell>) -> Self {
        let certificates = peer.certificates.iter().map(AsRef::as_ref);
        Self::new(SeenCredential::of_peer(certificates, peer.source, refused_keys), snapshots)
    }

    /// What is known before there is a connection.
    pub(super) fn new(credential: SeenCredential, snapshots: Arc<SnapshotCell>) -> Self {
        Self { credential, snapshots, caller: Mutex::default(), revision: Mutex::default() }
    }

    /// The caller that was authenticated: the one that was kept, if this is the same chain of the same credential.
    pub(super) fn caller(&self, authenticated: &Authenticated) -> Result<Arc<Caller>, Rejection> {
        let mut kept = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        // A chain is shared by the answers to one credential, and by nothing else.
        if let Some(caller) = kept.as_ref().filter(|caller| Arc::ptr_eq(&caller.principal, &authenticated.principal)) {
            return Ok(Arc::clone(caller));
        }
        let caller = Arc::new(Caller::new(authenticated)?);
        *kept = Some(Arc::clone(&caller));
        Ok(caller)
    }

    /// The revision as a field's value.
    pub(super) fn revision(&self, revision: Revision) -> HeaderValue {
        let mut kept = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = kept.as_ref().filter(|(kept, _)| *kept == revision) {
            return value.clone();
        }
        let value = HeaderValue::from(revision.number());
        *kept = Some((revision, value.clone()));
        value
    }
}

/// Ids may hold any UTF-8 that is not white space or a control character: outside ASCII it travels as obs-text.
fn text(text: &str) -> Result<HeaderValue, Rejection> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Malformed::Header("a name cannot be a field's value").into())
}
