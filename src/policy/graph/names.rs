//! The ids of one type's objects, numbered.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{packed::MOST, persistent::PersistentMap};

/// Numbers for the ids of one type: one text for all of them, and a table from text to number.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    text: String,
    // INVARIANT: `ends[n]` is where the id with number `n` ends in `text`, and where the next one begins.
    ends: Vec<u32>,
    // INVARIANT: from each id's home to the id there is no free slot. Empty, or at least one slot is free.
    slots: Vec<Slot>,
    hasher: RandomState,
}

/// All that a search needs beside the text itself, so that it costs two distant reads and no more.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    number: u32,
    start: u32,
    length: u32,
}

/// Marks a slot without a number.
const FREE: u32 = u32::MAX;
const FREE_SLOT: Slot = Slot { hash: 0, number: FREE, start: 0, length: 0 };

impl Names {
    /// The number of `id`, a new one if it has none. `None` if no number or no room is left.
    pub(super) fn intern(&mut self, id: &str) -> Option<u32> {
        let hash = self.hash(id);
        if let Some(number) = self.find_hashed(hash, id) {
            return Some(number);
        }
        let number = u32::try_from(self.ends.len()).ok().filter(|number| *number < MOST)?;
        let start = u32::try_from(self.text.len()).ok()?;
        let end = u32::try_from(self.text.len() + id.len()).ok()?;
        if (self.ends.len() + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(16));
        }
        self.text.push_str(id);
        self.ends.push(end);
        put(&mut self.slots, Slot { hash, number, start, length: end - start });
        Some(number)
    }

    /// The id with this number.
    pub(super) fn id(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.ends.get(number).and_then(|end| self.text.get(start..*end as usize))
    }

    /// How many ids have a number.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Gives back what growing took too much of.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        let enough = self.ends.len() + self.ends.len() / 2 + 1;
        if !self.ends.is_empty() && self.slots.len() > enough + enough / 8 {
            self.resize(enough);
        }
    }

    /// Nothing, with the same hashes.
    pub(super) fn emptied(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::default() }
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + self.slots.capacity() * size_of::<Slot>()
    }

    fn hash(&self, id: &str) -> u32 {
        // The upper half; foldhash mixes both.
        u32::try_from(self.hasher.hash_one(id) >> 32).unwrap_or_default()
    }

    fn find_hashed(&self, hash: u32, id: &str) -> Option<u32> {
        let start = home(hash, self.slots.len());
        let (before, after) = self.slots.split_at_checked(start)?;
        let taken = after.iter().chain(before).take_while(|slot| slot.number != FREE);
        let mut same = taken.filter(|slot| slot.hash == hash && slot.length as usize == id.len());
        same.find(|slot| {
            let start = slot.start as usize;
            self.text.as_bytes().get(start..start + id.len()) == Some(id.as_bytes())
        })
        .map(|slot| slot.number)
    }

    /// Moves all slots to a table of this length. Their hashes are known, so that no text is read.
    fn resize(&mut self, length: usize) {
        let mut slots = vec![FREE_SLOT; length];
        self.slots.iter().filter(|slot| slot.number != FREE).for_each(|slot| put(&mut slots, *slot));
        self.slots = slots;
    }
}

fn home(hash: u32, length: usize) -> usize {
    let scaled = (u64::from(hash) * u64::try_from(length).unwrap_or(u64::MAX)) >> 32;
    usize::try_from(scaled).unwrap_or_default()
}

fn put(slots: &mut [Slot], new: Slot) {
    let Some((before, after)) = slots.split_at_mut_checked(home(new.hash, slots.len())) else { return };
    if let Some(free) = after.iter_mut().chain(before).find(|slot| slot.number == FREE) {
        *free = new;
    }
}

/// Names, and those that came later. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Interner {
    base: Arc<Names>,
    // `None` if there is no later name.
    later: Option<Later>,
}

#[derive(Debug, Clone, Default)]
struct Later {
    // Almost always one number for each hash.
    by_hash: PersistentMap<u32, SmallVec<[u32; 2]>>,
    texts: PersistentMap<u32, Arc<str>>,
}

impl Interner {
    pub(super) fn new(names: Names) -> Self {
        Self { base: Arc::new(names), later: None }
    }

    /// The number of `id`, a new one if it has none. `None` if no number is left.
    pub(super) fn intern(&mut self, id: &str) -> Option<u32> {
        if let Some(number) = self.find(id) {
            return Some(number);
        }
        let number = u32::try_from(self.len()).ok().filter(|number| *number < MOST)?;
        let hash = self.base.hash(id);
        let later = self.later.get_or_insert_default();
        match later.by_hash.get_mut(hash) {
            Some(numbers) => numbers.push(number),
            None => later.by_hash.insert(hash, SmallVec::from_slice(&[number])),
        }
        later.texts.insert(number, id.into());
        Some(number)
    }

    /// The number of `id`, if it has one.
    pub(super) fn find(&self, id: &str) -> Option<u32> {
        let hash = self.base.hash(id);
        let found = self.base.find_hashed(hash, id);
        let Some(later) = self.later.as_ref().filter(|_| found.is_none()) else { return found };
        let numbers = later.by_hash.get(hash)?;
        numbers.iter().copied().find(|number| later.texts.get(*number).is_some_and(|text| **text == *id))
    }

    /// The id with this number, empty if there is none.
    pub(super) fn id(&self, number: u32) -> &str {
        let known = self.base.id(number);
        let later = || self.later.as_ref()?.texts.get(number).map(|text| &**text);
        known.or_else(later).unwrap_or_default()
    }

    /// How many ids have a number.
    pub(super) fn len(&self) -> usize {
        self.base.len() + self.later.as_ref().map_or(0, |later| later.texts.len())
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let later = self.later.iter().flat_map(|later| later.texts.iter());
        self.base.bytes() + later.map(|(_, text)| text.len() + 64).sum::<usize>()
    }

    /// The same numbers in one table.
    pub(super) fn compacted(&self) -> Self {
        let Some(later) = &self.later else { return self.clone() };
        let mut names = (*self.base).clone();
        for (_, text) in later.texts.iter() {
            names.intern(text);
        }
        names.shrink();
        Self::new(names)
    }

    /// Only these ids, in the same order, with the numbers that follow from it.
    pub(super) fn only(&self, kept: impl Iterator<Item = u32>) -> Self {
        let mut names = self.base.emptied();
        for number in kept {
            names.intern(self.id(number));
        }
        names.shrink();
        Self::new(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<String> {
        (0..1000).map(|n| format!("id-{n}-é")).collect()
    }

    #[test]
    fn an_id_keeps_its_number() {
        let mut names = Names::default();
        let find = |names: &Names, id: &str| names.find_hashed(names.hash(id), id);
        assert_eq!((find(&names, "id-0-é"), names.id(0), names.len()), (None, None, 0));
        let numbers: Vec<_> = ids().iter().map(|id| names.intern(id).unwrap()).collect();
        names.shrink();
        for (id, number) in ids().iter().zip(numbers) {
            assert_eq!(names.intern(id), Some(number));
            assert_eq!(find(&names, id), Some(number));
            assert_eq!(names.id(number), Some(id.as_str()));
        }
        assert_eq!((names.len(), find(&names, "id-1000-é"), names.id(1000)), (1000, None, None));
    }

    #[test]
    fn later_ids_follow_and_older_versions_do_not_know_them() {
        let mut names = Names::default();
        ids().iter().take(500).for_each(|id| assert!(names.intern(id).is_some()));
        let before = Interner::new(names);
        let mut after = before.clone();
        let numbers: Vec<_> = ids().iter().map(|id| after.intern(id).unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert_eq!((before.len(), before.find("id-500-é"), before.id(500)), (500, None, ""));
        for interner in [&after, &after.compacted()] {
            for (number, id) in (0..).zip(ids()) {
                assert_eq!((interner.find(&id), interner.id(number)), (Some(number), id.as_str()));
            }
            assert_eq!((interner.len(), interner.find("id-1000-é"), interner.id(1000)), (1000, None, ""));
        }
        let odd = after.only((1..1000).step_by(2));
        assert_eq!((odd.len(), odd.find("id-3-é"), odd.find("id-4-é")), (500, Some(1), None));
    }
}
