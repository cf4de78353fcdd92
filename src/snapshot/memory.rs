//! A policy that is kept in memory: what is written is in force at once.

use std::sync::Arc;

use thiserror::Error;

use super::{
    authority::{AuthorityFull, Batch, Store, StoredModel, StoredTuple, Ulid, WriteError},
    cell::SnapshotCell,
    change::{ChangeError, Delta},
};
use crate::{
    access::{Revision, Timestamp},
    compile::ModelDocument,
    policy::{Policy, TupleFilter},
};

/// The id and the name of the one store that every proxy has.
pub const PROXY_STORE: (Ulid, &str) = (Ulid::OF_PROXY, "portcullis");

/// Why a model is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelRefused {
    /// There is no room for another one.
    #[error(transparent)]
    Full(#[from] AuthorityFull),
    /// The snapshot that decides requests could not follow.
    #[error(transparent)]
    Unpublished(#[from] ChangeError),
}

/// The one store of a proxy that keeps its policy in memory, and nowhere else: it is lost when the process ends.
#[derive(Debug)]
pub struct MemoryStore {
    // INVARIANT: the snapshot in the cell has its latest model and the tuples of it; both change under its lock.
    store: Store,
    cell: Arc<SnapshotCell>,
}

impl MemoryStore {
    /// The store of what a policy begins with. The cell's first snapshot must be of this policy, and all that follow
    /// from [`SnapshotCell::change`].
    pub fn new(model: Arc<StoredModel>, policy: &Policy, cell: Arc<SnapshotCell>, now: Timestamp) -> Self {
        let (id, name) = PROXY_STORE;
        let tuples = policy.graph().tuples(TupleFilter::default(), None, usize::MAX).unwrap_or_default();
        let tuples = tuples.into_iter().map(|written| StoredTuple::of(written, now));
        Self { store: Store::seeded(id, name, now, model, tuples), cell }
    }

    /// What is kept beside the policy: models, tuples as they were written, their changes, assertions.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes all changes of the batch or none. When this returns, the next request is decided by them. The tuples must
    /// be valid.
    pub fn write(&self, batch: Batch, now: Timestamp) -> Result<(), WriteError> {
        self.store.write_if(batch, now, |changes| self.cell.change(Delta::Tuples(changes), now).map(drop))
    }

    /// The revision that decides now: after a write, one that has it.
    pub fn revision(&self) -> Option<Revision> {
        self.cell.load().map(|snapshot| snapshot.revision)
    }

    /// Puts a model into force, in place of the one before. Refuses one that the routes do not fit.
    pub fn add_model(&self, document: ModelDocument, now: Timestamp) -> Result<Ulid, ModelRefused> {
        self.store.add_model_if(document, |model, policy| {
            self.cell.change(Delta::Policy(Arc::clone(model), policy), now).map(drop)
        })
    }
}
