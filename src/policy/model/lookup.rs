//! Names and what they stand for, found fast.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::policy::word::{WORD, word};

/// So many names are found sooner one by one than by their hashes.
const FEW: usize = 8;
/// What each of some names stands for.
#[derive(Debug)]
pub(super) enum Lookup<T> {
    Few(Box<[Known<T>]>),
    Many(HashMap<Box<str>, T, RandomState>),
}

#[derive(Debug)]
pub(super) struct Known<T> {
    /// The first bytes of the name, and how many it has: all of it, if it is short.
    beginning: (u64, usize),
    name: Box<str>,
    value: T,
}

impl<T: Copy> Lookup<T> {
    /// Of names that differ.
    pub(super) fn new<'n>(names: impl Iterator<Item = (&'n str, T)>) -> Self {
        let names: Vec<_> = names.collect();
        if names.len() > FEW {
            return Self::Many(names.into_iter().map(|(name, value)| (name.into(), value)).collect());
        }
        let known = names.into_iter().map(|(name, value)| Known {
            beginning: (word(name.as_bytes()), name.len()),
            name: name.into(),
            value,
        });
        Self::Few(known.collect())
    }

    /// What a name stands for.
    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<T> {
        match self {
            Self::Few(known) => {
                let beginning = (word(name.as_bytes()), name.len());
                let is_same =
                    |known: &&Known<T>| known.beginning == beginning && (name.len() <= WORD || *known.name == *name);
                known.iter().find(is_same).map(|known| known.value)
            }
            Self::Many(known) => known.get(name).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_many_and_long_they_are() {
        let names: Vec<String> = ["", "a", "\0", "a\0", "abcdefgh", "abcdefghi", "abcdefghj"]
            .map(str::to_owned)
            .into_iter()
            .chain((0..20).map(|n| format!("name-{n}")))
            .collect();
        for count in [0, 7, names.len()] {
            let (known, unknown) = names.split_at(count);
            let lookup = Lookup::new(known.iter().map(String::as_str).zip(0..));
            for (number, name) in (0..).zip(known) {
                assert_eq!(lookup.find(name), Some(number));
            }
            assert!(unknown.iter().chain([&"abcdefgh-".to_owned()]).all(|name| lookup.find(name).is_none()));
        }
    }
}
