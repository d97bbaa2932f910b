//! A leaf as its fan, or the tree, has it: with a sample of its prefixes, which says which few lines
//! of the leaf to read.
//!
//! A sample is coarse, so that it is small: groups that begin within one step of it are searched one
//! after the other.

use super::leaf::{GROUP, GROUPS, Leaf};
use super::node::{Child, Inserted, LEAF_MAX, count_below};
use super::{Note, Order};
use std::array;
use std::cmp::Ordering;
use std::sync::Arc;

/// A leaf, and what of it a search begins with.
#[derive(Debug, Clone)]
pub(super) struct Sampled<O: Order> {
    leaf: Arc<Leaf<O>>,
    sample: Sample,
}

/// Where in a leaf its groups begin, in 256 steps from its first prefix to its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    base: u64,
    /// How many bits of what is above `base` are below a step.
    shift: u8,
    /// Of the first prefix of each group but the first.
    firsts: [u8; GROUPS - 1],
}

impl Sample {
    fn of<O: Order>(leaf: &Leaf<O>) -> Self {
        let base = leaf.group_first(0);
        let shift = (u64::BITS - u8::BITS).saturating_sub((leaf.last_prefix() - base).leading_zeros()) as u8;
        let mut sample = Self { base, shift, firsts: [0; GROUPS - 1] };
        sample.firsts = array::from_fn(|before| sample.step(leaf.group_first(before + 1)));
        sample
    }

    fn step(&self, prefix: u64) -> u8 {
        let step = prefix.saturating_sub(self.base) >> self.shift;
        step.min(u64::from(u8::MAX)) as u8
    }
}

/// A record that was found. It has not been read.
#[derive(Debug)]
pub(crate) struct Found<'a, O: Order> {
    leaf: &'a Leaf<O>,
    at: usize,
    note: O::Note,
}

impl<'a, O: Order> Found<'a, O> {
    pub(crate) fn item(&self) -> Option<&'a O::Item> {
        self.leaf.at(self.at)
    }

    pub(crate) fn note(&self) -> O::Note {
        self.note
    }
}

impl<O: Order> From<Leaf<O>> for Sampled<O> {
    fn from(leaf: Leaf<O>) -> Self {
        Self { sample: Sample::of(&leaf), leaf: Arc::new(leaf) }
    }
}

impl<O: Order> Sampled<O> {
    pub(super) fn leaf(&self) -> &Leaf<O> {
        &self.leaf
    }

    #[cfg(test)]
    pub(super) fn is_sampled_as_it_is(&self) -> bool {
        self.sample == Sample::of(&self.leaf)
    }

    /// The group in which the records below `prefix` end, or that comes after it, and how many of its own are.
    fn search(&self, prefix: u64) -> (usize, usize) {
        let step = self.sample.step(prefix);
        let mut group = self.sample.firsts.iter().filter(|first| **first < step).count();
        let mut within = self.leaf.group(group).map_or(0, |(prefixes, _)| count_in_group(prefixes, prefix));
        // The next one begins within the same step: hardly ever.
        while within == GROUP && self.sample.firsts.get(group) == Some(&step) {
            group += 1;
            within = self.leaf.group(group).map_or(0, |(prefixes, _)| count_in_group(prefixes, prefix));
        }
        (group, within)
    }

    /// Where the record of this key is, or else would be.
    pub(super) fn rank(&self, target: O::Target<'_>) -> Result<usize, usize> {
        let prefix = O::prefix(target);
        let (group, within) = self.search(prefix);
        self.rank_among_equal(target, prefix, group, within)
    }

    /// As [`rank`](Self::rank), once it is known how many are below its prefix.
    fn rank_among_equal(
        &self,
        target: O::Target<'_>,
        prefix: u64,
        group: usize,
        within: usize,
    ) -> Result<usize, usize> {
        let below = group * GROUP + within;
        let next = self.leaf.group(group).and_then(|(prefixes, _)| prefixes.get(within).copied());
        if next != Some(prefix) {
            return Err(below);
        }
        if O::WHOLE {
            // What is above all records has no higher first bits than they may have.
            return if below < self.leaf.len() { Ok(below) } else { Err(below) };
        }
        let equal = self.leaf.prefixes_from(below).iter().take_while(|other| **other == prefix).count();
        let found = self
            .leaf
            .items(below, equal)
            .binary_search_by(|item| item.as_ref().map_or(Ordering::Greater, |item| O::compare(O::of(item), target)));
        found.map(|at| below + at).map_err(|at| below + at)
    }

    /// The last record at or below `target`, whose prefix this is.
    pub(super) fn floor_by(&self, prefix: u64, target: O::Target<'_>) -> Option<Found<'_, O>> {
        let (group, within) = self.search(prefix);
        let (_, notes) = self.leaf.group(group)?;
        let note = pick(notes, (within as u32).wrapping_sub(1));
        let below = group * GROUP + within;
        let at = self.rank_among_equal(target, prefix, group, within);
        let at = at.or_else(|above| above.checked_sub(1).ok_or(())).ok()?;
        let note = if within > 0 && at + 1 == below { note } else { self.leaf.note(at) };
        Some(Found { leaf: &self.leaf, at, note })
    }

    /// Changes the leaf, and the sample as it then is.
    fn edit<R>(&mut self, edit: impl FnOnce(&mut Leaf<O>) -> R) -> R {
        let leaf = Arc::make_mut(&mut self.leaf);
        let done = edit(leaf);
        self.sample = Sample::of(leaf);
        done
    }
}

/// Never in line: with more values around it, what it compares is written to memory and read again.
#[inline(never)]
fn count_in_group(prefixes: &[u64; GROUP], prefix: u64) -> usize {
    count_below(prefixes.iter(), prefix)
}

/// The note at `at`. All are read, so that none has to wait until `at` is known.
#[inline(never)]
fn pick<N: Note>(notes: &[N; GROUP], at: u32) -> N {
    let masked = notes.iter().zip(0..).map(|(note, other)| if other == at { note.bits() } else { 0 });
    N::of_bits(masked.fold(0, |picked, bits| picked | bits))
}

impl<O: Order> Child<O> for Sampled<O> {
    const LEN_MAX: usize = LEAF_MAX;

    fn len(&self) -> usize {
        self.leaf.len()
    }

    fn first(&self) -> Option<&O::Item> {
        self.leaf.at(0)
    }

    fn floor(&self, target: O::Target<'_>) -> Option<Found<'_, O>> {
        self.floor_by(O::prefix(target), target)
    }

    fn last(&self) -> Option<&O::Item> {
        self.leaf.at(self.len().checked_sub(1)?)
    }

    fn below(&self, target: O::Target<'_>) -> Option<&O::Item> {
        self.leaf.at(self.rank(target).unwrap_or_else(|above| above).checked_sub(1)?)
    }

    fn entry_mut(&mut self, target: O::Target<'_>) -> Option<(&mut O::Item, &mut O::Note)> {
        let at = self.rank(target).ok()?;
        Arc::make_mut(&mut self.leaf).entry_mut(at)
    }

    fn insert(&mut self, item: O::Item, note: O::Note, at_end: bool) -> Inserted<O, Self> {
        let at = match self.rank(O::of(&item)) {
            Ok(at) => {
                let there = Arc::make_mut(&mut self.leaf).entry_mut(at);
                let was = there.map(|(slot, beside)| {
                    *beside = note;
                    std::mem::replace(slot, item)
                });
                return (was, None);
            }
            Err(at) => at,
        };
        let len = self.len();
        if len < LEAF_MAX {
            self.edit(|leaf| leaf.put(at, item, note));
            return (None, None);
        }
        // A tree that grows at its end keeps full nodes behind it.
        let right = if at_end && at == len {
            Leaf::with(item, note)
        } else {
            self.edit(|leaf| {
                let mut right = leaf.cut();
                let half = leaf.len();
                if at <= half {
                    leaf.put(at, item, note)
                } else {
                    right.put(at - half, item, note)
                }
                right
            })
        };
        let key = right.at(0).map(|first| O::key(O::of(first)));
        (None, key.map(|key| (key, right.into())))
    }

    fn remove(&mut self, target: O::Target<'_>) -> Option<O::Item> {
        let at = self.rank(target).ok()?;
        self.edit(|leaf| leaf.take(at))
    }

    fn absorb(&mut self, next: Self) {
        self.edit(|leaf| leaf.absorb(&next.leaf))
    }
}
