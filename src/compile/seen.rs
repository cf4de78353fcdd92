//! Which tuples of a document were seen before, and where.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    access::Place,
    policy::{RelationshipTuple, TupleText},
};

/// The places of so many tuples are kept. Nobody writes more by hand.
const MOST_PLACES: usize = 100_000;

/// The places of tuples by the hashes of their texts. Two tuples of one hash are as good as impossible, and another
/// reading hashes in another way.
#[derive(Debug)]
pub(super) struct Seen {
    places: HashMap<u64, Option<Place>, RandomState>,
    hasher: RandomState,
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Every tuple so far.
    All,
    /// Tuples that were chosen beforehand.
    Chosen,
    /// None any more, there were too many.
    TooMany,
}

impl Seen {
    /// Nothing seen yet, everything to be seen.
    pub(super) fn all() -> Self {
        Self { places: HashMap::default(), hasher: RandomState::default(), which: Which::All }
    }

    /// Nothing seen yet, and only these tuples to be seen.
    pub(super) fn only(chosen: &[RelationshipTuple]) -> Self {
        let mut seen = Self { which: Which::Chosen, ..Self::all() };
        for tuple in chosen {
            let user = tuple.user.to_string();
            let text = TupleText { user: &user, relation: tuple.relation.as_str(), object: tuple.object.as_str() };
            seen.places.insert(seen.hash(text), None);
        }
        seen
    }

    /// Whether no tuple was overlooked.
    pub(super) fn saw_all(&self) -> bool {
        self.which == Which::All
    }

    /// Sees a tuple, and tells where it was seen before.
    pub(super) fn earlier(&mut self, tuple: TupleText<'_>, place: Place) -> Option<Place> {
        if self.which == Which::TooMany {
            return None;
        }
        let hash = self.hash(tuple);
        match self.places.entry(hash) {
            Entry::Occupied(mut known) => {
                let earlier = *known.get();
                known.insert(earlier.or(Some(place)));
                return earlier;
            }
            Entry::Vacant(_) if self.which == Which::Chosen => {}
            Entry::Vacant(new) => drop(new.insert(Some(place))),
        }
        if self.which == Which::All && self.places.len() > MOST_PLACES {
            self.places = HashMap::default();
            self.which = Which::TooMany;
        }
        None
    }

    fn hash(&self, tuple: TupleText<'_>) -> u64 {
        self.hasher.hash_one((tuple.user, tuple.relation, tuple.object))
    }
}
