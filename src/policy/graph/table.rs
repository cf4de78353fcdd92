//! Growing tables of plain numbers, on huge pages once they are large.

use std::{fmt, marker::PhantomData, mem, ops};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Tables of so many bytes get a mapping of their own.
const LARGE: usize = 4 << 20;
/// What a huge page of x86-64 and of most of AArch64 holds.
const HUGE_PAGE: usize = 2 << 20;

/// A vector of plain values that is searched at random.
///
/// Of a table of hundreds of megabytes nearly every read would have to ask for the page first, and in a virtual machine
/// that costs more than the read. On huge pages it does not. Systems that lend none, or only to who asks for them by
/// `madvise`, are served alike; a table without huge pages is only slower.
pub(super) struct Table<T> {
    held: Held<T>,
}

enum Held<T> {
    Small(Vec<T>),
    // INVARIANT: the mapping has room for `len` values.
    Large { mapping: MmapMut, len: usize, of: PhantomData<T> },
}

impl<T: Pod> Table<T> {
    /// So many times the same value.
    pub(super) fn filled(value: T, len: usize) -> Self {
        let mut table = Self::with_capacity(len);
        match &mut table.held {
            Held::Small(values) => values.resize(len, value),
            Held::Large { len: held, .. } => {
                *held = len;
                table.fill(value);
            }
        }
        table
    }

    /// Nothing yet, and room for so many values.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        // Else a mapping would not be a whole number of values, and none could be read from it.
        const { assert!(size_of::<T>().is_power_of_two() && size_of::<T>() <= HUGE_PAGE) };
        let held = match mapping(capacity.saturating_mul(size_of::<T>())) {
            Some(mapping) => Held::Large { mapping, len: 0, of: PhantomData },
            None => Held::Small(Vec::with_capacity(capacity)),
        };
        Self { held }
    }

    /// Adds a value.
    pub(super) fn push(&mut self, value: T) {
        self.extend_from_slice(&[value]);
    }

    /// Adds values.
    pub(super) fn extend_from_slice(&mut self, values: &[T]) {
        if self.len() + values.len() > self.capacity() {
            self.reserve(values.len());
        }
        match &mut self.held {
            Held::Small(all) => all.extend_from_slice(values),
            Held::Large { mapping, len, .. } => {
                let room = bytemuck::try_cast_slice_mut(mapping).unwrap_or_default();
                if let Some(room) = room.get_mut(*len..*len + values.len()) {
                    room.copy_from_slice(values);
                    *len += values.len();
                }
            }
        }
    }

    /// Adds values, one after the other.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = T>) {
        values.for_each(|value| self.push(value));
    }

    /// Gives back what growing took too much of.
    pub(super) fn shrink_to_fit(&mut self) {
        match &mut self.held {
            Held::Small(values) => values.shrink_to_fit(),
            // What was never touched takes no memory.
            Held::Large { .. } => {}
        }
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.held {
            Held::Small(values) => values.capacity() * size_of::<T>(),
            Held::Large { len, .. } => (len * size_of::<T>()).next_multiple_of(HUGE_PAGE),
        }
    }

    fn capacity(&self) -> usize {
        match &self.held {
            Held::Small(values) => values.capacity(),
            Held::Large { mapping, .. } => mapping.len() / size_of::<T>().max(1),
        }
    }

    fn reserve(&mut self, more: usize) {
        let mut grown = Self::with_capacity((self.len() + more).max(self.capacity() * 2));
        grown.extend_from_slice(self);
        *self = grown;
    }
}

/// Memory of so many bytes, if that is worth a mapping and there is one.
fn mapping(bytes: usize) -> Option<MmapMut> {
    if bytes < LARGE {
        return None;
    }
    let mapping = MmapMut::map_anon(bytes.checked_next_multiple_of(HUGE_PAGE)?).ok()?;
    #[cfg(target_os = "linux")]
    // Without them it works as well.
    let _ = mapping.advise(memmap2::Advice::HugePage);
    Some(mapping)
}

impl<T: Pod> ops::Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.held {
            Held::Small(values) => values,
            Held::Large { mapping, len, .. } => {
                let values: &[T] = bytemuck::try_cast_slice(mapping).unwrap_or_default();
                values.get(..*len).unwrap_or_default()
            }
        }
    }
}

impl<T: Pod> ops::DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.held {
            Held::Small(values) => values,
            Held::Large { mapping, len, .. } => {
                let values: &mut [T] = bytemuck::try_cast_slice_mut(mapping).unwrap_or_default();
                values.get_mut(..*len).unwrap_or_default()
            }
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { held: Held::Small(Vec::new()) }
    }
}

impl<T: Pod> Clone for Table<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.len());
        copy.extend_from_slice(self);
        copy
    }
}

impl<T: Pod> From<Vec<T>> for Table<T> {
    fn from(mut values: Vec<T>) -> Self {
        if mem::size_of_val(&*values) < LARGE {
            values.shrink_to_fit();
            return Self { held: Held::Small(values) };
        }
        let mut table = Self::with_capacity(values.len());
        table.extend_from_slice(&values);
        table
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.held {
            Held::Small(_) => "a small table",
            Held::Large { .. } => "a large table",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_vector_however_large_it_is() {
        let count = 3 * (LARGE / 8);
        let mut table = Table::default();
        let mut expected = Vec::new();
        for n in 0..count {
            table.push([n, n / 3].map(|n| u32::try_from(n).unwrap()));
            expected.push([n, n / 3].map(|n| u32::try_from(n).unwrap()));
        }
        assert!(matches!(table.held, Held::Large { .. }) && *table == *expected);
        table.shrink_to_fit();
        table.reverse();
        expected.reverse();
        let copy = table.clone();
        assert!(*copy == *expected && *Table::from(expected.clone()) == *expected);
        assert!(copy.bytes() >= size_of_val(&*expected));
        assert!(*Table::filled(7_u8, LARGE + 1) == vec![7; LARGE + 1]);
        assert!(Table::<u32>::default().is_empty() && *Table::from(vec![1_u32]) == [1]);
    }
}
