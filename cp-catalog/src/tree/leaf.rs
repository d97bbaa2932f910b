//! The lowest nodes of a tree: they hold the records.

use super::Order;
use super::node::{Child, Inserted, LEAF_MAX, insert_at, move_upper, remove_at};
use std::array;
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Leaf<O: Order> {
    len: usize,
    /// The highest there is where there is no record: it is below nothing.
    prefixes: [u64; LEAF_MAX],
    notes: [O::Note; LEAF_MAX],
    items: [Option<O::Item>; LEAF_MAX],
}

/// A record that was found. Neither it nor its note has been read.
#[derive(Debug)]
pub(crate) struct Found<'a, O: Order> {
    leaf: &'a Leaf<O>,
    at: usize,
}

impl<'a, O: Order> Found<'a, O> {
    pub(crate) fn item(&self) -> Option<&'a O::Item> {
        self.leaf.at(self.at)
    }

    pub(crate) fn note(&self) -> O::Note {
        self.leaf.notes.get(self.at).copied().unwrap_or_default()
    }
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

    pub(super) fn at(&self, at: usize) -> Option<&O::Item> {
        self.items.get(at)?.as_ref()
    }

    pub(super) fn item_mut(&mut self, target: O::Target<'_>) -> Option<&mut O::Item> {
        let at = self.rank(target).ok()?;
        self.items.get_mut(at)?.as_mut()
    }

    /// Where the record of this key is, or else would be.
    pub(super) fn rank(&self, target: O::Target<'_>) -> Result<usize, usize> {
        let prefix = O::prefix(target);
        let below = count_below(&self.prefixes, prefix);
        if self.prefixes.get(below).is_none_or(|other| *other != prefix) {
            return Err(below);
        }
        if O::WHOLE {
            // What is above all records has no higher first bits than they may have.
            return if below < self.len { Ok(below) } else { Err(below) };
        }
        let rest = self.prefixes.get(below..self.len).unwrap_or_default();
        let equal = rest.iter().take_while(|other| **other == prefix).count();
        let equal = self.items.get(below..below + equal).unwrap_or_default();
        let found = equal
            .binary_search_by(|item| item.as_ref().map_or(Ordering::Greater, |item| O::compare(O::of(item), target)));
        found.map(|at| below + at).map_err(|at| below + at)
    }

    fn put(&mut self, at: usize, item: O::Item, note: O::Note) {
        insert_at(&mut self.prefixes, self.len, at, O::prefix(O::of(&item)));
        insert_at(&mut self.notes, self.len, at, note);
        insert_at(&mut self.items, self.len, at, Some(item));
        self.len += 1;
    }

    pub(super) fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Arc<Self>> {
        let at = match self.rank(O::of(&item)) {
            Ok(at) => {
                if let Some(beside) = self.notes.get_mut(at) {
                    *beside = note;
                }
                return (self.items.get_mut(at).and_then(|slot| slot.replace(item)), None);
            }
            Err(at) => at,
        };
        if self.len < LEAF_MAX {
            self.put(at, item, note);
            return (None, None);
        }
        // A tree that grows at its end keeps full nodes behind it.
        let right = if at_end && at == self.len {
            Self::with(item, note)
        } else {
            let mut right = self.cut();
            if at <= self.len {
                self.put(at, item, note)
            } else {
                right.put(at - self.len, item, note)
            }
            right
        };
        let key = right.at(0).map(|first| O::key(O::of(first)));
        (None, key.map(|key| (key, right.into())))
    }

    /// Takes away the upper half.
    fn cut(&mut self) -> Self {
        let half = LEAF_MAX / 2;
        let (len, notes) = (self.len.saturating_sub(half), move_upper(&mut self.notes, half, O::Note::default));
        let prefixes = move_upper(&mut self.prefixes, half, || u64::MAX);
        let items = move_upper(&mut self.items, half, || None);
        self.len = self.len.min(half);
        Self { prefixes, notes, items, len }
    }

    pub(super) fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        let at = self.rank(target).ok()?;
        remove_at(&mut self.prefixes, self.len, at, u64::MAX);
        remove_at(&mut self.notes, self.len, at, O::Note::default());
        let was = remove_at(&mut self.items, self.len, at, None);
        self.len -= 1;
        was.flatten()
    }
}

/// How many are below `prefix`. First whole lines of memory are counted: all of them are then on
/// their way at once, and nothing has to be predicted.
fn count_below(prefixes: &[u64; LEAF_MAX], prefix: u64) -> usize {
    let (lines, _) = prefixes.as_chunks::<8>();
    let whole = lines.iter().filter(|[.., last]| *last < prefix).count();
    let rest = lines.get(whole).map_or(0, |line| line.iter().filter(|other| **other < prefix).count());
    whole * 8 + rest
}

impl<O: Order> Child<O> for Arc<Leaf<O>> {
    const LEN_MAX: usize = LEAF_MAX;

    fn len(&self) -> usize {
        self.len
    }

    fn first(&self) -> Option<&O::Item> {
        self.at(0)
    }

    fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>> {
        let at = self.rank(target).or_else(|above| above.checked_sub(1).ok_or(())).ok()?;
        Some(Found { leaf: self, at })
    }

    fn last(&self) -> Option<&O::Item> {
        self.at(self.len.checked_sub(1)?)
    }

    fn below(&self, target: O::Target<'_>) -> Option<&O::Item> {
        self.at(self.rank(target).unwrap_or_else(|above| above).checked_sub(1)?)
    }

    fn get_mut(&mut self, target: O::Target<'_>) -> Option<&mut O::Item> {
        Arc::make_mut(self).item_mut(target)
    }

    fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Self> {
        Arc::make_mut(self).insert(item, note, at_end)
    }

    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        Arc::make_mut(self).remove(target)
    }

    fn absorb(&mut self, next: Self) {
        let own = Arc::make_mut(self);
        for (item, note) in next.items.iter().zip(&next.notes) {
            if let Some(item) = item {
                own.put(own.len, item.clone(), *note);
            }
        }
    }
}
