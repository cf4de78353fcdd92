//! Sorted rows of numbers, one for each key, packed into a few arrays.

use super::{
    pairs::{high, low},
    table::Table,
};

/// From each key a sorted row of values: the compressed sparse rows of a matrix.
#[derive(Debug, Default)]
pub(super) struct Packed {
    index: Index,
    // INVARIANT: holds the rows of more than two values, each sorted and without repetitions.
    values: Table<u32>,
    len: usize,
}

/// A row of one or two values, or where a longer one is: `[length | LONG, start]`. So most rows cost one distant read.
type Entry = [u32; 2];

/// In place of a value that is not there. Values are smaller than `LONG`.
const NONE: u32 = u32::MAX;
const LONG: u32 = 1 << 31;
/// Values and keys are smaller than this.
pub(super) const MOST: u32 = LONG - 1;

/// So many entries are beyond the caches of a processor. Tests need not build so large a graph to see to them.
const MANY: usize = if cfg!(test) { 64 } else { 1 << 18 };

/// Where a key's entry is.
#[derive(Debug)]
enum Index {
    /// At the key: for when most keys have a row.
    Dense { entries: Table<Entry> },
    /// At the number of marked keys below: for when some keys have a row. One read tells that none is there.
    Marked { words: Box<[Word]>, entries: Table<Entry> },
    /// Where the key is among `keys`, which are sorted: for when hardly any key has a row.
    Sparse { keys: Box<[u32]>, entries: Table<Entry> },
}

/// Which of 64 keys have a row, and how many keys below them do.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    marks: u64,
    below: u32,
}

/// The entries of keys by where these stand in a table.
#[derive(Debug)]
pub(super) struct Placed(Table<Entry>);

impl Placed {
    /// Reads what is in a place.
    #[inline]
    pub(super) fn read_ahead(&self, place: u32) -> u32 {
        self.0.get(place as usize).map_or(0, |[value, _]| *value)
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::Sparse { keys: Box::default(), entries: Table::default() }
    }
}

impl Packed {
    /// From pairs `key << 32 | value`, sorted and without repetitions, fewer than 2³² of them.
    pub(super) fn new(pairs: &[u64], key_count: usize) -> Self {
        let mut packer = Packer::default();
        for row in pairs.chunk_by(|one, other| high(*one) == high(*other)) {
            packer.add(row.first().map_or(0, |pair| high(*pair)), row.iter().map(|pair| low(*pair)));
        }
        packer.finish(key_count)
    }

    /// The same pairs, sorted, as rows from values to keys. Values are below `value_count`.
    pub(super) fn transposed(pairs: &[u64], value_count: usize) -> Self {
        if pairs.len() < value_count / 16 {
            let mut turned: Vec<u64> = pairs.iter().map(|pair| pair.rotate_left(32)).collect();
            turned.sort_unstable();
            return Self::new(&turned, value_count);
        }
        // First how many there are, then where the next one goes, and in the end where each row ends.
        let mut ends = vec![0_u32; value_count];
        for pair in pairs {
            if let Some(count) = ends.get_mut(low(*pair) as usize) {
                *count += 1;
            }
        }
        let mut start = 0;
        for count in &mut ends {
            start += std::mem::replace(count, start);
        }
        let mut keys = vec![0; pairs.len()];
        for pair in pairs {
            let Some(next) = ends.get_mut(low(*pair) as usize) else { continue };
            if let Some(place) = keys.get_mut(*next as usize) {
                *place = high(*pair);
            }
            *next += 1;
        }
        let mut packer = Packer::default();
        let mut start = 0;
        for (value, end) in (0..).zip(ends) {
            packer.add(value, keys.get(start..end as usize).unwrap_or_default().iter().copied());
            start = end as usize;
        }
        packer.finish(value_count)
    }

    /// The row of a key, empty if it has none.
    #[inline]
    pub(super) fn row(&self, key: u32) -> &[u32] {
        self.row_of(self.entry(key))
    }

    #[inline]
    fn entry(&self, key: u32) -> Option<&Entry> {
        match &self.index {
            Index::Dense { entries } => entries.get(key as usize),
            Index::Marked { words, entries } => {
                let word = words.get(key as usize / 64)?;
                let mark = 1_u64 << (key % 64);
                if word.marks & mark == 0 {
                    return None;
                }
                entries.get(word.below as usize + (word.marks & (mark - 1)).count_ones() as usize)
            }
            Index::Sparse { keys, entries } => keys.binary_search(&key).ok().and_then(|position| entries.get(position)),
        }
    }

    /// The values of a key if they are at most two, and `NONE` in place of what is not there.
    #[inline]
    pub(super) fn few(&self, key: u32) -> Option<[u32; 2]> {
        few(self.entry(key))
    }

    /// The same of the key that stands in this place, see [`placed`](Self::placed).
    #[inline]
    pub(super) fn few_at(placed: &Placed, place: u32) -> Option<[u32; 2]> {
        few(placed.0.get(place as usize))
    }

    /// The row of the key that stands in this place, see [`placed`](Self::placed).
    pub(super) fn row_at<'a>(&'a self, placed: &'a Placed, place: u32) -> &'a [u32] {
        self.row_of(placed.0.get(place as usize))
    }

    /// The entries once more, in the order in which the keys stand in a table: so an entry can be read while the key is
    /// still looked for. Only if there are so many entries that reading one means waiting.
    pub(super) fn placed(&self, places: impl ExactSizeIterator<Item = Option<u32>>) -> Option<Placed> {
        let Index::Dense { entries } = &self.index else { return None };
        if entries.len() < MANY {
            return None;
        }
        let mut placed = Table::filled([NONE; 2], places.len());
        for (place, key) in placed.iter_mut().zip(places) {
            if let Some(entry) = key.and_then(|key| entries.get(key as usize)) {
                *place = *entry;
            }
        }
        Some(Placed(placed))
    }

    #[inline]
    fn row_of<'a>(&'a self, entry: Option<&'a Entry>) -> &'a [u32] {
        match entry {
            None | Some([NONE, _]) => &[],
            Some([value, NONE]) => std::slice::from_ref(value),
            Some(both @ [value, _]) if value & LONG == 0 => both,
            Some([length, start]) => {
                let (start, length) = (*start as usize, (length & !LONG) as usize);
                self.values.get(start..start + length).unwrap_or_default()
            }
        }
    }

    /// All keys that have a row, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        let (dense, marked, sparse): (&[Entry], &[Word], &[u32]) = match &self.index {
            Index::Dense { entries } => (entries, &[], &[]),
            Index::Marked { words, .. } => (&[], words, &[]),
            Index::Sparse { keys, .. } => (&[], &[], keys),
        };
        let dense = (0_u32..).zip(dense).filter(|(_, entry)| **entry != [NONE; 2]).map(|(key, _)| key);
        let marked = (0_u32..)
            .step_by(64)
            .zip(marked)
            .flat_map(|(first, word)| (0..64).filter(|bit| word.marks >> bit & 1 == 1).map(move |bit| first + bit));
        dense.chain(marked).chain(sparse.iter().copied())
    }

    /// How many values all rows have.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Dense { entries } => entries.bytes(),
            Index::Marked { words, entries } => size_of_val(&**words) + entries.bytes(),
            Index::Sparse { keys, entries } => size_of_val(&**keys) + entries.bytes(),
        };
        index + self.values.bytes()
    }
}

/// Takes rows in the order of their keys.
#[derive(Debug, Default)]
struct Packer {
    keys: Vec<u32>,
    entries: Table<Entry>,
    values: Table<u32>,
    len: usize,
}

impl Packer {
    fn add(&mut self, key: u32, mut row: impl ExactSizeIterator<Item = u32>) {
        let length = row.len();
        let entry = match length {
            0 => return,
            1 | 2 => [row.next().unwrap_or(NONE), row.next().unwrap_or(NONE)],
            _ => {
                let start = count(self.values.len());
                self.values.extend(row);
                [count(length) | LONG, start]
            }
        };
        self.len += length;
        self.keys.push(key);
        self.entries.push(entry);
    }

    fn finish(self, key_count: usize) -> Packed {
        let Self { keys, mut entries, mut values, len } = self;
        entries.shrink_to_fit();
        values.shrink_to_fit();
        let index = if keys.len() >= key_count.div_ceil(2) {
            dense(&keys, entries, key_count)
        } else if keys.len() < key_count / 4096 {
            Index::Sparse { keys: keys.into(), entries }
        } else {
            Index::Marked { words: marked(&keys, key_count), entries }
        };
        Packed { index, values, len }
    }
}

#[inline]
fn few(entry: Option<&Entry>) -> Option<Entry> {
    let [one, other] = *entry.unwrap_or(&[NONE; 2]);
    let is_long = (one & LONG != 0) & (one != NONE);
    (!is_long).then_some([one, other])
}

fn dense(keys: &[u32], entries: Table<Entry>, key_count: usize) -> Index {
    if keys.len() == key_count {
        return Index::Dense { entries };
    }
    let mut all = Table::filled([NONE; 2], key_count);
    for (key, entry) in keys.iter().zip(entries.iter()) {
        if let Some(place) = all.get_mut(*key as usize) {
            *place = *entry;
        }
    }
    Index::Dense { entries: all }
}

fn marked(keys: &[u32], key_count: usize) -> Box<[Word]> {
    let mut words = vec![Word::default(); key_count.div_ceil(64)];
    for key in keys {
        if let Some(word) = words.get_mut(*key as usize / 64) {
            word.marks |= 1 << (key % 64);
        }
    }
    let mut below = 0;
    for word in &mut words {
        word.below = below;
        below += word.marks.count_ones();
    }
    words.into()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::graph::pairs::pair;

    fn pairs(pairs: &[(u32, u32)]) -> Vec<u64> {
        pairs.iter().map(|(key, value)| pair(*key, *value)).collect()
    }

    #[test]
    fn every_key_has_its_row_however_many_keys_there_are() {
        let pairs = pairs(&[(1, 7), (1, 9), (4, 1), (4, 2), (4, 8), (5, 0), (70, 3)]);
        for (key_count, kind) in [(71, 1), (6, 0), (100_000, 2)] {
            let pairs = if kind == 0 { &pairs[..6] } else { &pairs[..] };
            let rows = Packed::new(pairs, key_count);
            let found = match rows.index {
                Index::Dense { .. } => 0,
                Index::Marked { .. } => 1,
                Index::Sparse { .. } => 2,
            };
            assert_eq!(found, kind, "{key_count}");
            assert_eq!((rows.row(1), rows.row(4), rows.row(5)), (&[7, 9][..], &[1, 2, 8][..], &[0][..]));
            for empty in [0, 2, 3, 6, 69, 71, 999, u32::MAX] {
                assert!(rows.row(empty).is_empty(), "{empty}");
            }
            assert_eq!((rows.few(1), rows.few(5), rows.few(6)), (Some([7, 9]), Some([0, NONE]), Some([NONE; 2])));
            assert_eq!(rows.few(4), None);
            let keys: Vec<_> =
                pairs.chunk_by(|one, other| high(*one) == high(*other)).map(|row| high(row[0])).collect();
            assert_eq!(rows.keys().collect::<Vec<_>>(), keys);
        }
        assert!(Packed::default().row(0).is_empty());
        assert!(Packed::new(&[], 0).row(0).is_empty());
    }

    #[test]
    fn turned_around_keys_become_values() {
        let given = pairs(&[(1, 7), (2, 3), (9, 7)]);
        for value_count in [8, 100, 10_000] {
            let rows = Packed::transposed(&given, value_count);
            assert_eq!((rows.row(3), rows.row(7), rows.row(4)), (&[2][..], &[1, 9][..], &[][..]));
            assert_eq!(rows.keys().collect::<Vec<_>>(), [3, 7]);
        }
    }
}
