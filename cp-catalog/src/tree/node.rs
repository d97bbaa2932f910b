//! The nodes of a tree.

use super::Order;
use std::array;
use std::cmp::Ordering;
use std::sync::Arc;

/// How many records, or children, a node has at most.
pub(super) const LEN_MAX: usize = 32;
/// A node below this joins one beside it if both fit into one.
pub(super) const LEN_MIN: usize = LEN_MAX / 4;

#[derive(Debug, Clone)]
pub(super) enum Node<O: Order> {
    Leaf(Arc<Leaf<O>>),
    Branch(Arc<Branch<O>>),
}

/// A node's upper part, which is to stand after it under `key`.
pub(super) struct Split<O: Order> {
    pub(super) key: O::Key,
    pub(super) right: Node<O>,
}

/// Prefixes and records lie side by side, so that the search has fetched the record it ends at.
#[derive(Debug, Clone)]
pub(super) struct Leaf<O: Order> {
    slots: [Slot<O::Item>; LEN_MAX],
    len: usize,
}

#[derive(Debug, Clone)]
struct Slot<T> {
    /// The highest there is if the slot is empty: it is below nothing.
    prefix: u64,
    item: Option<T>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { prefix: u64::MAX, item: None }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Branch<O: Order> {
    prefixes: [u64; LEN_MAX],
    children: [Option<Node<O>>; LEN_MAX],
    keys: [Option<O::Key>; LEN_MAX],
    len: usize,
}

impl<O: Order> Leaf<O> {
    pub(super) fn with(item: O::Item) -> Self {
        let mut leaf = Self { slots: array::from_fn(|_| Slot::default()), len: 0 };
        leaf.put(0, item);
        leaf
    }

    pub(super) fn at(&self, at: usize) -> Option<&O::Item> {
        self.slots.get(at)?.item.as_ref()
    }

    /// Where the record of this key is, or else would be.
    pub(super) fn rank(&self, target: O::Target<'_>) -> Result<usize, usize> {
        let prefix = O::prefix(target);
        let below = self.slots.iter().filter(|slot| slot.prefix < prefix).count();
        let rest = self.slots.get(below..self.len).unwrap_or_default();
        let equal = rest.iter().take_while(|slot| slot.prefix == prefix).count();
        let equal = rest.get(..equal).unwrap_or_default();
        let found = equal.binary_search_by(|slot| {
            slot.item.as_ref().map_or(Ordering::Greater, |item| O::compare(O::of(item), target))
        });
        found.map(|at| below + at).map_err(|at| below + at)
    }

    fn put(&mut self, at: usize, item: O::Item) {
        let prefix = O::prefix(O::of(&item));
        insert_at(&mut self.slots, self.len, at, Slot { prefix, item: Some(item) });
        self.len += 1;
    }

    fn insert(&mut self, item: O::Item) -> (Option<O::Item>, Option<Split<O>>) {
        let at = match self.rank(O::of(&item)) {
            Ok(at) => {
                let slot = self.slots.get_mut(at).and_then(|slot| slot.item.as_mut());
                return (slot.map(|was| std::mem::replace(was, item)), None);
            }
            Err(at) => at,
        };
        if self.len < LEN_MAX {
            self.put(at, item);
            return (None, None);
        }
        // A tree that grows at its end keeps full nodes behind it.
        let right = if at == self.len {
            Self::with(item)
        } else {
            let mut right = Self { slots: move_upper(&mut self.slots, LEN_MAX / 2), len: LEN_MAX / 2 };
            self.len = LEN_MAX / 2;
            if at <= self.len {
                self.put(at, item)
            } else {
                right.put(at - self.len, item)
            }
            right
        };
        let key = right.at(0).map(|first| O::key(O::of(first)));
        (None, key.map(|key| Split { key, right: Node::Leaf(right.into()) }))
    }

    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        let at = self.rank(target).ok()?;
        let was = remove_at(&mut self.slots, self.len, at);
        self.len -= 1;
        was.item
    }
}

impl<O: Order> Branch<O> {
    /// At most [`LEN_MAX`] children, in order.
    pub(super) fn of(children: impl IntoIterator<Item = (O::Key, Node<O>)>) -> Self {
        let (prefixes, keys) = ([u64::MAX; LEN_MAX], array::from_fn(|_| None));
        let mut branch = Self { prefixes, children: array::from_fn(|_| None), keys, len: 0 };
        children.into_iter().for_each(|(key, child)| branch.put(branch.len, key, child));
        branch
    }

    pub(super) fn child(&self, at: usize) -> Option<&Node<O>> {
        self.children.get(at)?.as_ref()
    }

    /// The child in which `target` is, if it is anywhere.
    pub(super) fn way(&self, target: O::Target<'_>) -> usize {
        let prefix = O::prefix(target);
        let below = self.prefixes.iter().filter(|other| **other < prefix).count();
        let rest = self.prefixes.get(below..self.len).unwrap_or_default();
        let equal = rest.iter().take_while(|other| **other == prefix).count();
        let keys = self.keys.get(below..below + equal).unwrap_or_default();
        let above = |key: &Option<O::Key>| key.as_ref().is_none_or(|key| O::compare(O::target(key), target).is_gt());
        (below + keys.partition_point(|key| !above(key))).saturating_sub(1)
    }

    fn put(&mut self, at: usize, key: O::Key, child: Node<O>) {
        insert_at(&mut self.prefixes, self.len, at, O::prefix(O::target(&key)));
        insert_at(&mut self.children, self.len, at, Some(child));
        insert_at(&mut self.keys, self.len, at, Some(key));
        self.len += 1;
    }

    fn take(&mut self, at: usize) -> Option<(O::Key, Node<O>)> {
        remove_at(&mut self.prefixes, self.len, at);
        if let Some(vacated) = self.prefixes.get_mut(self.len - 1) {
            *vacated = u64::MAX;
        }
        let (child, key) = (remove_at(&mut self.children, self.len, at), remove_at(&mut self.keys, self.len, at));
        self.len -= 1;
        Some((key?, child?))
    }

    fn insert(&mut self, item: O::Item) -> (Option<O::Item>, Option<Split<O>>) {
        let at = self.way(O::of(&item));
        if let (0, Some(Some(key)), Some(prefix)) = (at, self.keys.first_mut(), self.prefixes.first_mut())
            && O::compare(O::of(&item), O::target(key)).is_lt()
        {
            *key = O::key(O::of(&item));
            *prefix = O::prefix(O::of(&item));
        }
        let Some(child) = self.children.get_mut(at).and_then(Option::as_mut) else { return (Some(item), None) };
        let (was, split) = child.insert(item);
        (was, split.and_then(|split| self.take_in(at + 1, split)))
    }

    /// Puts the upper part of a child after it; the branch's own upper part, if it is full.
    fn take_in(&mut self, at: usize, Split { key, right }: Split<O>) -> Option<Split<O>> {
        if self.len < LEN_MAX {
            self.put(at, key, right);
            return None;
        }
        if at == self.len {
            return Some(Split { key: key.clone(), right: Node::Branch(Self::of([(key, right)]).into()) });
        }
        let half = LEN_MAX / 2;
        let (children, keys) = (move_upper(&mut self.children, half), move_upper(&mut self.keys, half));
        self.prefixes.iter_mut().skip(half).for_each(|prefix| *prefix = u64::MAX);
        self.len = half;
        let mut upper = Self::of(keys.into_iter().zip(children).filter_map(|(key, child)| Some((key?, child?))));
        if at <= half {
            self.put(at, key, right)
        } else {
            upper.put(at - half, key, right)
        }
        let key = upper.keys.first().cloned().flatten()?;
        Some(Split { key, right: Node::Branch(upper.into()) })
    }

    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        let at = self.way(target);
        let child = self.children.get_mut(at)?.as_mut()?;
        let was = child.remove(target)?;
        if child.is_empty() {
            self.take(at);
        } else if child.len() < LEN_MIN && !self.join(at) {
            at.checked_sub(1).map(|before| self.join(before));
        }
        Some(was)
    }

    /// Joins a child with the next one, if both fit into one, and says whether.
    fn join(&mut self, at: usize) -> bool {
        let [Some(own), Some(next)] = [self.child(at), self.child(at + 1)] else { return false };
        if own.len() + next.len() > LEN_MAX {
            return false;
        }
        let Some((_, next)) = self.take(at + 1) else { return false };
        match (self.children.get_mut(at).and_then(Option::as_mut), next) {
            (Some(Node::Leaf(own)), Node::Leaf(next)) => {
                let own = Arc::make_mut(own);
                next.slots.iter().filter_map(|slot| slot.item.clone()).for_each(|item| own.put(own.len, item));
            }
            (Some(Node::Branch(own)), Node::Branch(next)) => {
                let own = Arc::make_mut(own);
                let rest = next.keys.iter().zip(&next.children);
                rest.filter_map(|(key, child)| Some((key.clone()?, child.clone()?)))
                    .for_each(|(key, child)| own.put(own.len, key, child));
            }
            (_, Node::Leaf(_) | Node::Branch(_)) => {}
        }
        true
    }
}

impl<O: Order> Node<O> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len,
            Self::Branch(branch) => branch.len,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The child of a branch that has no other.
    pub(super) fn only_child(&self) -> Option<&Self> {
        match self {
            Self::Branch(branch) if branch.len == 1 => branch.child(0),
            Self::Branch(_) | Self::Leaf(_) => None,
        }
    }

    pub(super) fn first(&self) -> Option<&O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.at(0),
            Self::Branch(branch) => branch.child(0)?.first(),
        }
    }

    pub(super) fn floor(&self, target: O::Target<'_>) -> Option<&O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.at(leaf.rank(target).or_else(|above| above.checked_sub(1).ok_or(())).ok()?),
            // What a child began with may be gone, and the rest of it be above.
            Self::Branch(branch) => {
                (0..=branch.way(target)).rev().find_map(|at| branch.child(at).and_then(|child| child.floor(target)))
            }
        }
    }

    pub(super) fn get_mut(&mut self, target: O::Target<'_>) -> Option<&mut O::Item> {
        match self {
            Self::Leaf(leaf) => {
                let at = leaf.rank(target).ok()?;
                Arc::make_mut(leaf).slots.get_mut(at)?.item.as_mut()
            }
            Self::Branch(branch) => {
                let at = branch.way(target);
                Arc::make_mut(branch).children.get_mut(at)?.as_mut()?.get_mut(target)
            }
        }
    }

    pub(super) fn insert(&mut self, item: O::Item) -> (Option<O::Item>, Option<Split<O>>) {
        match self {
            Self::Leaf(leaf) => Arc::make_mut(leaf).insert(item),
            Self::Branch(branch) => Arc::make_mut(branch).insert(item),
        }
    }

    pub(super) fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        match self {
            Self::Leaf(leaf) => Arc::make_mut(leaf).remove(target),
            Self::Branch(branch) => Arc::make_mut(branch).remove(target),
        }
    }
}

/// Puts `item` at `at` of the first `len`, which are not all there are.
fn insert_at<T>(items: &mut [T; LEN_MAX], len: usize, at: usize, item: T) {
    if let Some(moved) = items.get_mut(at..=len) {
        moved.rotate_right(1);
        if let Some(first) = moved.first_mut() {
            *first = item;
        }
    }
}

/// Takes away what is at `at` of the first `len`.
fn remove_at<T: Default>(items: &mut [T; LEN_MAX], len: usize, at: usize) -> T {
    let Some(moved) = items.get_mut(at..len) else { return T::default() };
    moved.rotate_left(1);
    moved.last_mut().map(std::mem::take).unwrap_or_default()
}

/// Moves what is at `from` and above to a place of its own.
fn move_upper<T: Default>(items: &mut [T; LEN_MAX], from: usize) -> [T; LEN_MAX] {
    let mut upper = array::from_fn(|_| T::default());
    items.iter_mut().skip(from).zip(&mut upper).for_each(|(item, to)| *to = std::mem::take(item));
    upper
}
