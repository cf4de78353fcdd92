//! All that one store holds at a time, and what a write makes of it.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use thiserror::Error;

use super::{
    change::{Change, ChangeKind, ChangeLog},
    tuples::{StoredTuple, TupleKey, Tuples},
    ulid::Ulid,
};
use crate::{
    access::Timestamp,
    compile::{Json, JsonForm, ModelDocument, StoreFile},
    policy::{InvalidTuple, Model, Policy, TupleChange, TupleCondition},
    snapshot::change::ChangeError,
};

/// The most tuples of one store.
const MOST_TUPLES: usize = 1_000_000;
/// So many models of a store are kept ready to be asked; the others are made ready when they are asked.
const MOST_LIVE: usize = 8;

/// A model of a store.
#[derive(Debug)]
pub struct StoredModel {
    /// Its id.
    pub id: Ulid,
    /// As OpenFGA's API gives it.
    pub json: Value,
    /// Compiled.
    pub model: Arc<Model>,
}

impl StoredModel {
    /// A model that is written now: its id is behind all ids before.
    pub fn written_now(document: ModelDocument) -> Self {
        let json = document.to_json(JsonForm::Api { id: "" });
        Self::of_parts(&json, document.into_model().into(), |_| Ulid::now())
    }

    /// A model whose id follows from what it says: the same on every machine, and before all that are written.
    pub fn by_content(document: ModelDocument) -> Self {
        let json = document.to_json(JsonForm::Api { id: "" });
        Self::of_parts(&json, document.into_model().into(), |text| Ulid::of_content(text.as_bytes()))
    }

    /// The model of a store file, as if it were written now.
    pub(super) fn of_file(file: &StoreFile) -> Self {
        Self::of_parts(&file.model_json, Arc::clone(&file.model), |_| Ulid::now())
    }

    fn of_parts(json: &Json, model: Arc<Model>, id: impl FnOnce(&str) -> Ulid) -> Self {
        // Members of a value are sorted: what says the same has the same text.
        let mut json = serde_json::to_value(json).unwrap_or_default();
        let id = id(&json.to_string());
        if let Some(known) = json.get_mut("id") {
            *known = id.as_str().into();
        }
        Self { id, json, model }
    }
}

/// What becomes of a write of a tuple that is there, or of a deletion of one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repetition {
    /// Nothing at all is changed.
    #[default]
    Refused,
    /// Nothing, and the rest is changed.
    Ignored,
}

/// Changes that are made together or not at all. No key may be in it twice.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Tuples to delete.
    pub deletes: Vec<TupleKey>,
    /// If one of these is not there.
    pub on_missing: Repetition,
    /// Tuples to write.
    pub writes: Vec<(TupleKey, Option<TupleCondition>)>,
    /// If one of these is there.
    pub on_duplicate: Repetition,
}

/// Why nothing of a batch was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A tuple to write is there.
    #[error("cannot write a tuple which already exists: {}", shown(.0))]
    Exists(TupleKey),
    /// A tuple to delete is not there.
    #[error("cannot delete a tuple which does not exist: {}", shown(.0))]
    Missing(TupleKey),
    /// A tuple to write is there with another condition.
    #[error("a tuple to write exists with another condition: {}", shown(.0))]
    Conflict(TupleKey),
    /// There is no room.
    #[error("the number of tuples of a store exceeds the allowed limit of {MOST_TUPLES}")]
    Full,
    /// A tuple cannot be held.
    #[error(transparent)]
    Invalid(#[from] InvalidTuple),
    /// The snapshot that decides requests could not follow.
    #[error(transparent)]
    Unpublished(#[from] ChangeError),
}

fn shown(key: &TupleKey) -> String {
    let TupleKey { object, relation, user } = key;
    format!("user: '{user}', relation: '{relation}', object: '{object}'")
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// Oldest first.
    pub(super) models: Vec<Arc<StoredModel>>,
    /// Policies of some models; the one that was made ready last is the last.
    pub(super) live: Vec<(Ulid, Arc<Policy>)>,
    pub(super) tuples: Tuples,
    pub(super) changes: ChangeLog,
    pub(super) assertions: HashMap<Ulid, Value>,
}

/// What a batch really changes.
#[derive(Debug)]
pub(super) struct Effect {
    deletes: Vec<Arc<TupleKey>>,
    writes: Vec<(Arc<TupleKey>, Option<TupleCondition>)>,
}

impl Effect {
    pub(super) fn changes(&self) -> impl Iterator<Item = TupleChange<'_>> {
        let deletes = self.deletes.iter().map(|key| TupleChange::Delete(key.text()));
        let writes = self.writes.iter().map(|(key, condition)| TupleChange::Write(key.text(), condition.as_ref()));
        deletes.chain(writes)
    }
}

impl Book {
    pub(super) fn live(&self, model: Ulid) -> Option<&Arc<Policy>> {
        self.live.iter().find(|(id, _)| *id == model).map(|(_, policy)| policy)
    }

    pub(super) fn add_live(&mut self, model: Ulid, policy: Arc<Policy>) {
        if self.live.len() == MOST_LIVE {
            self.live.remove(0);
        }
        self.live.push((model, policy));
    }

    /// What the batch would change, or why it may not.
    pub(super) fn effect(&self, batch: Batch) -> Result<Effect, WriteError> {
        let Batch { deletes, on_missing, writes, on_duplicate } = batch;
        let mut effect = Effect { deletes: Vec::new(), writes: Vec::new() };
        for key in deletes {
            match (self.tuples.get(&key), on_missing) {
                (Some(known), _) => effect.deletes.push(Arc::clone(&known.key)),
                (None, Repetition::Refused) => return Err(WriteError::Missing(key)),
                (None, Repetition::Ignored) => {}
            }
        }
        for (key, condition) in writes {
            match (self.tuples.get(&key), on_duplicate) {
                (None, _) => effect.writes.push((Arc::new(key), condition)),
                (Some(_), Repetition::Refused) => return Err(WriteError::Exists(key)),
                (Some(known), Repetition::Ignored) if known.condition == condition => {}
                (Some(_), Repetition::Ignored) => return Err(WriteError::Conflict(key)),
            }
        }
        if (self.tuples.len() + effect.writes.len()).saturating_sub(effect.deletes.len()) > MOST_TUPLES {
            return Err(WriteError::Full);
        }
        Ok(effect)
    }

    /// Makes the effect so, with the policies that it leads to.
    pub(super) fn commit(&mut self, effect: Effect, live: Vec<(Ulid, Arc<Policy>)>, now: Timestamp) {
        self.live = live;
        for key in effect.deletes {
            self.tuples.remove(&key);
            self.changes.add(Change { key, kind: ChangeKind::Delete, at: now });
        }
        for (key, condition) in effect.writes {
            let kind = ChangeKind::Write(condition.clone());
            self.changes.add(Change { key: Arc::clone(&key), kind, at: now });
            self.tuples.add(StoredTuple { key, condition, written_at: now });
        }
    }
}
