//! Where the API reads and writes: stores in memory, or the snapshot that decides requests.

use std::{fmt, str::FromStr, sync::Arc, time::SystemTime};

use serde_json::{Value, json};

use crate::{
    access::{Entity, Revision, Timestamp},
    compile::ModelDocument,
    policy::{ContextMap, InvalidTuple, Policy, RelationshipTuple, RequestContext, TupleFilter, User},
    snapshot::{
        Authority, Batch, Change, ChangesQuery, MemoryStore, NoModel, ObjectFilter, PROXY_STORE, Page, ReadFilter,
        Snapshot, Store, StoredModel, StoredTuple, Ulid,
    },
};

use super::{
    fault::{Code, Fault},
    page::List,
};

/// All stores.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backing<'a> {
    /// Made, filled and deleted by requests.
    Authority(&'a Authority),
    /// The one of the proxy.
    Proxy(ProxyStore<'a>),
}

/// The policy that decides requests, as one store.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProxyStore<'a> {
    pub(super) snapshot: &'a Arc<Snapshot>,
    /// What takes writes; `None` if the policy comes from elsewhere.
    pub(super) memory: Option<&'a MemoryStore>,
    /// Who asks.
    pub(super) caller: &'a Entity,
    pub(super) now: Timestamp,
}

/// One store.
#[derive(Debug)]
pub(super) enum AnyStore<'a> {
    Kept(&'a Authority, Arc<Store>),
    Proxy(ProxyStore<'a>),
}

/// A store as answers tell of it.
#[derive(Debug)]
pub(super) struct About {
    pub(super) id: Ulid,
    pub(super) name: Box<str>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// The answer to what would change a policy that comes from elsewhere. SDKs do not try it again.
fn read_only() -> Fault {
    let message = "the policy of this proxy comes from its source: change it there";
    Fault::new(Code::Unimplemented, message)
}

fn one_store_only() -> Fault {
    Fault::new(Code::Unimplemented, "a proxy has exactly one store: it can be neither made nor deleted")
}

impl<'a> Backing<'a> {
    /// Refuses to make stores where there is one only.
    pub(super) fn check_creatable(self) -> Result<(), Fault> {
        match self {
            Self::Authority(_) => Ok(()),
            Self::Proxy(_) => Err(one_store_only()),
        }
    }

    pub(super) fn create_store(self, name: &str, now: Timestamp) -> Result<AnyStore<'a>, Fault> {
        match self {
            Self::Authority(authority) => Ok(AnyStore::Kept(authority, authority.create_store(name, now)?)),
            Self::Proxy(_) => Err(one_store_only()),
        }
    }

    pub(super) fn delete_store(self, id: Ulid) -> Result<(), Fault> {
        match self {
            Self::Authority(authority) => {
                authority.delete_store(id);
                Ok(())
            }
            Self::Proxy(_) => Err(one_store_only()),
        }
    }

    pub(super) fn store(self, id: Ulid) -> Result<AnyStore<'a>, Fault> {
        let found = match self {
            Self::Authority(authority) => authority.store(id).map(|store| AnyStore::Kept(authority, store)),
            Self::Proxy(store) => (id == PROXY_STORE.0).then_some(AnyStore::Proxy(store)),
        };
        found.ok_or_else(|| Fault::new(Code::StoreNotFound, "Store ID not found"))
    }

    pub(super) fn stores(self, name: Option<&str>, after: Option<Ulid>, limit: usize) -> Page<AnyStore<'a>, Ulid> {
        match self {
            Self::Authority(authority) => {
                let Page { entries, next } = authority.stores_page(name, after, limit);
                let entries = entries.into_iter().map(|store| AnyStore::Kept(authority, store)).collect();
                Page { entries, next }
            }
            Self::Proxy(store) => {
                let (id, known) = PROXY_STORE;
                let is_asked = name.is_none_or(|name| name == known) && after.is_none_or(|after| after < id);
                Page { entries: is_asked.then_some(AnyStore::Proxy(store)).into_iter().collect(), next: None }
            }
        }
    }
}

impl AnyStore<'_> {
    pub(super) fn about(&self) -> About {
        match self {
            Self::Kept(_, store) => About {
                id: store.id,
                name: store.name.clone(),
                created_at: store.created_at,
                updated_at: store.created_at,
            },
            Self::Proxy(store) => About {
                id: PROXY_STORE.0,
                name: PROXY_STORE.1.into(),
                // It is the same store on every machine and after every start.
                created_at: SystemTime::UNIX_EPOCH.into(),
                updated_at: store.snapshot.built_at,
            },
        }
    }

    /// Where writes go, if the store takes any.
    pub(super) fn check_writable(&self) -> Result<(), Fault> {
        match self {
            Self::Kept(..) | Self::Proxy(ProxyStore { memory: Some(_), .. }) => Ok(()),
            Self::Proxy(ProxyStore { memory: None, .. }) => Err(read_only()),
        }
    }

    /// The model with this id, or the latest.
    pub(super) fn model(&self, named: Option<Ulid>) -> Result<Arc<StoredModel>, NoModel> {
        match self {
            Self::Kept(_, store) => store.model(named),
            Self::Proxy(ProxyStore { snapshot, memory, .. }) => match (named, memory) {
                (None, _) => Ok(Arc::clone(&snapshot.model)),
                (Some(id), _) if id == snapshot.model.id => Ok(Arc::clone(&snapshot.model)),
                (Some(id), Some(memory)) => memory.store().model(Some(id)),
                (Some(id), None) => Err(NoModel::Unknown(id)),
            },
        }
    }

    pub(super) fn models(&self, before: Option<Ulid>, limit: usize) -> Page<Arc<StoredModel>, Ulid> {
        match self {
            Self::Kept(_, store) => store.models(before, limit),
            Self::Proxy(ProxyStore { memory: Some(memory), .. }) => memory.store().models(before, limit),
            Self::Proxy(ProxyStore { snapshot, memory: None, .. }) => {
                let model = Some(&snapshot.model).filter(|model| before.is_none_or(|before| model.id < before));
                Page { entries: model.cloned().into_iter().collect(), next: None }
            }
        }
    }

    pub(super) fn add_model(&self, document: ModelDocument, now: Timestamp) -> Result<Ulid, Fault> {
        match self {
            Self::Kept(authority, store) => Ok(authority.add_model(store, document)?),
            Self::Proxy(ProxyStore { memory: Some(memory), caller, .. }) => {
                let id = memory.add_model(document, now)?;
                let revision = memory.revision().unwrap_or_default().number();
                tracing::info!(%caller, model = id.as_str(), revision, "a model was written");
                Ok(id)
            }
            Self::Proxy(ProxyStore { memory: None, .. }) => Err(read_only()),
        }
    }

    /// The policy of this model.
    pub(super) fn policy(&self, model: &StoredModel) -> Result<Arc<Policy>, InvalidTuple> {
        match self {
            Self::Kept(_, store) => store.policy(model),
            Self::Proxy(ProxyStore { snapshot, memory, .. }) => match memory {
                // A model of before is asked by the settings of now.
                Some(memory) if model.id != snapshot.model.id => {
                    let policy = memory.store().policy(model)?;
                    Ok(Arc::new(policy.with_settings(snapshot.policy.settings().clone())))
                }
                Some(_) | None => Ok(Arc::clone(&snapshot.policy)),
            },
        }
    }

    /// The time, if conditions are told it: the proxy does so, and so does its store.
    pub(super) fn now(&self) -> Option<Timestamp> {
        match self {
            Self::Kept(..) => None,
            Self::Proxy(store) => Some(store.now),
        }
    }

    pub(super) fn write(&self, batch: Batch, now: Timestamp) -> Result<(), Fault> {
        match self {
            Self::Kept(_, store) => Ok(store.write(batch, now)?),
            Self::Proxy(ProxyStore { memory: Some(memory), caller, .. }) => {
                let (writes, deletes) = (batch.writes.len(), batch.deletes.len());
                memory.write(batch, now)?;
                let revision = memory.revision().unwrap_or_default().number();
                tracing::info!(%caller, writes, deletes, revision, "tuples were written");
                Ok(())
            }
            Self::Proxy(ProxyStore { memory: None, .. }) => Err(read_only()),
        }
    }

    /// Tuples behind those of the page that gave this token, and the token for what is behind these.
    pub(super) fn read(
        &self,
        filter: &ReadFilter,
        token: &str,
        limit: usize,
    ) -> Result<(Vec<StoredTuple>, String), Fault> {
        let kept = match self {
            Self::Kept(_, store) => store,
            Self::Proxy(ProxyStore { memory: Some(memory), .. }) => memory.store(),
            Self::Proxy(ProxyStore { snapshot, memory: None, .. }) => return read(snapshot, filter, token, limit),
        };
        let after: Option<u64> = List::Tuples.after(token)?;
        let page = kept.read(filter, after.unwrap_or(0), limit);
        let next = List::Tuples.next(&page);
        Ok((page.entries, next))
    }

    pub(super) fn changes(&self, query: &ChangesQuery, limit: usize) -> Result<Page<Change, u64>, Fault> {
        match self {
            Self::Kept(_, store) => Ok(store.changes(query, limit)?),
            Self::Proxy(ProxyStore { memory: Some(memory), .. }) => Ok(memory.store().changes(query, limit)?),
            // No changes at all would be taken for a policy that never changes.
            Self::Proxy(ProxyStore { memory: None, .. }) => {
                let message = "this proxy keeps its policy, not the changes that led to it: ask its source";
                Err(Fault::new(Code::Unimplemented, message))
            }
        }
    }

    pub(super) fn assertions(&self, model: Ulid) -> Value {
        let kept = match self {
            Self::Kept(_, store) => store.assertions(model),
            Self::Proxy(store) => store.memory.and_then(|memory| memory.store().assertions(model)),
        };
        kept.unwrap_or_else(|| json!([]))
    }

    pub(super) fn keep_assertions(&self, model: Ulid, assertions: Value) -> Result<(), Fault> {
        match self {
            Self::Kept(_, store) => store.keep_assertions(model, assertions),
            Self::Proxy(ProxyStore { memory: Some(memory), .. }) => memory.store().keep_assertions(model, assertions),
            Self::Proxy(ProxyStore { memory: None, .. }) => return Err(read_only()),
        }
        Ok(())
    }
}

/// What a question is asked with. Where there is a clock, nobody who asks can say another time.
pub(super) fn asked(values: &ContextMap, now: Option<Timestamp>) -> RequestContext<'_> {
    let context = RequestContext::new(values);
    match now {
        Some(now) => context.only_at(now),
        None => context,
    }
}

/// The last tuple of a page and the snapshot that it was read from, as the page's token names them. In another snapshot
/// tuples may have another order.
#[derive(Debug)]
struct ReadTo {
    revision: Revision,
    // Processes count their revisions each for itself.
    built_at: i64,
    tuple: RelationshipTuple,
}

impl fmt::Display for ReadTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, built_at, tuple: RelationshipTuple { user, relation, object } } = self;
        write!(f, "{}.{built_at}.{object}#{relation}@{user}", revision.number())
    }
}

impl FromStr for ReadTo {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (revision, rest) = text.split_once('.').ok_or(())?;
        let (built_at, rest) = rest.split_once('.').ok_or(())?;
        let (object, rest) = rest.split_once('#').ok_or(())?;
        let (relation, user) = rest.split_once('@').ok_or(())?;
        let revision = Revision::new(revision.parse().map_err(|_| ())?);
        let built_at = built_at.parse().map_err(|_| ())?;
        let tuple = RelationshipTuple::parse(user, relation, object).map_err(|_| ())?;
        Ok(Self { revision, built_at, tuple })
    }
}

fn read(
    snapshot: &Snapshot,
    filter: &ReadFilter,
    token: &str,
    limit: usize,
) -> Result<(Vec<StoredTuple>, String), Fault> {
    let (revision, built_at) = (snapshot.revision, snapshot.built_at.microseconds());
    let changed = || {
        let message =
            "Invalid continuation token: the policy has changed since the page before, read from the beginning";
        Fault::new(Code::InvalidContinuationToken, message)
    };
    let after: Option<ReadTo> = List::Tuples.after(token)?;
    if after.as_ref().is_some_and(|after| (after.revision, after.built_at) != (revision, built_at)) {
        return Err(changed());
    }
    let ReadFilter { object, relation, user } = filter;
    let object = match object {
        ObjectFilter::One(object) => Some(object.parse()),
        ObjectFilter::Any | ObjectFilter::Type(_) => None,
    };
    let user: Option<Result<User, InvalidTuple>> = user.as_ref().map(|user| user.parse());
    let (Ok(object), Ok(user)) = (object.transpose(), user.transpose()) else {
        // No tuple has such a text.
        return Ok((Vec::new(), String::new()));
    };
    let object_type = match &filter.object {
        ObjectFilter::Type(name) => Some(name.as_str()),
        ObjectFilter::Any | ObjectFilter::One(_) => None,
    };
    let asked =
        TupleFilter { object_type, object: object.as_ref(), relation: relation.as_deref(), user: user.as_ref() };
    let after = after.map(|after| after.tuple);
    let found = snapshot.policy.graph().tuples(asked, after.as_ref(), limit.saturating_add(1));
    let mut found = found.ok_or_else(changed)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found
        .last()
        .filter(|_| more)
        .map(|last| List::Tuples.token(&ReadTo { revision, built_at, tuple: last.tuple.clone() }));
    let stored = found.into_iter().map(|written| StoredTuple::of(written, snapshot.built_at));
    Ok((stored.collect(), last.unwrap_or_default()))
}
