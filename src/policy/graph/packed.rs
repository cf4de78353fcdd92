//! Sorted rows of numbers, one for each key, packed into a few arrays.

use super::pairs::{high, low};

/// From each key a sorted row of values: the compressed sparse rows of a matrix.
#[derive(Debug, Default)]
pub(super) struct Packed {
    index: Index,
    // INVARIANT: each row is sorted and without repetitions.
    values: Box<[u32]>,
}

/// Where a key's row begins and ends: at `starts[position]` and `starts[position + 1]`.
#[derive(Debug)]
enum Index {
    /// The position is the key: for when most keys have a row.
    Dense { starts: Box<[u32]> },
    /// The position is the number of marked keys below: for when some keys have a row. One read tells that none is there.
    Marked { words: Box<[Word]>, starts: Box<[u32]> },
    /// The position is that of the key among `keys`, which are sorted: for when hardly any key has a row.
    Sparse { keys: Box<[u32]>, starts: Box<[u32]> },
}

/// Which of 64 keys have a row, and how many keys below them do.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    marks: u64,
    below: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self::Sparse { keys: Box::default(), starts: Box::default() }
    }
}

impl Packed {
    /// From pairs `key << 32 | value`, sorted and without repetitions, fewer than 2³² of them.
    pub(super) fn new(pairs: &[u64], key_count: usize) -> Self {
        let values = pairs.iter().map(|pair| low(*pair)).collect();
        let rows = pairs.chunk_by(|one, other| high(*one) == high(*other));
        let keys = || rows.clone().filter_map(|row| row.first()).map(|pair| high(*pair));
        let ends = rows.clone().scan(0_u32, |end, row| {
            *end = end.saturating_add(count(row.len()));
            Some(*end)
        });
        Self { index: Index::new(rows.clone().count(), key_count, &keys, ends), values }
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
        let mut row_count = 0;
        for count in &mut ends {
            row_count += usize::from(*count > 0);
            start += std::mem::replace(count, start);
        }
        let mut values = vec![0; pairs.len()];
        for pair in pairs {
            let Some(next) = ends.get_mut(low(*pair) as usize) else { continue };
            if let Some(place) = values.get_mut(*next as usize) {
                *place = high(*pair);
            }
            *next += 1;
        }
        let starts = || std::iter::once(&0).chain(&ends);
        let rows = || (0_u32..).zip(starts().zip(&ends)).filter(|(_, (start, end))| start < end);
        let index =
            Index::new(row_count, value_count, &|| rows().map(|(key, _)| key), rows().map(|(_, (_, end))| *end));
        Self { index, values: values.into() }
    }

    /// The row of a key, empty if it has none.
    pub(super) fn row(&self, key: u32) -> &[u32] {
        let (position, starts) = match &self.index {
            Index::Dense { starts } => (key as usize, starts),
            Index::Marked { words, starts } => {
                let Some(word) = words.get(key as usize / 64) else { return &[] };
                let mark = 1_u64 << (key % 64);
                if word.marks & mark == 0 {
                    return &[];
                }
                (word.below as usize + (word.marks & (mark - 1)).count_ones() as usize, starts)
            }
            Index::Sparse { keys, starts } => match keys.binary_search(&key) {
                Ok(position) => (position, starts),
                Err(_) => return &[],
            },
        };
        match starts.get(position..).unwrap_or_default() {
            [start, end, ..] => self.values.get(*start as usize..*end as usize).unwrap_or_default(),
            [_] | [] => &[],
        }
    }

    /// All keys that have a row, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        let (dense, marked, sparse): (&[u32], &[Word], &[u32]) = match &self.index {
            Index::Dense { starts } => (starts, &[], &[]),
            Index::Marked { words, .. } => (&[], words, &[]),
            Index::Sparse { keys, .. } => (&[], &[], keys),
        };
        let dense = (0_u32..).zip(dense.windows(2)).filter(|(_, ends)| ends.first() != ends.last()).map(|(key, _)| key);
        let marked = (0_u32..)
            .step_by(64)
            .zip(marked)
            .flat_map(|(first, word)| (0..64).filter(|bit| word.marks >> bit & 1 == 1).map(move |bit| first + bit));
        dense.chain(marked).chain(sparse.iter().copied())
    }

    /// How many values all rows have.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Dense { starts } => size_of_val(&**starts),
            Index::Marked { words, starts } => size_of_val(&**words) + size_of_val(&**starts),
            Index::Sparse { keys, starts } => size_of_val(&**keys) + size_of_val(&**starts),
        };
        index + size_of_val(&*self.values)
    }
}

impl Index {
    /// Of keys below `key_count`, sorted, and the ends of their rows.
    fn new<K: Iterator<Item = u32>>(
        row_count: usize,
        key_count: usize,
        keys: &impl Fn() -> K,
        ends: impl Iterator<Item = u32>,
    ) -> Self {
        if row_count >= key_count.div_ceil(2) {
            let mut starts: Vec<u32> = Vec::with_capacity(key_count + 1);
            let mut last = 0;
            for (key, end) in keys().zip(ends) {
                starts.resize(key as usize + 1, last);
                last = end;
            }
            starts.resize(key_count + 1, last);
            return Self::Dense { starts: starts.into() };
        }
        let mut starts: Vec<u32> = Vec::with_capacity(row_count + 1);
        starts.push(0);
        starts.extend(ends);
        if row_count < key_count / 256 {
            return Self::Sparse { keys: keys().collect(), starts: starts.into() };
        }
        let mut words = vec![Word::default(); key_count.div_ceil(64)];
        for key in keys() {
            if let Some(word) = words.get_mut(key as usize / 64) {
                word.marks |= 1 << (key % 64);
            }
        }
        let mut below = 0;
        for word in &mut words {
            word.below = below;
            below += word.marks.count_ones();
        }
        Self::Marked { words: words.into(), starts: starts.into() }
    }
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
        let pairs = pairs(&[(1, 7), (1, 9), (4, 1), (5, 0), (70, 3)]);
        for (key_count, kind) in [(71, 1), (6, 0), (100_000, 2)] {
            let pairs = if kind == 0 { &pairs[..4] } else { &pairs[..] };
            let rows = Packed::new(pairs, key_count);
            let found = match rows.index {
                Index::Dense { .. } => 0,
                Index::Marked { .. } => 1,
                Index::Sparse { .. } => 2,
            };
            assert_eq!(found, kind, "{key_count}");
            assert_eq!((rows.row(1), rows.row(4), rows.row(5)), (&[7, 9][..], &[1][..], &[0][..]));
            for empty in [0, 2, 3, 6, 69, 71, 999, u32::MAX] {
                assert!(rows.row(empty).is_empty(), "{empty}");
            }
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
