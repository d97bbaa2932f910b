//! Ordered records that are cheap to find, and cheap to capture while they go on changing.
//!
//! A B-tree whose nodes are behind `Arc`s: a clone shares them all, and the first change after it
//! copies the nodes on one path. Nodes hold the first 64 bits of their keys. A search counts
//! those that are lower, and reads whole keys only among equals. Records carry their keys; fans keep
//! one for each child. Beside a record lies a note of it, which answers what is asked most often
//! without reading the record.
//!
//! What is far from the processor is a lowest node. Beside the pointer to one, in its fan, lies a
//! sample of its prefixes: that says which few lines of it to read, prefixes and notes at once, so
//! that finding a note is one wait for memory.
//!
//! Invariants: no node but the root's absence is empty; what is in a child is at or above the key
//! that its fan keeps for it, and below the next one's; a sample is its leaf's as it is.

mod fan;
mod iter;
mod leaf;
mod node;
mod sampled;

pub(crate) use iter::Iter;
use leaf::Leaf;
use node::{Child, Node};
pub(crate) use sampled::Found;
use std::cmp::Ordering;
use std::fmt::Debug;

/// An order of records by a key that each carries. No two have the same.
pub(crate) trait Order: Debug + Clone {
    /// The records: a pointer, so that moving one costs little.
    type Item: Debug + Clone;
    /// What lies beside a record.
    type Note: Note;
    /// A key as fans keep it.
    type Key: Debug + Clone;
    /// A key as it is looked for.
    type Target<'a>: Copy;

    /// Whether the first bits of a key are all there is of it.
    const WHOLE: bool = false;

    /// The first bits of a key: a key with lower ones is lower.
    fn prefix(target: Self::Target<'_>) -> u64;
    fn compare(one: Self::Target<'_>, other: Self::Target<'_>) -> Ordering;
    /// The key of a record.
    fn of(item: &Self::Item) -> Self::Target<'_>;
    /// A key to keep.
    fn key(target: Self::Target<'_>) -> Self::Key;
    /// A kept key, to be looked for.
    fn target(key: &Self::Key) -> Self::Target<'_>;
}

/// What lies beside a record: no more than 32 bits, so that one may be picked of many that are all
/// read, before it is known which.
pub(crate) trait Note: Debug + Copy + Default {
    fn bits(self) -> u32;
    fn of_bits(bits: u32) -> Self;
}

impl Note for () {
    fn bits(self) -> u32 {
        0
    }

    fn of_bits(_: u32) {}
}

/// Records in the order `O`.
#[derive(Debug, Clone)]
pub(crate) struct Tree<O: Order> {
    root: Option<Node<O>>,
    len: usize,
}

impl<O: Order> Default for Tree<O> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<O: Order> Tree<O> {
    /// Of records in ascending order. Every node but the last ones is full.
    pub(crate) fn from_sorted(records: impl IntoIterator<Item = (O::Item, O::Note)>) -> Self {
        let mut len = 0;
        let root = node::packed(records.into_iter().inspect(|_| len += 1));
        Self { root, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, target: O::Target<'_>) -> Option<&O::Item> {
        let mut node = self.root.as_ref()?;
        loop {
            let leaf = match node {
                Node::Leaf(leaf) => leaf,
                Node::Low(fan) => fan.child(fan.way(target))?,
                Node::High(fan) => {
                    node = fan.child(fan.way(target))?;
                    continue;
                }
            };
            return leaf.leaf().at(leaf.rank(target).ok()?);
        }
    }

    /// The record, for changing what is not its key, and its note.
    pub(crate) fn entry_mut(&mut self, target: O::Target<'_>) -> Option<(&mut O::Item, &mut O::Note)> {
        self.root.as_mut()?.entry_mut(target)
    }

    /// The last record at or below `target`.
    pub(crate) fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>> {
        let (prefix, root) = (O::prefix(target), self.root.as_ref()?);
        let mut node = root;
        let leaf = loop {
            match node {
                Node::Leaf(leaf) => break leaf,
                Node::Low(fan) => break fan.child(fan.way_by(prefix, target))?,
                Node::High(fan) => node = fan.child(fan.way_by(prefix, target))?,
            }
        };
        // What the leaf began with may be gone, and the rest of it be above.
        leaf.floor_by(prefix, target).or_else(|| root.floor(target))
    }

    /// The last record below `target`.
    pub(crate) fn below(&self, target: O::Target<'_>) -> Option<&O::Item> {
        self.root.as_ref()?.below(target)
    }

    pub(crate) fn last(&self) -> Option<&O::Item> {
        self.root.as_ref()?.last()
    }

    pub(crate) fn iter(&self) -> Iter<'_, O> {
        Iter::new(self.root.as_ref(), None)
    }

    /// The records above `target`; all of them if there is none.
    pub(crate) fn iter_above(&self, target: Option<O::Target<'_>>) -> Iter<'_, O> {
        Iter::new(self.root.as_ref(), target)
    }

    /// Puts a record in, and gives the one that it replaces.
    pub(crate) fn insert(&mut self, item: O::Item, note: O::Note) -> Option<O::Item> {
        let Some(root) = &mut self.root else {
            self.root = Some(Node::Leaf(Leaf::with(item, note).into()));
            self.len = 1;
            return None;
        };
        let (was, split) = root.insert(item, note, true);
        if let Some((key, right)) = split
            && let Some(left) = self.root.take()
        {
            self.root = Some(Node::over(left, key, right));
        }
        self.len += usize::from(was.is_none());
        was
    }

    pub(crate) fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        // What is not there copies nothing.
        self.get(target)?;
        let root = self.root.as_mut()?;
        let was = root.remove(target);
        if root.is_empty() {
            self.root = None;
        }
        while let Some(only) = self.root.as_ref().and_then(Node::only_child) {
            self.root = Some(only);
        }
        self.len -= usize::from(was.is_some());
        was
    }
}

#[cfg(test)]
mod tests;
