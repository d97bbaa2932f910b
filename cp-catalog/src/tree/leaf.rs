//! The lowest nodes of a tree: they hold the records.

use super::Order;
use super::node::{LEAF_MAX, insert_at, move_upper, remove_at};
use std::array;

/// How many records one entry of a leaf's sample stands for.
pub(super) const GROUP: usize = 16;
pub(super) const GROUPS: usize = LEAF_MAX / GROUP;

#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Leaf<O: Order> {
    len: usize,
    /// The highest there is where there is no record: it is below nothing.
    prefixes: [u64; LEAF_MAX],
    notes: [O::Note; LEAF_MAX],
    items: [Option<O::Item>; LEAF_MAX],
}

impl<O: Order> Leaf<O> {
    fn empty() -> Self {
        let (prefixes, notes) = ([u64::MAX; LEAF_MAX], [O::Note::default(); LEAF_MAX]);
        Self { len: 0, prefixes, notes, items: array::from_fn(|_| None) }
    }

    pub(super) fn with(item: O::Item, note: O::Note) -> Self {
        let mut leaf = Self::empty();
        leaf.put(0, item, note);
        leaf
    }

    /// Of the first records there are, as many as fit, in order; none if there are none.
    pub(super) fn packed(records: &mut impl Iterator<Item = (O::Item, O::Note)>) -> Option<Self> {
        let mut leaf = Self::empty();
        while leaf.len < LEAF_MAX
            && let Some((item, note)) = records.next()
        {
            leaf.put(leaf.len, item, note);
        }
        (leaf.len > 0).then_some(leaf)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn at(&self, at: usize) -> Option<&O::Item> {
        self.items.get(at)?.as_ref()
    }

    pub(super) fn entry_mut(&mut self, at: usize) -> Option<(&mut O::Item, &mut O::Note)> {
        Some((self.items.get_mut(at)?.as_mut()?, self.notes.get_mut(at)?))
    }

    /// Of the records there are, from `from` on.
    pub(super) fn prefixes_from(&self, from: usize) -> &[u64] {
        self.prefixes.get(from..self.len).unwrap_or_default()
    }

    pub(super) fn items(&self, from: usize, count: usize) -> &[Option<O::Item>] {
        self.items.get(from..from + count).unwrap_or_default()
    }

    pub(super) fn note(&self, at: usize) -> O::Note {
        self.notes.get(at).copied().unwrap_or_default()
    }

    /// The prefixes of a group, and its notes.
    pub(super) fn group(&self, group: usize) -> Option<(&[u64; GROUP], &[O::Note; GROUP])> {
        Some((self.prefixes.as_chunks().0.get(group)?, self.notes.as_chunks().0.get(group)?))
    }

    /// The first prefix of a group.
    pub(super) fn group_first(&self, group: usize) -> u64 {
        self.prefixes.get(group * GROUP).copied().unwrap_or(u64::MAX)
    }

    /// The prefix of the last record.
    pub(super) fn last_prefix(&self) -> u64 {
        self.len.checked_sub(1).and_then(|last| self.prefixes.get(last)).copied().unwrap_or(u64::MAX)
    }

    /// Puts a record in; there is room.
    pub(super) fn put(&mut self, at: usize, item: O::Item, note: O::Note) {
        insert_at(&mut self.prefixes, self.len, at, O::prefix(O::of(&item)));
        insert_at(&mut self.notes, self.len, at, note);
        insert_at(&mut self.items, self.len, at, Some(item));
        self.len += 1;
    }

    /// Takes away the upper half.
    pub(super) fn cut(&mut self) -> Self {
        let half = LEAF_MAX / 2;
        let (len, notes) = (self.len.saturating_sub(half), move_upper(&mut self.notes, half, O::Note::default));
        let prefixes = move_upper(&mut self.prefixes, half, || u64::MAX);
        let items = move_upper(&mut self.items, half, || None);
        self.len = self.len.min(half);
        Self { prefixes, notes, items, len }
    }

    pub(super) fn take(&mut self, at: usize) -> Option<O::Item> {
        remove_at(&mut self.prefixes, self.len, at, u64::MAX);
        remove_at(&mut self.notes, self.len, at, O::Note::default());
        let was = remove_at(&mut self.items, self.len, at, None)?;
        self.len -= 1;
        was
    }

    pub(super) fn absorb(&mut self, next: &Self) {
        for (item, note) in next.items.iter().zip(&next.notes) {
            if let Some(item) = item {
                self.put(self.len, item.clone(), *note);
            }
        }
    }
}
