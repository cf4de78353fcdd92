//! Tuples whose ids wait for their numbers, so that what is far away is asked for at once.

use std::{hint::black_box, ops::Range, sync::Arc};

use super::{
    condition::Carried,
    names::{Hashed, Names},
    store::EdgeId,
};
use crate::policy::model::TypeId;

/// So many tuples wait at most. What is read for them fits in the nearest cache of a processor.
pub(super) const MOST_WAITING: usize = 64;

/// Tuples in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    // INVARIANT: holds the ids of `waiting`, perhaps beside one of a tuple that had no room.
    text: String,
    waiting: Vec<Waiting>,
}

/// A tuple without numbers.
#[derive(Debug)]
struct Waiting {
    edge: EdgeId,
    object: Id,
    // `None` for a wildcard.
    user: Option<Id>,
    condition: Option<Arc<Carried>>,
}

/// An id that waits.
#[derive(Debug, Clone)]
pub(super) struct Id {
    of: TypeId,
    hashed: Hashed,
    text: Range<usize>,
}

/// A tuple with its numbers.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) edge: EdgeId,
    pub(super) object: u32,
    pub(super) user: u32,
    pub(super) condition: Option<Arc<Carried>>,
}

impl Queue {
    /// Keeps an id for a tuple that is added next. `None` if its type has no room for all that wait.
    pub(super) fn id(&mut self, names: &[Names], of: TypeId, id: &str) -> Option<Id> {
        let known = names.get(of.index())?;
        if !known.has_room(2 * MOST_WAITING, self.text.len() + id.len()) {
            return None;
        }
        let start = self.text.len();
        self.text.push_str(id);
        Some(Id { of, hashed: known.hashed(id), text: start..self.text.len() })
    }

    /// Adds a tuple, and tells whether the queue is full.
    pub(super) fn add(&mut self, edge: EdgeId, object: Id, user: Option<Id>, condition: Option<Arc<Carried>>) -> bool {
        self.waiting.push(Waiting { edge, object, user, condition });
        self.waiting.len() >= MOST_WAITING
    }

    /// Takes out all tuples, and numbers their ids.
    pub(super) fn drain(&mut self, names: &mut [Names], mut take: impl FnMut(Numbered)) {
        let mut read = 0;
        for Waiting { object, user, .. } in &self.waiting {
            for id in [Some(object), user.as_ref()].into_iter().flatten() {
                read ^= names.get(id.of.index()).map_or(0, |names| names.read_ahead(id.hashed));
            }
        }
        black_box(read);
        let mut number = |id: &Id| {
            let text = self.text.get(id.text.clone())?;
            names.get_mut(id.of.index())?.intern_hashed(text, id.hashed)
        };
        for Waiting { edge, object, user, condition } in self.waiting.drain(..) {
            let object = number(&object);
            let user = user.as_ref().map_or(Some(0), &mut number);
            // There is room for all that wait.
            if let Some((object, user)) = object.zip(user) {
                take(Numbered { edge, object, user, condition });
            }
        }
        self.text.clear();
    }
}
