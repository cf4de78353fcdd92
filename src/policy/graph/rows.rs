//! Rows of numbers with changes laid over them.

use std::sync::Arc;

use super::{
    names::{Interner, Located, NOWHERE},
    packed::{Packed, Placed},
    persistent::PersistentMap,
};

/// Packed rows, and for some keys what has changed since they were packed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    packed: Arc<Packed>,
    // INVARIANT: whether `packed` has a value.
    has_packed: bool,
    // INVARIANT: places are those of the table that the keys' numbers are from.
    placed: Option<Arc<Placed>>,
    // `None` if nothing has changed.
    patches: Option<PersistentMap<u32, Arc<Patch>>>,
}

/// How a row differs from the packed one.
#[derive(Debug, Clone, Default)]
struct Patch {
    // INVARIANT: sorted, without repetitions, and not in the packed row.
    added: Vec<u32>,
    // INVARIANT: sorted, without repetitions, and all in the packed row.
    removed: Vec<u32>,
}

/// The values of one key.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Row<'a> {
    packed: &'a [u32],
    patch: Option<&'a Patch>,
}

/// Rows shorter than this are searched from front to back.
const SHORT: usize = 16;

impl Rows {
    pub(super) fn new(packed: Packed) -> Self {
        Self { has_packed: packed.len() > 0, packed: Arc::new(packed), placed: None, patches: None }
    }

    /// Learns where keys stand, so that [`row_at`](Self::row_at) need not wait for their numbers.
    pub(super) fn place(&mut self, keys: &Interner) {
        self.placed = self.packed.placed(keys.places()).map(Arc::new);
    }

    /// Reads what the row of the key that stands in this place begins with, or something beside it.
    #[inline]
    pub(super) fn read_ahead_at(&self, place: u32) -> u32 {
        self.placed.as_ref().map_or(0, |placed| placed.read_ahead(place))
    }

    /// The row of a key, empty if it has none.
    #[inline]
    pub(super) fn row_at(&self, key: Located) -> Row<'_> {
        match &self.placed {
            Some(placed) if key.place != NOWHERE => {
                Row { packed: self.packed.row_at(placed, key.place), patch: self.patch(key.number) }
            }
            Some(_) | None => self.row(key.number),
        }
    }

    /// The row of a key, empty if it has none.
    #[inline]
    pub(super) fn row(&self, key: u32) -> Row<'_> {
        Row { packed: self.packed.row(key), patch: self.patch(key) }
    }

    #[inline]
    fn patch(&self, key: u32) -> Option<&Patch> {
        self.patches.as_ref()?.get(key).map(|patch| &**patch)
    }

    /// The values of a key, if they are at most two and have not changed, which takes no second distant read.
    /// `u32::MAX` is in place of what is not there.
    #[inline]
    pub(super) fn few(&self, key: Located) -> Option<[u32; 2]> {
        match (&self.patches, &self.placed) {
            (Some(_), _) => None,
            (None, Some(placed)) if key.place != NOWHERE => Packed::few_at(placed, key.place),
            (None, Some(_) | None) => self.packed.few(key.number),
        }
    }

    /// Puts a value that is not there into the row of a key.
    pub(super) fn add(&mut self, key: u32, value: u32) {
        self.change(key, |patch| {
            if !take(&mut patch.removed, value) {
                put(&mut patch.added, value);
            }
        });
    }

    /// Takes a value that is there out of the row of a key.
    pub(super) fn remove(&mut self, key: u32, value: u32) {
        self.change(key, |patch| {
            if !take(&mut patch.added, value) {
                put(&mut patch.removed, value);
            }
        });
    }

    /// Whether nothing has changed since the rows were packed.
    pub(super) fn is_packed(&self) -> bool {
        self.patches.is_none()
    }

    /// All keys whose row is not empty, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        let patches = self.patches.iter().flat_map(PersistentMap::iter);
        let patched = patches.map(|(key, _)| key).filter(|key| !self.row(*key).is_empty());
        let is_patched = |key: u32| self.patches.as_ref().is_some_and(|patches| patches.get(key).is_some());
        self.packed.keys().filter(move |key| !is_patched(*key)).chain(patched)
    }

    /// Whether no key can have a row: what most edges of most models are like.
    #[inline]
    pub(super) fn is_void(&self) -> bool {
        !self.has_packed && self.patches.is_none()
    }

    /// Whether no key has a row.
    pub(super) fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// How many values all rows had when they were packed.
    pub(super) fn packed_len(&self) -> usize {
        self.packed.len()
    }

    /// About how many bytes the packed rows take.
    pub(super) fn bytes(&self) -> usize {
        self.packed.bytes() + self.placed.as_ref().map_or(0, |placed| placed.bytes())
    }

    fn change(&mut self, key: u32, change: impl FnOnce(&mut Patch)) {
        let patches = self.patches.get_or_insert_default();
        if patches.get(key).is_none() {
            patches.insert(key, Arc::default());
        }
        if let Some(patch) = patches.get_mut(key) {
            let patch = Arc::make_mut(patch);
            change(patch);
            if patch.added.is_empty() && patch.removed.is_empty() {
                patches.remove(key);
            }
        }
        if patches.len() == 0 {
            self.patches = None;
        }
    }
}

impl<'a> Row<'a> {
    /// No values.
    pub(in crate::policy) const EMPTY: Self = Self { packed: &[], patch: None };

    /// Whether there is no value.
    pub(in crate::policy) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How many values there are.
    pub(in crate::policy) fn len(self) -> usize {
        self.patch.map_or(self.packed.len(), |patch| self.packed.len() + patch.added.len() - patch.removed.len())
    }

    /// Whether this is one of the values.
    pub(in crate::policy) fn holds(self, value: u32) -> bool {
        match self.patch {
            None => holds(self.packed, value),
            Some(patch) => holds(&patch.added, value) || (holds(self.packed, value) && !holds(&patch.removed, value)),
        }
    }

    /// All values. Those that came after the rows were packed come last.
    pub(in crate::policy) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        let (added, removed) = self.patch.map_or((&[][..], &[][..]), |patch| (&*patch.added, &*patch.removed));
        let kept = move |value: &&u32| removed.is_empty() || !holds(removed, **value);
        self.packed.iter().filter(kept).chain(added).copied()
    }

    /// The values from this one on, in ascending order. What is below is not looked at.
    pub(super) fn ascending_from(self, first: u32) -> impl Iterator<Item = u32> + 'a {
        let (added, removed) = self.patch.map_or((&[][..], &[][..]), |patch| (&*patch.added, &*patch.removed));
        let from = |sorted: &'a [u32]| sorted.get(sorted.partition_point(|value| *value < first)..).unwrap_or_default();
        let mut kept = from(self.packed).iter().filter(|value| !holds(removed, **value)).copied().peekable();
        let mut added = from(added).iter().copied().peekable();
        std::iter::from_fn(move || match (kept.peek(), added.peek()) {
            (Some(value), Some(other)) if other < value => added.next(),
            (Some(_), _) => kept.next(),
            (None, _) => added.next(),
        })
    }

    /// The values, if none has changed since the rows were packed.
    #[inline]
    pub(in crate::policy) fn unchanged(self) -> Option<&'a [u32]> {
        self.patch.is_none().then_some(self.packed)
    }

    /// A value of both rows.
    pub(super) fn shared(self, other: Self) -> Option<u32> {
        if self.patch.is_none() && other.patch.is_none() {
            return share(self.packed, other.packed, |_| true);
        }
        let kept = |value: u32| self.holds(value) && other.holds(value);
        let added = [self, other].into_iter().filter_map(|row| row.patch).flat_map(|patch| &patch.added);
        share(self.packed, other.packed, kept).or_else(|| added.copied().find(|value| kept(*value)))
    }
}

fn holds(row: &[u32], value: u32) -> bool {
    if row.len() < SHORT { row.contains(&value) } else { row.binary_search(&value).is_ok() }
}

/// A value that two sorted rows share and that `kept` keeps. The shorter one is walked and the longer one searched by
/// doubling steps.
fn share(left: &[u32], right: &[u32], kept: impl Fn(u32) -> bool) -> Option<u32> {
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
            Some(other) if other == value && kept(*value) => return Some(*value),
            Some(_) => {}
            None => return None,
        }
    }
    None
}

fn put(sorted: &mut Vec<u32>, value: u32) {
    if let Err(position) = sorted.binary_search(&value) {
        sorted.insert(position, value);
    }
}

fn take(sorted: &mut Vec<u32>, value: u32) -> bool {
    let found = sorted.binary_search(&value);
    found.is_ok_and(|position| sorted.remove(position) == value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::policy::graph::pairs::pair;

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
        assert_eq!(share(&even, &[1, 3, 198], |_| true), Some(198));
        assert_eq!(share(&[0], &even, |_| true), Some(0));
        assert_eq!(share(&[0, 8], &even, |value| value > 0), Some(8));
        assert_eq!(share(&[1, 3, 199, 500], &even, |_| true), None);
        assert_eq!(share(&[], &even, |_| true), None);
    }

    proptest! {
        #[test]
        fn changed_rows_are_what_was_changed(
            base in vec((0_u32..6, 0_u32..40), 0..80),
            changes in vec((0_u32..6, 0_u32..40), 0..80),
        ) {
            let mut expected: BTreeSet<(u32, u32)> = base.into_iter().collect();
            let pairs: Vec<u64> = expected.iter().map(|(key, value)| pair(*key, *value)).collect();
            let packed = Rows::new(Packed::new(&pairs, 6));
            let mut rows = packed.clone();
            for (key, value) in changes {
                if expected.insert((key, value)) {
                    rows.add(key, value);
                } else {
                    expected.remove(&(key, value));
                    rows.remove(key, value);
                }
            }
            let row = |key: u32| -> BTreeSet<u32> {
                expected.iter().filter(|pair| pair.0 == key).map(|pair| pair.1).collect()
            };
            for key in 0..6 {
                let found = rows.row(key);
                prop_assert_eq!(found.iter().collect::<BTreeSet<_>>(), row(key));
                for first in [0, 7, 39, 40] {
                    let expected: Vec<_> = row(key).range(first..).copied().collect();
                    prop_assert_eq!(found.ascending_from(first).collect::<Vec<_>>(), expected);
                }
                prop_assert_eq!((found.len(), found.is_empty()), (row(key).len(), row(key).is_empty()));
                prop_assert!((0..40).all(|value| found.holds(value) == expected.contains(&(key, value))));
                for other in 0..6 {
                    let shared = found.shared(rows.row(other));
                    let both: BTreeSet<_> = row(key).intersection(&row(other)).copied().collect();
                    prop_assert_eq!(shared.is_some(), !both.is_empty());
                    prop_assert!(shared.is_none_or(|value| both.contains(&value)));
                }
            }
            prop_assert_eq!(rows.keys().collect::<BTreeSet<_>>(), expected.iter().map(|pair| pair.0).collect());
            prop_assert!(pairs.iter().all(|pair| !packed.row(u32::try_from(pair >> 32).unwrap()).is_empty()));
        }
    }
}
