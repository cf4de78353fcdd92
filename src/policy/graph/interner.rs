//! The ids of one type's objects, numbered.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Numbers for the ids of one type: one text for all of them, and a table from text to number.
#[derive(Debug, Default)]
pub(super) struct Interner {
    text: String,
    // INVARIANT: `ends[n]` is where the id with number `n` ends in `text`, and where the next one begins.
    ends: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Interner {
    /// The number of `id`, a new one if it has none. `None` if no number or no room is left.
    pub(super) fn intern(&mut self, id: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let (text, ends) = (&self.text, &self.ends);
        if let Some(number) = self.numbers.find(hash, |number| text_of(text, ends, *number) == id) {
            return Some(*number);
        }
        // The two largest numbers stand for objects that the graph does not know.
        let number = u32::try_from(ends.len()).ok().filter(|number| *number < u32::MAX - 1)?;
        let end = u32::try_from(text.len() + id.len()).ok()?;
        self.text.push_str(id);
        self.ends.push(end);
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.numbers.insert_unique(hash, number, |other| hasher.hash_one(text_of(text, ends, *other)));
        Some(number)
    }

    /// The number of `id`, if it has one.
    pub(super) fn find(&self, id: &str) -> Option<u32> {
        let is_it = |number: &u32| text_of(&self.text, &self.ends, *number) == id;
        self.numbers.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// The id with this number, empty if there is none.
    pub(super) fn id(&self, number: u32) -> &str {
        text_of(&self.text, &self.ends, number)
    }

    /// How many ids have a number.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Gives back what growing took too much of.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.numbers.shrink_to_fit(|number| hasher.hash_one(text_of(text, ends, *number)));
    }

    /// About how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + self.numbers.allocation_size()
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
    ends.get(number).and_then(|end| text.get(start..*end as usize)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_number() {
        let mut interner = Interner::default();
        let ids: Vec<String> = (0..1000).map(|n| format!("id-{n}-é")).collect();
        let numbers: Vec<_> = ids.iter().map(|id| interner.intern(id).unwrap()).collect();
        interner.shrink();
        for (id, number) in ids.iter().zip(numbers) {
            assert_eq!(interner.intern(id), Some(number));
            assert_eq!(interner.find(id), Some(number));
            assert_eq!(interner.id(number), id);
        }
        assert_eq!((interner.len(), interner.find("id-1000-é"), interner.id(1000)), (1000, None, ""));
    }
}
