//! All stores.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thiserror::Error;

use super::{
    book::StoredModel,
    store::Store,
    tuples::{Page, StoredTuple, TupleKey},
    ulid::Ulid,
};
use crate::{
    access::Timestamp,
    compile::{ModelDocument, StoreFile},
};

const MOST_STORES: usize = 10_000;
/// The most models of all stores together.
const MOST_MODELS: usize = 10_000;

/// There is no room for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("The number of {what} exceeds the allowed limit of {most}")]
pub struct AuthorityFull {
    /// Of what there are too many.
    pub what: &'static str,
    /// How many there may be.
    pub most: usize,
}

/// Stores by their ids, and so in the order they were made.
#[derive(Debug, Default)]
pub struct Authority {
    stores: Mutex<BTreeMap<Ulid, Arc<Store>>>,
}

impl Authority {
    /// Makes an empty store. Two may have the same name.
    pub fn create_store(&self, name: &str, now: Timestamp) -> Result<Arc<Store>, AuthorityFull> {
        let mut stores = self.stores();
        if stores.len() >= MOST_STORES {
            return Err(AuthorityFull { what: "stores", most: MOST_STORES });
        }
        let store = Arc::new(Store::new(name, now));
        stores.insert(store.id, Arc::clone(&store));
        Ok(store)
    }

    /// Makes a store of a store file's model and of the tuples that all its tests begin with.
    pub fn open_store(&self, file: &StoreFile, now: Timestamp) -> Arc<Store> {
        let tuples = file.tuples.iter().map(|written| {
            let key = TupleKey::from(&written.tuple);
            StoredTuple { key: Arc::new(key), condition: written.condition.clone(), written_at: now }
        });
        let name = file.name.as_deref().unwrap_or("store");
        let store = Store::seeded(Ulid::now(), name, now, Arc::new(StoredModel::of_file(file)), tuples);
        let store = Arc::new(store);
        self.stores().insert(store.id, Arc::clone(&store));
        store
    }

    /// The store with this id.
    pub fn store(&self, id: Ulid) -> Option<Arc<Store>> {
        self.stores().get(&id).cloned()
    }

    /// Deletes a store with all that it holds. A store that is not there stays so.
    pub fn delete_store(&self, id: Ulid) {
        let gone = self.stores().remove(&id);
        // Dropped when nobody waits for the lock.
        drop(gone);
    }

    /// Stores, of this name or of any, in the order they were made.
    pub fn stores_page(&self, name: Option<&str>, after: Option<Ulid>, limit: usize) -> Page<Arc<Store>, Ulid> {
        let stores = self.stores();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let left = stores.range((after, Bound::Unbounded));
        let left = left.filter(|(_, store)| name.is_none_or(|name| *store.name == *name));
        Page::of(left.map(|(id, store)| (*id, Arc::clone(store))), limit)
    }

    /// Adds a model to a store, where it is the latest from now on.
    pub fn add_model(&self, store: &Store, document: ModelDocument) -> Result<Ulid, AuthorityFull> {
        let stores: Vec<Arc<Store>> = self.stores().values().cloned().collect();
        if stores.iter().map(|store| store.model_count()).sum::<usize>() >= MOST_MODELS {
            return Err(AuthorityFull { what: "authorization models", most: MOST_MODELS });
        }
        store.add_model(document)
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<Ulid, Arc<Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
