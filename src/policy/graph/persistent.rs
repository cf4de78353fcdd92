//! A sorted map whose versions share most of their memory.

use std::sync::Arc;

/// A node holds at most this many entries.
const WIDTH: usize = 32;

/// A sorted map that is cheap to clone: a change copies only the path to the entry (a B-tree without parents).
#[derive(Debug, Clone)]
pub(super) struct PersistentMap<K, V> {
    root: Node<K, V>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node<K, V> {
    // INVARIANT: sorted by key, without repetitions. Removals may leave it empty.
    Leaf(Arc<Vec<(K, V)>>),
    // INVARIANT: never empty; each child's keys are not below the key beside it, except those of the first child, and
    // below the key beside the next child. All children are equally deep.
    Inner(Arc<Vec<(K, Self)>>),
}

/// A new right neighbour and its least key, after a node became too wide.
type Split<K, V> = Option<(K, Node<K, V>)>;

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        Self { root: Node::Leaf(Arc::default()), len: 0 }
    }
}

impl<K: Ord + Copy, V: Clone> PersistentMap<K, V> {
    /// A map of entries that are sorted by key, without repetitions.
    pub(super) fn from_sorted(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut entries = entries.into_iter();
        let mut len = 0;
        let mut level: Vec<(K, Node<K, V>)> = Vec::new();
        loop {
            let leaf: Vec<_> = entries.by_ref().take(WIDTH).collect();
            len += leaf.len();
            let Some((key, _)) = leaf.first() else { break };
            level.push((*key, Node::Leaf(Arc::new(leaf))));
        }
        while level.len() > 1 {
            let mut children = level.into_iter();
            level = Vec::new();
            loop {
                let inner: Vec<_> = children.by_ref().take(WIDTH).collect();
                let Some((key, _)) = inner.first() else { break };
                level.push((*key, Node::Inner(Arc::new(inner))));
            }
        }
        level.pop().map_or_else(Self::default, |(_, root)| Self { root, len })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let position = entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
                    return entries.get(position).map(|entry| &entry.1);
                }
                Node::Inner(children) => node = &children.get(child_of(children, key))?.1,
            }
        }
    }

    /// The value of a key, to be changed here and in no other version.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.get(key)?;
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let entries = Arc::make_mut(entries);
                    let position = entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
                    return entries.get_mut(position).map(|entry| &mut entry.1);
                }
                Node::Inner(children) => {
                    let position = child_of(children, key);
                    node = &mut Arc::make_mut(children).get_mut(position)?.1;
                }
            }
        }
    }

    /// Puts a value in the place of the one that the key has, if it has one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(known) = self.get_mut(key) {
            *known = value;
            return;
        }
        self.len += 1;
        if let Some(right) = self.root.insert(key, value) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Arc::default()));
            // The key beside a first child is not looked at.
            self.root = Node::Inner(Arc::new(vec![(right.0, left), right]));
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.get(key)?;
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let entries = Arc::make_mut(entries);
                    let position = entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
                    self.len -= 1;
                    return Some(entries.remove(position).1);
                }
                Node::Inner(children) => {
                    let position = child_of(children, key);
                    node = &mut Arc::make_mut(children).get_mut(position)?.1;
                }
            }
        }
    }

    /// All entries, sorted by key.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { inner: Vec::new(), leaf: [].iter() };
        iter.descend(&self.root);
        iter
    }
}

impl<K: Ord + Copy, V: Clone> Node<K, V> {
    /// Adds an entry whose key is not there.
    fn insert(&mut self, key: K, value: V) -> Split<K, V> {
        match self {
            Self::Leaf(entries) => {
                let entries = Arc::make_mut(entries);
                let position = entries.partition_point(|entry| entry.0 < key);
                entries.insert(position, (key, value));
                let right = split(entries, position)?;
                Some((right.first()?.0, Self::Leaf(Arc::new(right))))
            }
            Self::Inner(children) => {
                let position = child_of(children, key);
                let children = Arc::make_mut(children);
                let right = children.get_mut(position)?.1.insert(key, value)?;
                children.insert(position + 1, right);
                let right = split(children, position + 1)?;
                Some((right.first()?.0, Self::Inner(Arc::new(right))))
            }
        }
    }
}

/// The position of the child that holds a key, if any does.
fn child_of<K: Ord + Copy, V>(children: &[(K, Node<K, V>)], key: K) -> usize {
    children.get(1..).unwrap_or_default().partition_point(|child| child.0 <= key)
}

/// The right part of a node that has become too wide. Keys that come in ascending order leave full nodes behind.
fn split<T>(entries: &mut Vec<T>, last_inserted: usize) -> Option<Vec<T>> {
    if entries.len() <= WIDTH {
        return None;
    }
    let is_ascending = last_inserted + 1 == entries.len();
    Some(entries.split_off(if is_ascending { WIDTH } else { WIDTH / 2 }))
}

/// Walks a map in the order of its keys.
#[derive(Debug)]
pub(super) struct Iter<'a, K, V> {
    inner: Vec<std::slice::Iter<'a, (K, Node<K, V>)>>,
    leaf: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Inner(children) => {
                    let mut children = children.iter();
                    let Some((_, first)) = children.next() else { return };
                    self.inner.push(children);
                    node = first;
                }
            }
        }
    }
}

impl<'a, K: Copy, V> Iterator for Iter<'a, K, V> {
    type Item = (K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((*key, value));
            }
            match self.inner.last_mut()?.next() {
                Some((_, node)) => self.descend(node),
                None => drop(self.inner.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn same(map: &PersistentMap<u16, u32>, expected: &BTreeMap<u16, u32>) {
        let pairs = |(key, value): (&u16, &u32)| (*key, *value);
        let expected: Vec<_> = expected.iter().map(pairs).collect();
        assert_eq!(map.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>(), expected);
        assert_eq!(map.len(), expected.len());
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_older_versions_stay_as_they_were(
            changes in vec((0_u16..2000, any::<Option<u32>>()), 0..3000),
            look in 0_usize..3000,
        ) {
            let (mut map, mut expected) = (PersistentMap::default(), BTreeMap::new());
            let mut kept = (map.clone(), expected.clone());
            for (step, (key, value)) in changes.into_iter().enumerate() {
                if step == look {
                    kept = (map.clone(), expected.clone());
                }
                match value {
                    Some(value) => {
                        map.insert(key, value);
                        expected.insert(key, value);
                    }
                    None => prop_assert_eq!(map.remove(key), expected.remove(&key)),
                }
                prop_assert_eq!(map.get(key), expected.get(&key));
            }
            same(&map, &expected);
            same(&kept.0, &kept.1);
            let again = PersistentMap::from_sorted(expected.iter().map(|(key, value)| (*key, *value)));
            same(&again, &expected);
            for key in 0..2000 {
                prop_assert_eq!(again.get(key), expected.get(&key));
            }
        }
    }

    #[test]
    fn ascending_and_descending_keys_find_their_place() {
        let (mut up, mut down) = (PersistentMap::default(), PersistentMap::default());
        for key in 0..5000_u32 {
            up.insert(key, key);
            down.insert(4999 - key, 4999 - key);
        }
        for map in [up, down] {
            assert!(map.iter().map(|(key, _)| key).eq(0..5000));
            assert!((0..5000).all(|key| map.get(key) == Some(&key)));
        }
    }
}
