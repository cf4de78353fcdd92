//! What one evaluation has found out so far.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry as Slot};

/// What is known of a relation on an object, for the one user of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The answer, whatever the path, as long as `height` more hops are left.
    Answer { is_true: bool, height: u8 },
    /// Everything below was seen from this depth, and nothing true was found except through frames that are still
    /// open. `failed` if the hops did not suffice.
    Seen { depth: u8, failed: bool },
}

/// A table that is only made once an evaluation has become long.
#[derive(Debug, Default)]
pub(super) struct Memo {
    table: Option<HashMap<u64, Known, RandomState>>,
    // The keys that are `Seen`, the oldest first.
    trail: Vec<u64>,
}

impl Memo {
    pub(super) fn is_on(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn turn_on(&mut self) {
        self.table.get_or_insert_default();
    }

    pub(super) fn find(&self, key: u64) -> Option<Known> {
        self.table.as_ref()?.get(&key).copied()
    }

    pub(super) fn answer(&mut self, key: u64, is_true: bool, height: u8) {
        if let Some(table) = &mut self.table {
            table.insert(key, Known::Answer { is_true, height });
        }
    }

    pub(super) fn seen(&mut self, key: u64, depth: u8, failed: bool) {
        match self.table.as_mut().map(|table| table.entry(key)) {
            Some(Slot::Vacant(slot)) => {
                slot.insert(Known::Seen { depth, failed });
                self.trail.push(key);
            }
            Some(Slot::Occupied(mut slot)) => {
                if matches!(slot.get(), Known::Answer { .. }) {
                    self.trail.push(key);
                }
                slot.insert(Known::Seen { depth, failed });
            }
            None => {}
        }
    }

    /// How many keys were only seen.
    pub(super) fn mark(&self) -> usize {
        self.trail.len()
    }

    /// Settles what was seen since the mark: it is false, or nothing is known of it.
    pub(super) fn settle(&mut self, mark: usize, all_false: Option<u8>) {
        let Some(table) = &mut self.table else { return };
        for key in self.trail.drain(mark.min(self.trail.len())..) {
            let Slot::Occupied(mut slot) = table.entry(key) else { continue };
            match (slot.get(), all_false) {
                (Known::Answer { .. }, _) => {}
                (Known::Seen { .. }, Some(height)) => drop(slot.insert(Known::Answer { is_true: false, height })),
                (Known::Seen { .. }, None) => drop(slot.remove()),
            }
        }
    }
}
