//! The ids of one type's objects, numbered.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{
    packed::MOST,
    pairs::{high, low, pair},
    persistent::PersistentMap,
    table::Table,
};
use crate::policy::word::{WORD, word};

/// Numbers for the ids of one type: one text for all of them, and a table from text to number.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    // INVARIANT: whole ids, one after the other.
    text: Table<u8>,
    // INVARIANT: `ends[n]` is where the id with number `n` ends in `text`, and where the next one begins.
    ends: Table<u32>,
    // INVARIANT: from each id's home to the id there is no bucket with a free slot. Empty, or at least one slot is free.
    buckets: Table<Bucket>,
    hasher: RandomState,
}

/// Slots that lie side by side, in one line of the processor's cache, and are compared together.
type Bucket = [Slot; SLOTS];

/// The hash and the number of an id, then all of a short id, so that a search waits for one distant read and no second
/// one. Of a longer id, whose number has the mark `LONG`: where it stands in the text, and how long it is.
type Slot = [u32; 4];

const SLOTS: usize = 4;
/// A mark of numbers, which are smaller.
const LONG: u32 = 1 << 31;
/// In place of the number of a free slot. Those behind it are free too.
const FREE: u32 = u32::MAX;
const FREE_BUCKET: Bucket = [[0, FREE, 0, 0]; SLOTS];

/// The number of an id, and where it stands in the table of its type: the number of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Located {
    pub(in crate::policy) number: u32,
    pub(in crate::policy) place: u32,
}

/// The place of what stands in no table.
pub(super) const NOWHERE: u32 = u32::MAX;

impl From<u32> for Located {
    /// A number whose place is not known.
    fn from(number: u32) -> Self {
        Self { number, place: NOWHERE }
    }
}

/// What is computed of an id before it is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed {
    hash: u32,
    /// All of a short id.
    short: Option<u64>,
}

impl Names {
    /// The number of `id`, a new one if it has none. `None` if no number or no room is left.
    pub(super) fn intern(&mut self, id: &str) -> Option<u32> {
        self.intern_hashed(id, self.hashed(id))
    }

    /// The same of an id whose hash is known.
    pub(super) fn intern_hashed(&mut self, id: &str, hashed: Hashed) -> Option<u32> {
        if let Some(Located { number, .. }) = self.find_hashed(id, hashed) {
            return Some(number);
        }
        let number = u32::try_from(self.ends.len()).ok().filter(|number| *number < MOST)?;
        let start = u32::try_from(self.text.len()).ok()?;
        let length = u32::try_from(id.len()).ok()?;
        let end = start.checked_add(length)?;
        // With more of them taken, most new ones would have to look for a free slot.
        if (self.ends.len() + 1) * 4 > self.buckets.len() * SLOTS * 3 {
            self.resize((self.buckets.len() * 2).max(SLOTS));
        }
        self.text.extend_from_slice(id.as_bytes());
        self.ends.push(end);
        let slot = match hashed.short {
            Some(short) => [hashed.hash, number, low(short), high(short)],
            None => [hashed.hash, number | LONG, start, length],
        };
        put(&mut self.buckets, slot);
        Some(number)
    }

    /// The id with this number.
    pub(super) fn id(&self, number: u32) -> Option<&str> {
        std::str::from_utf8(self.bytes_of(number)?).ok()
    }

    fn bytes_of(&self, number: u32) -> Option<&[u8]> {
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
        // With three of eight slots free hardly one of twenty ids is not in its first bucket.
        let enough = (self.ends.len() * 8 / 5).div_ceil(SLOTS) + 1;
        if self.buckets.len() > enough + enough / 32 {
            self.resize(enough);
        }
    }

    /// Nothing, with the same hashes.
    pub(super) fn emptied(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::default() }
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.bytes() + self.ends.bytes() + self.buckets.bytes()
    }

    /// What looking for an id begins with.
    #[inline]
    pub(super) fn hashed(&self, id: &str) -> Hashed {
        // A last byte of zero would be lost among the zeros behind it.
        let is_short = id.len() <= WORD && id.as_bytes().last() != Some(&0);
        let short = is_short.then(|| word(id.as_bytes()));
        let hash = match short {
            Some(short) => self.hasher.hash_one(short),
            None => self.hasher.hash_one(id),
        };
        // The upper half; foldhash mixes both.
        Hashed { hash: high(hash), short }
    }

    /// Reads what looking for an id will read.
    #[inline]
    pub(super) fn read_ahead(&self, hashed: Hashed) -> u32 {
        let [[hash, ..], ..] = self.buckets.get(home(hashed.hash, self.buckets.len())).unwrap_or(&FREE_BUCKET);
        *hash
    }

    /// Where an id stands if nothing stood in its way.
    pub(super) fn likely_place(&self, hashed: Hashed) -> u32 {
        u32::try_from(home(hashed.hash, self.buckets.len()) * SLOTS).unwrap_or(NOWHERE)
    }

    /// Whether so many more ids have room, of so many bytes together.
    pub(super) fn has_room(&self, ids: usize, bytes: usize) -> bool {
        self.ends.len() + ids < MOST as usize && self.text.len() + bytes <= u32::MAX as usize
    }

    /// Looks for an id.
    #[inline]
    pub(super) fn find_hashed(&self, id: &str, hashed: Hashed) -> Option<Located> {
        let home = home(hashed.hash, self.buckets.len());
        let bucket = self.buckets.get(home)?;
        let found = self.among(id, hashed, home, bucket);
        if found.is_some() || is_open(bucket) {
            return found;
        }
        self.find_elsewhere(id, hashed, home)
    }

    #[cold]
    fn find_elsewhere(&self, id: &str, hashed: Hashed, first: usize) -> Option<Located> {
        let mut home = first;
        for _ in 1..self.buckets.len() {
            home = if home + 1 < self.buckets.len() { home + 1 } else { 0 };
            let bucket = self.buckets.get(home)?;
            let found = self.among(id, hashed, home, bucket);
            if found.is_some() || is_open(bucket) {
                return found;
            }
        }
        None
    }

    /// The id in one of a bucket's slots, if it is there.
    #[inline]
    fn among(&self, id: &str, hashed: Hashed, home: usize, bucket: &Bucket) -> Option<Located> {
        let mut slots = same_slots(bucket, hashed.hash);
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            let [_, number, one, other] = *bucket.get(slot)?;
            let is_same = match hashed.short {
                Some(short) => (pair(other, one) == short) & (number & LONG == 0),
                None => number & LONG != 0 && number != FREE && self.text_at(one, other) == Some(id.as_bytes()),
            };
            if is_same {
                let place = u32::try_from(home * SLOTS + slot).unwrap_or(NOWHERE);
                return Some(Located { number: number & !LONG, place });
            }
            slots &= slots - 1;
        }
        None
    }

    fn text_at(&self, start: u32, length: u32) -> Option<&[u8]> {
        let start = start as usize;
        self.text.get(start..start + length as usize)
    }

    /// Where each number stands: in so many places, those without a number among them.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = Option<u32>> {
        (0..self.buckets.len() * SLOTS).map(|place| {
            let [_, number, ..] = self.buckets.get(place / SLOTS)?.get(place % SLOTS)?;
            (*number != FREE).then_some(*number & !LONG)
        })
    }

    /// Moves all slots to a table of so many buckets. Their hashes are known, so that no text is read.
    fn resize(&mut self, length: usize) {
        let mut buckets = Table::filled(FREE_BUCKET, length);
        for slot in self.buckets.iter().flatten().filter(|[_, number, ..]| *number != FREE) {
            put(&mut buckets, *slot);
        }
        self.buckets = buckets;
    }
}

fn home(hash: u32, length: usize) -> usize {
    let scaled = (u64::from(hash) * u64::try_from(length).unwrap_or(u64::MAX)) >> 32;
    usize::try_from(scaled).unwrap_or_default()
}

fn same_slots(bucket: &Bucket, hash: u32) -> u32 {
    let [one, two, three, four] = bucket.map(|[known, ..]| u32::from(known == hash));
    one | two << 1 | three << 2 | four << 3
}

/// Whether a slot is free, so that what is not there is nowhere.
fn is_open([.., [_, number, ..]]: &Bucket) -> bool {
    *number == FREE
}

fn put(buckets: &mut [Bucket], new: Slot) {
    let [hash, ..] = new;
    let Some((before, after)) = buckets.split_at_mut_checked(home(hash, buckets.len())) else { return };
    let mut free = after.iter_mut().chain(before).flatten().filter(|[_, number, ..]| *number == FREE);
    if let Some(slot) = free.next() {
        *slot = new;
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
        let Hashed { hash, .. } = self.base.hashed(id);
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
        self.find_hashed(id, self.base.hashed(id)).map(|located| located.number)
    }

    /// The names that are in one table.
    #[inline]
    pub(super) fn base(&self) -> &Names {
        &self.base
    }

    /// Where `id` stands, if it has a number.
    #[inline]
    pub(super) fn find_hashed(&self, id: &str, hashed: Hashed) -> Option<Located> {
        let found = self.base.find_hashed(id, hashed);
        let Some(later) = self.later.as_ref().filter(|_| found.is_none()) else { return found };
        let numbers = later.by_hash.get(hashed.hash)?;
        let is_same = |number: &u32| later.texts.get(*number).is_some_and(|text| **text == *id);
        numbers.iter().copied().find(is_same).map(Located::from)
    }

    /// Where each number stands, those aside that came later.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = Option<u32>> {
        self.base.places()
    }

    /// Whether all numbers stand where those of the other stand.
    pub(super) fn has_places_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
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

    /// Short ones, long ones, and those whose first bytes are the same.
    fn id(n: u32) -> String {
        match n % 4 {
            0 => format!("{n}"),
            1 => format!("id-{n}-é"),
            2 => format!("id-------{n}"),
            _ => format!("{n}\0"),
        }
    }

    fn ids() -> Vec<String> {
        (0..1000).map(id).collect()
    }

    #[test]
    fn an_id_keeps_its_number() {
        let mut names = Names::default();
        let find = |names: &Names, id: &str| names.find_hashed(id, names.hashed(id)).map(|located| located.number);
        assert_eq!((find(&names, &id(0)), names.id(0), names.len()), (None, None, 0));
        let numbers: Vec<_> = ids().iter().map(|id| names.intern(id).unwrap()).collect();
        names.shrink();
        for (id, number) in ids().iter().zip(numbers) {
            assert_eq!(names.intern(id), Some(number));
            assert_eq!(find(&names, id), Some(number));
            assert_eq!(names.id(number), Some(id.as_str()));
        }
        assert_eq!((names.len(), find(&names, &id(1000)), names.id(1000)), (1000, None, None));
    }

    #[test]
    fn later_ids_follow_and_older_versions_do_not_know_them() {
        let mut names = Names::default();
        ids().iter().take(500).for_each(|id| assert!(names.intern(id).is_some()));
        let before = Interner::new(names);
        let mut after = before.clone();
        let numbers: Vec<_> = ids().iter().map(|id| after.intern(id).unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert_eq!((before.len(), before.find(&id(500)), before.id(500)), (500, None, ""));
        for interner in [&after, &after.compacted()] {
            for (number, id) in (0..).zip(ids()) {
                assert_eq!((interner.find(&id), interner.id(number)), (Some(number), id.as_str()));
            }
            assert_eq!((interner.len(), interner.find(&id(1000)), interner.id(1000)), (1000, None, ""));
        }
        let odd = after.only((1..1000).step_by(2));
        assert_eq!((odd.len(), odd.find(&id(3)), odd.find(&id(4))), (500, Some(1), None));
    }
}
