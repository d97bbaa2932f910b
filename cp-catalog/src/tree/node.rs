//! A node of whichever height, and what nodes have in common.

use super::Order;
use super::fan::Fan;
use super::leaf::Leaf;
use super::sampled::{Found, Sampled};
use std::fmt::Debug;
use std::sync::Arc;

/// How many records a leaf has at most: so many that all fans of a million records, and a sample of
/// each leaf, stay in a fast cache.
pub(super) const LEAF_MAX: usize = 128;
/// How many children a fan has at most.
pub(super) const FAN_MAX: usize = 32;

/// The record that was replaced, and the node's upper part, which is to stand after it under the
/// key: a pointer, as what is handed up is moved whether or not there is any.
pub(super) type Inserted<O, C> = (Option<<O as Order>::Item>, Option<(<O as Order>::Key, C)>);

/// What a fan spreads over.
pub(super) trait Child<O: Order>: Debug + Clone {
    /// How much one has at most.
    const LEN_MAX: usize;

    fn len(&self) -> usize;
    fn first(&self) -> Option<&O::Item>;
    fn last(&self) -> Option<&O::Item>;
    fn below(&self, target: O::Target<'_>) -> Option<&O::Item>;
    fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>>;
    fn entry_mut(&mut self, target: O::Target<'_>) -> Option<(&mut O::Item, &mut O::Note)>;
    /// Puts a record in. `at_end`: nothing in the tree comes after this node, so that one that
    /// grows past it stays full behind what is added. Any other is cut in half.
    fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Self>;
    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item>;
    /// Takes in what is in the node that comes next; both fit into one.
    fn absorb(&mut self, next: Self);
}

/// A fan over leaves.
pub(super) type LowFan<O> = Fan<O, Sampled<O>>;

#[derive(Debug, Clone)]
pub(super) enum Node<O: Order> {
    Leaf(Sampled<O>),
    Low(Arc<LowFan<O>>),
    /// All children are of the same height.
    High(Arc<Fan<O, Node<O>>>),
}

impl<O: Order> Node<O> {
    /// The node over two of the same height; what is in `right` is at or above `key`.
    pub(super) fn over(left: Self, key: O::Key, right: Self) -> Self {
        let Some(first) = left.first().map(|item| O::key(O::of(item))) else { return right };
        match (left, right) {
            (Self::Leaf(left), Self::Leaf(right)) => Self::Low(Fan::of([(first, left), (key, right)]).into()),
            (left, right) => Self::High(Fan::of([(first, left), (key, right)]).into()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The child of a fan that has no other.
    pub(super) fn only_child(&self) -> Option<Self> {
        match self {
            Self::Low(fan) if fan.len() == 1 => fan.child(0).cloned().map(Self::Leaf),
            Self::High(fan) if fan.len() == 1 => fan.child(0).cloned(),
            Self::Leaf(_) | Self::Low(_) | Self::High(_) => None,
        }
    }
}

impl<O: Order> Child<O> for Node<O> {
    /// No leaf is ever beside another without a low fan above.
    const LEN_MAX: usize = FAN_MAX;

    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Low(fan) => fan.len(),
            Self::High(fan) => fan.len(),
        }
    }

    fn first(&self) -> Option<&O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.first(),
            Self::Low(fan) => fan.first(),
            Self::High(fan) => fan.first(),
        }
    }

    fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>> {
        match self {
            Self::Leaf(leaf) => leaf.floor(target),
            Self::Low(fan) => fan.floor(target),
            Self::High(fan) => fan.floor(target),
        }
    }

    fn last(&self) -> Option<&O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.last(),
            Self::Low(fan) => fan.last(),
            Self::High(fan) => fan.last(),
        }
    }

    fn below(&self, target: O::Target<'_>) -> Option<&O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.below(target),
            Self::Low(fan) => fan.below(target),
            Self::High(fan) => fan.below(target),
        }
    }

    fn entry_mut(&mut self, target: O::Target<'_>) -> Option<(&mut O::Item, &mut O::Note)> {
        match self {
            Self::Leaf(leaf) => leaf.entry_mut(target),
            Self::Low(fan) => Arc::make_mut(fan).entry_mut(target),
            Self::High(fan) => Arc::make_mut(fan).entry_mut(target),
        }
    }

    fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Self> {
        match self {
            Self::Leaf(leaf) => {
                let (was, split) = leaf.insert(item, note, at_end);
                (was, split.map(|(key, right)| (key, Self::Leaf(right))))
            }
            Self::Low(fan) => {
                let (was, split) = Arc::make_mut(fan).insert(item, note, at_end);
                (was, split.map(|(key, right)| (key, Self::Low(right))))
            }
            Self::High(fan) => {
                let (was, split) = Arc::make_mut(fan).insert(item, note, at_end);
                (was, split.map(|(key, right)| (key, Self::High(right))))
            }
        }
    }

    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        match self {
            Self::Leaf(leaf) => leaf.remove(target),
            Self::Low(fan) => Arc::make_mut(fan).remove(target),
            Self::High(fan) => Arc::make_mut(fan).remove(target),
        }
    }

    fn absorb(&mut self, next: Self) {
        match (self, next) {
            (Self::Leaf(own), Self::Leaf(next)) => own.absorb(next),
            (Self::Low(own), Self::Low(next)) => Arc::make_mut(own).absorb(&next),
            (Self::High(own), Self::High(next)) => Arc::make_mut(own).absorb(&next),
            (_, Self::Leaf(_) | Self::Low(_) | Self::High(_)) => {}
        }
    }
}

/// The root over records in ascending order.
pub(super) fn packed<O: Order>(mut records: impl Iterator<Item = (O::Item, O::Note)>) -> Option<Node<O>> {
    let leaves = std::iter::from_fn(|| Leaf::packed(&mut records).map(Sampled::from));
    let mut leaves: Vec<_> = leaves.collect();
    if leaves.len() < 2 {
        return leaves.pop().map(Node::Leaf);
    }
    let mut nodes: Vec<_> = fanned(leaves).map(|fan| Node::Low(fan.into())).collect();
    while nodes.len() > 1 {
        nodes = fanned(nodes).map(|fan| Node::High(fan.into())).collect();
    }
    nodes.pop()
}

fn fanned<O: Order, C: Child<O>>(children: Vec<C>) -> impl Iterator<Item = Fan<O, C>> {
    let keyed = |child: C| Some((O::key(O::of(child.first()?)), child));
    let mut keyed = children.into_iter().filter_map(keyed).peekable();
    std::iter::from_fn(move || {
        keyed.peek()?;
        Some(Fan::of(keyed.by_ref().take(FAN_MAX)))
    })
}

/// Puts `item` at `at` of the first `len`, which are not all there are.
pub(super) fn insert_at<T, const N: usize>(items: &mut [T; N], len: usize, at: usize, item: T) {
    if let Some(moved) = items.get_mut(at..=len) {
        moved.rotate_right(1);
        if let Some(first) = moved.first_mut() {
            *first = item;
        }
    }
}

/// Takes away what is at `at` of the first `len`, which then end with `none`.
pub(super) fn remove_at<T, const N: usize>(items: &mut [T; N], len: usize, at: usize, none: T) -> Option<T> {
    let moved = items.get_mut(at..len)?;
    moved.rotate_left(1);
    moved.last_mut().map(|last| std::mem::replace(last, none))
}

/// Moves what is at `from` and above to a place of its own, and leaves `none` there.
pub(super) fn move_upper<T, const N: usize>(items: &mut [T; N], from: usize, none: impl Fn() -> T) -> [T; N] {
    let mut upper = std::array::from_fn(|_| none());
    items.iter_mut().skip(from).zip(&mut upper).for_each(|(item, to)| std::mem::swap(to, item));
    upper
}

/// How many are below `prefix`, by the borrows of subtractions: a compiler makes one step of each,
/// and of comparisons that it counts a detour through vectors.
pub(super) fn count_below<'a>(prefixes: impl Iterator<Item = &'a u64>, prefix: u64) -> usize {
    let borrow = |other: &u64| (u128::from(*other).wrapping_sub(u128::from(prefix)) >> 64) as usize;
    prefixes.fold(0, |count, other| count.wrapping_sub(borrow(other)))
}
