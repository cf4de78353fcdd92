//! The tuples of a store as they were written, whatever its models say of them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{
    access::Timestamp,
    policy::{RelationshipTuple, TupleCondition, TupleText, WrittenTuple},
};

/// The three texts that make a tuple the one it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TupleKey {
    // INVARIANT: the object first, so that the tuples of an object are neighbours.
    /// On what.
    pub object: Box<str>,
    /// Which relation.
    pub relation: Box<str>,
    /// Who.
    pub user: Box<str>,
}

impl TupleKey {
    /// The same, borrowed.
    pub fn text(&self) -> TupleText<'_> {
        TupleText { user: &self.user, relation: &self.relation, object: &self.object }
    }
}

impl From<TupleText<'_>> for TupleKey {
    fn from(TupleText { user, relation, object }: TupleText<'_>) -> Self {
        Self { object: object.into(), relation: relation.into(), user: user.into() }
    }
}

impl From<&RelationshipTuple> for TupleKey {
    fn from(RelationshipTuple { user, relation, object }: &RelationshipTuple) -> Self {
        let user = user.to_string().into();
        Self { object: object.as_str().into(), relation: relation.as_str().into(), user }
    }
}

/// A tuple of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTuple {
    /// Which.
    pub key: Arc<TupleKey>,
    /// The condition that it carries.
    pub condition: Option<TupleCondition>,
    /// When it was written.
    pub written_at: Timestamp,
}

impl StoredTuple {
    /// A tuple of a graph, as if it was written at this time.
    pub fn of(WrittenTuple { tuple, condition }: WrittenTuple, written_at: Timestamp) -> Self {
        Self { key: Arc::new(TupleKey::from(&tuple)), condition, written_at }
    }
}

/// Of which objects tuples are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectFilter {
    /// Of all.
    #[default]
    Any,
    /// Of all of this type.
    Type(String),
    /// Of this one.
    One(String),
}

/// Which tuples are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadFilter {
    /// Of which objects.
    pub object: ObjectFilter,
    /// Of which relation.
    pub relation: Option<String>,
    /// Of which user.
    pub user: Option<String>,
}

impl ReadFilter {
    fn lets_in(&self, key: &TupleKey) -> bool {
        let object = match &self.object {
            ObjectFilter::Any => true,
            ObjectFilter::Type(name) => key.object.split_once(':').is_some_and(|(of, _)| of == name),
            ObjectFilter::One(object) => *key.object == **object,
        };
        object
            && self.relation.as_ref().is_none_or(|relation| **relation == *key.relation)
            && self.user.as_ref().is_none_or(|user| **user == *key.user)
    }
}

/// Some of many, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, N> {
    /// The entries.
    pub entries: Vec<T>,
    /// After which entry the next page begins; none after the last.
    pub next: Option<N>,
}

impl<T, N> Page<T, N> {
    /// The first `limit` entries of those that are left.
    pub(super) fn of(left: impl Iterator<Item = (N, T)>, limit: usize) -> Self {
        let mut left = left.peekable();
        let (mut entries, mut next) = (Vec::new(), None);
        for (at, entry) in left.by_ref().take(limit) {
            entries.push(entry);
            next = Some(at);
        }
        Self { entries, next: next.filter(|_| left.peek().is_some()) }
    }
}

/// Tuples by key, and in the order they were written.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    // INVARIANT: each key of one is a key of the other.
    by_number: BTreeMap<u64, StoredTuple>,
    numbers: BTreeMap<Arc<TupleKey>, u64>,
    next: u64,
}

impl Tuples {
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &StoredTuple> {
        self.by_number.values()
    }

    pub(super) fn get(&self, key: &TupleKey) -> Option<&StoredTuple> {
        self.by_number.get(self.numbers.get(key)?)
    }

    /// Adds a tuple, which is not there.
    pub(super) fn add(&mut self, tuple: StoredTuple) {
        self.next += 1;
        self.numbers.insert(Arc::clone(&tuple.key), self.next);
        self.by_number.insert(self.next, tuple);
    }

    pub(super) fn remove(&mut self, key: &TupleKey) {
        if let Some(number) = self.numbers.remove(key) {
            self.by_number.remove(&number);
        }
    }

    /// The tuples behind the one with this number.
    pub(super) fn page(&self, filter: &ReadFilter, after: u64, limit: usize) -> Page<StoredTuple, u64> {
        if let ObjectFilter::One(object) = &filter.object {
            return Page::of(self.of_object(object, filter, after).into_iter(), limit);
        }
        let left = self.by_number.range((Bound::Excluded(after), Bound::Unbounded));
        let left = left.filter(|(_, tuple)| filter.lets_in(&tuple.key));
        Page::of(left.map(|(number, tuple)| (*number, tuple.clone())), limit)
    }

    fn of_object(&self, object: &str, filter: &ReadFilter, after: u64) -> Vec<(u64, StoredTuple)> {
        let first = TupleKey { object: object.into(), relation: "".into(), user: "".into() };
        let neighbours = self.numbers.range(Arc::new(first)..).take_while(|(key, _)| *key.object == *object);
        let mut found: Vec<(u64, StoredTuple)> = neighbours
            .filter(|(key, number)| **number > after && filter.lets_in(key))
            .filter_map(|(_, number)| Some((*number, self.by_number.get(number)?.clone())))
            .collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found
    }
}
