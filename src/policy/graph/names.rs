//! The ids of one type's objects, numbered.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{packed::MOST, persistent::PersistentMap, table::Table};

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

/// Slots that lie side by side, in two lines of the processor's cache, and are compared together.
type Bucket = [Slot; SLOTS];

/// All that a search needs, so that it waits for one distant read and no second one: hash, number and length of an id,
/// then its first bytes. Only of a longer id the rest is read where it stands.
type Slot = [u32; 3 + HELD / 4];

const SLOTS: usize = 4;
/// How many bytes of an id its slot holds.
const HELD: usize = 20;
/// In place of the number of a free slot. Those behind it are free too.
const FREE: u32 = u32::MAX;
/// No id is as long as those of free slots.
const FREE_SLOT: Slot = [0, FREE, u32::MAX, 0, 0, 0, 0, 0];
const FREE_BUCKET: Bucket = [FREE_SLOT; SLOTS];

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

/// An id that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'n, 'i> {
    id: &'i str,
    hash: u32,
    /// The number of the first bucket.
    home: usize,
    bucket: &'n Bucket,
    /// A bit for each slot of the first bucket that has the hash.
    same: u32,
}

impl Sought<'_, '_> {
    /// Where the id stands if nothing stood in its way.
    pub(super) fn likely_place(&self) -> u32 {
        u32::try_from(self.home * SLOTS).unwrap_or(NOWHERE)
    }
}

impl Names {
    /// The number of `id`, a new one if it has none. `None` if no number or no room is left.
    pub(super) fn intern(&mut self, id: &str) -> Option<u32> {
        let sought = self.seek(id);
        if let Some(Located { number, .. }) = self.found(sought) {
            return Some(number);
        }
        let hash = sought.hash;
        let number = u32::try_from(self.ends.len()).ok().filter(|number| *number < MOST)?;
        let length = u32::try_from(id.len()).ok()?;
        let end = u32::try_from(self.text.len() + id.len()).ok()?;
        if (self.ends.len() + 1) * 8 > self.buckets.len() * SLOTS * 7 {
            self.resize((self.buckets.len() * 2).max(SLOTS));
        }
        self.text.extend_from_slice(id.as_bytes());
        self.ends.push(end);
        let [one, two, three, four, five] = beginning(id);
        put(&mut self.buckets, [hash, number, length, one, two, three, four, five]);
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
        // With a fifth of the slots free nine of ten ids are in their first bucket.
        let enough = (self.ends.len() * 5 / 4).div_ceil(SLOTS) + 1;
        if self.buckets.len() > enough + enough / 8 {
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

    /// Begins to look for an id, and does not wait for what it reads.
    // Not inlined: what follows would be mixed into it, and wait.
    #[inline(never)]
    pub(super) fn seek<'n, 'i>(&'n self, id: &'i str) -> Sought<'n, 'i> {
        // The upper half; foldhash mixes both.
        let hash = u32::try_from(self.hasher.hash_one(id) >> 32).unwrap_or_default();
        let home = home(hash, self.buckets.len());
        let bucket = self.buckets.get(home).unwrap_or(&FREE_BUCKET);
        Sought { id, hash, home, bucket, same: same_slots(bucket, hash) }
    }

    /// The id that was looked for.
    #[inline]
    pub(super) fn found(&self, sought: Sought<'_, '_>) -> Option<Located> {
        if sought.same != 0
            && let Some(located) = self.among(sought)
        {
            return Some(located);
        }
        if is_open(sought.bucket) {
            return None;
        }
        self.found_elsewhere(sought)
    }

    #[cold]
    fn found_elsewhere(&self, sought: Sought<'_, '_>) -> Option<Located> {
        for home in (sought.home + 1..self.buckets.len()).chain(0..sought.home) {
            let bucket = self.buckets.get(home)?;
            let located = self.among(Sought { home, bucket, same: same_slots(bucket, sought.hash), ..sought });
            if located.is_some() || is_open(bucket) {
                return located;
            }
        }
        None
    }

    /// The id in one of a bucket's slots that have its hash, if it is there.
    #[inline]
    fn among(&self, sought: Sought<'_, '_>) -> Option<Located> {
        let id = sought.id.as_bytes();
        let mut slots = sought.same;
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            let [_, number, length, held @ ..] = sought.bucket.get(slot)?;
            let text = if id.len() <= HELD { bytemuck::bytes_of(held).get(..id.len()) } else { self.bytes_of(*number) };
            if *length as usize == id.len() && text == Some(id) {
                let place = u32::try_from(sought.home * SLOTS + slot).unwrap_or(NOWHERE);
                return Some(Located { number: *number, place });
            }
            slots &= slots - 1;
        }
        None
    }

    /// Where each number stands: in so many places, those without a number among them.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = Option<u32>> {
        (0..self.buckets.len() * SLOTS).map(|place| {
            let [_, number, ..] = self.buckets.get(place / SLOTS)?.get(place % SLOTS)?;
            (*number != FREE).then_some(*number)
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

/// The first bytes of an id, and zeros where it is shorter.
fn beginning(id: &str) -> [u32; HELD / 4] {
    let mut words = [0; HELD / 4];
    let bytes: &mut [u8] = bytemuck::bytes_of_mut(&mut words);
    let length = id.len().min(HELD);
    if let (Some(bytes), Some(of_id)) = (bytes.get_mut(..length), id.as_bytes().get(..length)) {
        bytes.copy_from_slice(of_id);
    }
    words
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
        let Sought { hash, .. } = self.seek(id);
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
        self.found(self.seek(id)).map(|located| located.number)
    }

    /// Begins to look for an id, see [`found`](Self::found).
    pub(super) fn seek<'n, 'i>(&'n self, id: &'i str) -> Sought<'n, 'i> {
        self.base.seek(id)
    }

    /// The id that was looked for, if it has a number.
    #[inline]
    pub(super) fn found(&self, sought: Sought<'_, '_>) -> Option<Located> {
        let found = self.base.found(sought);
        let Some(later) = self.later.as_ref().filter(|_| found.is_none()) else { return found };
        let numbers = later.by_hash.get(sought.hash)?;
        let is_same = |number: &u32| later.texts.get(*number).is_some_and(|text| **text == *sought.id);
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

    fn ids() -> Vec<String> {
        (0..1000).map(|n| format!("id-{n}-é")).collect()
    }

    #[test]
    fn an_id_keeps_its_number() {
        let mut names = Names::default();
        let find = |names: &Names, id: &str| names.found(names.seek(id)).map(|located| located.number);
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
