//! One store: readers take what is there, one writer at a time makes what comes next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use thiserror::Error;

use super::{
    authority::AuthorityFull,
    book::{Batch, Book, StoredModel, WriteError},
    change::{Change, ChangesQuery, Forgotten},
    tuples::{Page, ReadFilter, StoredTuple},
    ulid::Ulid,
};
use crate::{
    access::Timestamp,
    compile::ModelDocument,
    policy::{GraphBuilder, InvalidTuple, Policy, PolicySettings, TupleChange},
    snapshot::{change::ChangeError, memory::ModelRefused},
};

/// The most models of one store.
const MOST_MODELS: usize = 1_000;

/// There is no such model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoModel {
    /// None with this id.
    #[error("Authorization Model '{0}' not found")]
    Unknown(Ulid),
    /// None at all.
    #[error("No authorization models found for store '{0}'")]
    NoneYet(Ulid),
}

/// A store: models, tuples, their changes, assertions.
#[derive(Debug)]
pub struct Store {
    /// Its id.
    pub id: Ulid,
    /// Its name.
    pub name: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
    // INVARIANT: held from the look at the tuples to the commit of what follows from them, so that every live policy
    // has all tuples.
    writing: Mutex<()>,
    // Held for moments only, so that readers do not wait for a writer at work.
    book: Mutex<Book>,
}

impl Store {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        let (writing, book) = Default::default();
        Self { id: Ulid::now(), name: name.into(), created_at: now, writing, book }
    }

    /// A store that begins with a model and tuples that are there already.
    pub(in crate::snapshot) fn seeded(
        id: Ulid,
        name: &str,
        now: Timestamp,
        model: Arc<StoredModel>,
        tuples: impl IntoIterator<Item = StoredTuple>,
    ) -> Self {
        let mut book = Book { models: vec![model], ..Book::default() };
        tuples.into_iter().for_each(|tuple| book.tuples.add(tuple));
        Self { id, book: Mutex::new(book), ..Self::new(name, now) }
    }

    pub(super) fn model_count(&self) -> usize {
        self.book().models.len()
    }

    /// Adds a model, which is the latest from now on. Refuses more than a store can hold.
    pub(super) fn add_model(&self, document: ModelDocument) -> Result<Ulid, AuthorityFull> {
        // One after the other, so that the latest id is that of the latest model.
        let _one_writer = self.writing();
        self.check_room()?;
        let model = Arc::new(StoredModel::written_now(document));
        let id = model.id;
        self.book().models.push(model);
        Ok(id)
    }

    /// Adds a model if `publish` takes it with the policy of all tuples.
    pub(in crate::snapshot) fn add_model_if(
        &self,
        document: ModelDocument,
        publish: impl FnOnce(&Arc<StoredModel>, Policy) -> Result<(), ChangeError>,
    ) -> Result<Ulid, ModelRefused> {
        let _one_writer = self.writing();
        self.check_room()?;
        let model = Arc::new(StoredModel::written_now(document));
        let policy = self.build(&model).map_err(ChangeError::Tuple)?;
        publish(&model, policy)?;
        let id = model.id;
        self.book().models.push(model);
        Ok(id)
    }

    fn check_room(&self) -> Result<(), AuthorityFull> {
        if self.book().models.len() < MOST_MODELS {
            return Ok(());
        }
        Err(AuthorityFull { what: "authorization models of a store", most: MOST_MODELS })
    }

    /// The model with this id, or the latest.
    pub fn model(&self, id: Option<Ulid>) -> Result<Arc<StoredModel>, NoModel> {
        let book = self.book();
        match id {
            Some(id) => {
                let found = book.models.binary_search_by_key(&id, |model| model.id).ok();
                found.and_then(|at| book.models.get(at)).cloned().ok_or(NoModel::Unknown(id))
            }
            None => book.models.last().cloned().ok_or(NoModel::NoneYet(self.id)),
        }
    }

    /// Models, the latest first.
    pub fn models(&self, before: Option<Ulid>, limit: usize) -> Page<Arc<StoredModel>, Ulid> {
        let book = self.book();
        let left = book.models.iter().rev().filter(|model| before.is_none_or(|before| model.id < before));
        Page::of(left.map(|model| (model.id, Arc::clone(model))), limit)
    }

    /// The policy of this model and the tuples of the store as they are now.
    pub fn policy(&self, model: &StoredModel) -> Result<Arc<Policy>, InvalidTuple> {
        if let Some(known) = self.book().live(model.id) {
            return Ok(Arc::clone(known));
        }
        let _one_writer = self.writing();
        if let Some(known) = self.book().live(model.id) {
            return Ok(Arc::clone(known));
        }
        let policy = Arc::new(self.build(model)?);
        self.book().add_live(model.id, Arc::clone(&policy));
        Ok(policy)
    }

    /// The policy of all tuples, for a writer.
    fn build(&self, model: &StoredModel) -> Result<Policy, InvalidTuple> {
        let tuples: Vec<StoredTuple> = self.book().tuples.iter().cloned().collect();
        let mut builder = GraphBuilder::new(Arc::clone(&model.model));
        for StoredTuple { key, condition, .. } in tuples {
            builder.add_with(key.text(), condition)?;
        }
        Ok(Policy::new(builder.finish(), PolicySettings::default()))
    }

    /// Makes all changes of the batch, in force at once for every model, or none. The tuples must be valid.
    pub fn write(&self, batch: Batch, now: Timestamp) -> Result<(), WriteError> {
        self.write_if(batch, now, |_| Ok(()))
    }

    /// The same, if `publish` takes what the batch really changes.
    pub(in crate::snapshot) fn write_if(
        &self,
        batch: Batch,
        now: Timestamp,
        publish: impl FnOnce(&[TupleChange<'_>]) -> Result<(), ChangeError>,
    ) -> Result<(), WriteError> {
        let _one_writer = self.writing();
        let (effect, mut live) = {
            let book = self.book();
            (book.effect(batch)?, book.live.clone())
        };
        for (_, policy) in &mut live {
            let (next, _) = policy.with_changes(effect.changes())?;
            *policy = Arc::new(if next.needs_compaction() { next.compacted() } else { next });
        }
        let changes: Vec<TupleChange<'_>> = effect.changes().collect();
        if !changes.is_empty() {
            publish(&changes)?;
        }
        self.book().commit(effect, live, now);
        Ok(())
    }

    /// Tuples in the order they were written, from behind the one with this number.
    pub fn read(&self, filter: &ReadFilter, after: u64, limit: usize) -> Page<StoredTuple, u64> {
        self.book().tuples.page(filter, after, limit)
    }

    /// Changes in the order they were made, and the number of the last one of them.
    pub fn changes(&self, query: &ChangesQuery, limit: usize) -> Result<Page<Change, u64>, Forgotten> {
        self.book().changes.page(query, limit)
    }

    /// The assertions that were kept for a model.
    pub fn assertions(&self, model: Ulid) -> Option<Value> {
        self.book().assertions.get(&model).cloned()
    }

    /// Keeps assertions for a model, in place of those before.
    pub fn keep_assertions(&self, model: Ulid, assertions: Value) {
        self.book().assertions.insert(model, assertions);
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
