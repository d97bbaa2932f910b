//! The upper nodes of a tree: which child a key is in.

use super::Order;
use super::node::{Child, FAN_MAX, Inserted, count_below, insert_at, move_upper, remove_at};
use super::sampled::Found;
use std::array;
use std::sync::Arc;

/// Prefixes and children lie side by side, so that the search has fetched the child it ends at.
#[derive(Debug, Clone)]
pub(super) struct Fan<O: Order, C> {
    ways: [Way<C>; FAN_MAX],
    keys: [Option<O::Key>; FAN_MAX],
    len: usize,
}

#[derive(Debug, Clone)]
struct Way<C> {
    /// The highest there is where there is no child: it is below nothing.
    prefix: u64,
    child: Option<C>,
}

impl<C> Way<C> {
    const NONE: Self = Self { prefix: u64::MAX, child: None };
}

impl<O: Order, C: Child<O>> Fan<O, C> {
    /// At most [`FAN_MAX`] children, in order.
    pub(super) fn of(children: impl IntoIterator<Item = (O::Key, C)>) -> Self {
        let mut fan = Self { ways: [const { Way::NONE }; FAN_MAX], keys: array::from_fn(|_| None), len: 0 };
        children.into_iter().for_each(|(key, child)| fan.put(fan.len, key, child));
        fan
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn child(&self, at: usize) -> Option<&C> {
        self.ways.get(at)?.child.as_ref()
    }

    fn child_mut(&mut self, at: usize) -> Option<&mut C> {
        self.ways.get_mut(at)?.child.as_mut()
    }

    pub(super) fn first(&self) -> Option<&O::Item> {
        self.child(0)?.first()
    }

    /// The child in which `target` is, if it is anywhere.
    pub(super) fn way(&self, target: O::Target<'_>) -> usize {
        self.way_by(O::prefix(target), target)
    }

    /// The same, if this is its prefix.
    pub(super) fn way_by(&self, prefix: u64, target: O::Target<'_>) -> usize {
        let below = count_below(self.ways.iter().map(|way| &way.prefix), prefix);
        if self.ways.get(below).is_none_or(|way| way.prefix != prefix) {
            return below.saturating_sub(1);
        }
        let rest = self.ways.get(below..self.len).unwrap_or_default();
        let equal = rest.iter().take_while(|way| way.prefix == prefix).count();
        let keys = self.keys.get(below..below + equal).unwrap_or_default();
        let above = |key: &Option<O::Key>| key.as_ref().is_none_or(|key| O::compare(O::target(key), target).is_gt());
        (below + keys.partition_point(|key| !above(key))).saturating_sub(1)
    }

    /// What a child began with may be gone, and the rest of it be above.
    pub(super) fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>> {
        let way = self.way(target);
        let found = self.child(way).and_then(|child| child.floor(target));
        found.or_else(|| (0..way).rev().find_map(|at| self.child(at).and_then(|child| child.floor(target))))
    }

    pub(super) fn last(&self) -> Option<&O::Item> {
        self.child(self.len.checked_sub(1)?)?.last()
    }

    pub(super) fn below(&self, target: O::Target<'_>) -> Option<&O::Item> {
        (0..=self.way(target)).rev().find_map(|at| self.child(at).and_then(|child| child.below(target)))
    }

    pub(super) fn entry_mut(&mut self, target: O::Target<'_>) -> Option<(&mut O::Item, &mut O::Note)> {
        let at = self.way(target);
        self.child_mut(at)?.entry_mut(target)
    }

    fn put(&mut self, at: usize, key: O::Key, child: C) {
        let way = Way { prefix: O::prefix(O::target(&key)), child: Some(child) };
        insert_at(&mut self.ways, self.len, at, way);
        insert_at(&mut self.keys, self.len, at, Some(key));
        self.len += 1;
    }

    fn take(&mut self, at: usize) -> Option<C> {
        let way = remove_at(&mut self.ways, self.len, at, Way::NONE)?;
        remove_at(&mut self.keys, self.len, at, None);
        self.len -= 1;
        way.child
    }

    pub(super) fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Arc<Self>> {
        let at = self.way(O::of(&item));
        if let (0, Some(Some(key)), Some(way)) = (at, self.keys.first_mut(), self.ways.first_mut())
            && O::compare(O::of(&item), O::target(key)).is_lt()
        {
            *key = O::key(O::of(&item));
            way.prefix = O::prefix(O::of(&item));
        }
        let at_end = at_end && at + 1 == self.len;
        let Some(child) = self.child_mut(at) else { return (Some(item), None) };
        let (was, split) = child.insert(item, note, at_end);
        (was, split.and_then(|(key, right)| self.take_in(at + 1, key, right, at_end)))
    }

    /// Puts the upper part of a child after it; the fan's own upper part, if it is full.
    fn take_in(&mut self, at: usize, key: O::Key, right: C, at_end: bool) -> Option<(O::Key, Arc<Self>)> {
        if self.len < FAN_MAX {
            self.put(at, key, right);
            return None;
        }
        if at_end {
            return Some((key.clone(), Self::of([(key, right)]).into()));
        }
        let half = FAN_MAX / 2;
        let (ways, keys) = (move_upper(&mut self.ways, half, || Way::NONE), move_upper(&mut self.keys, half, || None));
        let mut upper = Self { ways, keys, len: self.len.saturating_sub(half) };
        self.len = self.len.min(half);
        if at <= half {
            self.put(at, key, right)
        } else {
            upper.put(at - half, key, right)
        }
        let key = upper.keys.first().cloned().flatten()?;
        Some((key, upper.into()))
    }

    pub(super) fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        let at = self.way(target);
        let child = self.child_mut(at)?;
        let was = child.remove(target)?;
        let len = child.len();
        if len == 0 {
            self.take(at);
        } else if len < C::LEN_MAX / 4 && !self.join(at) {
            at.checked_sub(1).map(|before| self.join(before));
        }
        Some(was)
    }

    /// Joins a child with the next one, if both fit into one, and says whether.
    fn join(&mut self, at: usize) -> bool {
        let [Some(own), Some(next)] = [self.child(at), self.child(at + 1)] else { return false };
        if own.len() + next.len() > C::LEN_MAX {
            return false;
        }
        let Some(next) = self.take(at + 1) else { return false };
        if let Some(own) = self.child_mut(at) {
            own.absorb(next);
        }
        true
    }

    /// Takes in the children of the fan that comes next.
    pub(super) fn absorb(&mut self, next: &Self) {
        for (key, way) in next.keys.iter().zip(&next.ways) {
            if let (Some(key), Some(child)) = (key, &way.child) {
                self.put(self.len, key.clone(), child.clone());
            }
        }
    }
}
