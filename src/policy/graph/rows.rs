//! Sorted lists of numbers, one for each key, packed into a few arrays.

/// From each key a sorted row of values: the compressed sparse rows of a matrix.
#[derive(Debug, Default)]
pub(super) struct Rows {
    index: Index,
    // INVARIANT: each row is sorted and without repetitions.
    values: Box<[u32]>,
}

/// Where a key's row begins and ends.
#[derive(Debug)]
enum Index {
    /// `starts[key]..starts[key + 1]`: for when most keys have a row.
    Dense { starts: Box<[u32]> },
    /// The same, but by the position of the key among `keys`, which are sorted.
    Sparse { keys: Box<[u32]>, starts: Box<[u32]> },
}

impl Default for Index {
    fn default() -> Self {
        Self::Sparse { keys: Box::default(), starts: Box::default() }
    }
}

/// Rows shorter than this are searched from front to back.
const SHORT: usize = 16;

impl Rows {
    /// From pairs `key << 32 | value`, sorted and without repetitions, fewer than 2³² of them.
    pub(super) fn new(pairs: &[u64], key_count: usize) -> Self {
        let values = pairs.iter().map(|pair| low(*pair)).collect();
        let mut keys: Vec<u32> = Vec::new();
        let mut starts: Vec<u32> = Vec::new();
        for (position, pair) in (0_u32..).zip(pairs) {
            if keys.last() != Some(&high(*pair)) {
                keys.push(high(*pair));
                starts.push(position);
            }
        }
        let end = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
        starts.push(end);
        if keys.len() < key_count / 2 {
            return Self { index: Index::Sparse { keys: keys.into(), starts: starts.into() }, values };
        }
        let mut dense: Vec<u32> = Vec::with_capacity(key_count + 1);
        for (key, start) in keys.iter().zip(&starts) {
            dense.resize(*key as usize + 1, *start);
        }
        dense.push(end);
        Self { index: Index::Dense { starts: dense.into() }, values }
    }

    /// The row of a key, empty if it has none.
    pub(super) fn row(&self, key: u32) -> &[u32] {
        let (position, starts) = match &self.index {
            Index::Dense { starts } => (key as usize, starts),
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

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Dense { starts } => starts.len(),
            Index::Sparse { keys, starts } => keys.len() + starts.len(),
        };
        (index + self.values.len()) * size_of::<u32>()
    }
}

/// Whether a sorted row holds a value.
pub(super) fn holds(row: &[u32], value: u32) -> bool {
    if row.len() < SHORT { row.contains(&value) } else { row.binary_search(&value).is_ok() }
}

/// Whether two sorted rows share a value. The shorter one is walked and the longer one searched by doubling steps.
pub(super) fn share(left: &[u32], right: &[u32]) -> Option<u32> {
    let (short, mut long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    for value in short {
        let mut step = 1;
        while long.get(step).is_some_and(|other| other < value) {
            step *= 2;
        }
        let window = long.get(..=step).unwrap_or(long);
        let position = window.partition_point(|other| other < value);
        long = long.get(position..).unwrap_or_default();
        match long.first() {
            Some(other) if other == value => return Some(*value),
            Some(_) => {}
            None => return None,
        }
    }
    None
}

/// Turns sorted pairs `key << 32 | value` into sorted pairs `value << 32 | key`, by counting each value.
pub(super) fn transposed(pairs: &[u64], value_count: usize) -> Vec<u64> {
    let mut next = vec![0_usize; value_count];
    for pair in pairs {
        if let Some(count) = next.get_mut(low(*pair) as usize) {
            *count += 1;
        }
    }
    let mut start = 0;
    for count in &mut next {
        start += std::mem::replace(count, start);
    }
    let mut turned = vec![0; pairs.len()];
    for pair in pairs {
        let position = next.get_mut(low(*pair) as usize);
        if let Some((position, place)) = position.and_then(|next| turned.get_mut(*next).map(|place| (next, place))) {
            *place = pair.rotate_left(32);
            *position += 1;
        }
    }
    turned
}

/// `key << 32 | value`.
pub(super) fn pair(key: u32, value: u32) -> u64 {
    u64::from(key) << 32 | u64::from(value)
}

fn high(pair: u64) -> u32 {
    u32::try_from(pair >> 32).unwrap_or(u32::MAX)
}

fn low(pair: u64) -> u32 {
    u32::try_from(pair & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(u32, u32)]) -> Vec<u64> {
        pairs.iter().map(|(key, value)| pair(*key, *value)).collect()
    }

    #[test]
    fn every_key_has_its_row_dense_or_sparse() {
        let pairs = pairs(&[(1, 7), (1, 9), (4, 1), (5, 0)]);
        for key_count in [6, 1000] {
            let rows = Rows::new(&pairs, key_count);
            assert_eq!(matches!(rows.index, Index::Dense { .. }), key_count == 6);
            assert_eq!((rows.row(1), rows.row(4), rows.row(5)), (&[7, 9][..], &[1][..], &[0][..]));
            for empty in [0, 2, 3, 6, 999, u32::MAX] {
                assert!(rows.row(empty).is_empty(), "{empty}");
            }
        }
        assert!(Rows::default().row(0).is_empty());
        assert!(Rows::new(&[], 0).row(0).is_empty());
    }

    #[test]
    fn a_row_is_searched_short_or_long() {
        let row: Vec<u32> = (0..100).map(|n| n * 2).collect();
        for length in [3, 100] {
            let row = &row[..length];
            assert!(holds(row, 4) && !holds(row, 5) && !holds(row, 400));
        }
    }

    #[test]
    fn shared_values_are_found_from_either_side() {
        let even: Vec<u32> = (0..100).map(|n| n * 2).collect();
        assert_eq!(share(&even, &[1, 3, 198]), Some(198));
        assert_eq!(share(&[0], &even), Some(0));
        assert_eq!(share(&[1, 3, 199, 500], &even), None);
        assert_eq!(share(&[], &even), None);
    }

    #[test]
    fn turned_around_keys_become_values() {
        assert_eq!(transposed(&pairs(&[(1, 7), (2, 3), (9, 7)]), 8), pairs(&[(3, 2), (7, 1), (7, 9)]));
    }
}
