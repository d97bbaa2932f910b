//! One collection's ranges, by id and by key.

use crate::bounds::{Bound, Bounds, Mode, slot_key, slot_of};
use crate::cow::CowMap;
use crate::hashed::HashedRange;
use crate::id::RangeId;
use crate::order::{ById, ByLower, Place, Route};
use crate::range::{CollectionSpec, Range};
use crate::tree::{Found, Order, Tree};
use std::cmp::Ordering;

/// How many merges are followed to say where a range went: a bound on what a refusal costs.
const MERGES_FOLLOWED_MAX: usize = 64;

/// A collection and its ranges. Both indexes hold the same records. The one by key notes whether
/// each ends where the next one begins, and the number of its owner, which whoever puts it in has
/// from the holders.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) spec: CollectionSpec,
    by_id: Tree<ById>,
    by_lower: Tree<ByLower>,
    /// Each with the range that took it over, if that was noted.
    retired: CowMap<RangeId, Option<RangeId>>,
}

impl Collection {
    pub(crate) fn new(spec: CollectionSpec) -> Self {
        Self { spec, by_id: Tree::default(), by_lower: Tree::default(), retired: CowMap::default() }
    }

    /// Takes in all ranges of a collection that has none yet, each with the number of its owner.
    pub(crate) fn load(&mut self, by_id: Vec<(HashedRange, u32)>, by_lower: Vec<(HashedRange, u32)>) {
        self.by_id = Tree::from_sorted(by_id.into_iter().map(|(range, _)| (range, ())));
        let mut rest = by_lower.into_iter().peekable();
        let routed = std::iter::from_fn(|| {
            let (range, owner) = rest.next()?;
            let next = rest.peek().map_or(&Bound::Max, |(next, _)| next.bounds.lower());
            let joined = range.bounds.upper() == next;
            Some((range, Route::new(owner, joined)))
        });
        self.by_lower = Tree::from_sorted(routed);
    }

    pub(crate) fn get(&self, id: RangeId) -> Option<&HashedRange> {
        self.by_id.get(id)
    }

    pub(crate) fn is_retired(&self, id: RangeId) -> bool {
        self.retired.get(&id).is_some()
    }

    /// The range that covers `key`.
    pub(crate) fn locate(&self, key: &[u8]) -> Option<&HashedRange> {
        self.at_place(key, |key| self.floor(key)?.item().filter(|range| range.bounds.contains(key)))
    }

    /// The number of the owner of the range that covers `key`. The range itself is read only if there
    /// may be keys between it and the next one; it and those beside it, if they begin with the key's
    /// first bytes.
    pub(crate) fn owner_of(&self, key: &[u8]) -> Option<u32> {
        self.at_place(key, |key| self.owner_at(key))
    }

    /// What `find` makes of `key`, or of its slot.
    fn at_place<R>(&self, key: &[u8], find: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        match self.spec.mode {
            Mode::Ordered => find(key),
            Mode::Hash => find(&slot_key(slot_of(key))),
        }
    }

    /// The last range that begins at or below `key`.
    fn floor(&self, key: &[u8]) -> Option<Found<'_, ByLower>> {
        self.by_lower.floor(Place::Key(key))
    }

    fn owner_at(&self, key: &[u8]) -> Option<u32> {
        let found = self.floor(key)?;
        let covers = found.note().is_joined() || found.item()?.bounds.contains(key);
        covers.then(|| found.note().owner())
    }

    /// The last range that begins at or below the lower end of `bounds`, and the next one.
    fn neighbours(&self, bounds: &Bounds) -> impl Iterator<Item = &HashedRange> {
        let lower = bounds.lower().into();
        let floor = self.by_lower.floor(lower).and_then(|found| found.item());
        floor.into_iter().chain(self.by_lower.iter_above(Some(lower)).next())
    }

    /// The first range, in key order, that shares keys with `bounds`.
    pub(crate) fn overlapping(&self, bounds: &Bounds) -> Option<&HashedRange> {
        self.neighbours(bounds).find(|range| range.bounds.overlaps(bounds))
    }

    /// Lets a new range have its keys in common with its neighbours: a long one takes memory of its own.
    pub(crate) fn share_keys(&self, range: &mut Range) {
        if range.bounds.has_long_key() && self.get(range.id).is_none() {
            let mut bounds = range.bounds.clone();
            self.neighbours(&range.bounds).for_each(|other| bounds.share_keys(&other.bounds));
            range.bounds = bounds;
        }
    }

    pub(crate) fn by_key(&self) -> impl Iterator<Item = &HashedRange> {
        self.by_lower.iter()
    }

    /// Those that begin above where `range` does, in key order.
    pub(crate) fn by_key_above(&self, range: &Range) -> impl Iterator<Item = &HashedRange> {
        self.by_lower.iter_above(Some(range.bounds.lower().into()))
    }

    pub(crate) fn by_id_above(&self, id: Option<RangeId>) -> impl Iterator<Item = &HashedRange> {
        self.by_id.iter_above(id)
    }

    /// The retired ids above `id`, each with the range that took it over, if that was noted.
    pub(crate) fn retired_above(&self, id: Option<RangeId>) -> impl Iterator<Item = (RangeId, Option<RangeId>)> {
        self.retired.iter_above(id.as_ref()).map(|(id, into)| (*id, *into))
    }

    /// The range that took a retired one over, along the merges that were noted.
    pub(crate) fn merged_into(&self, id: RangeId) -> Option<&HashedRange> {
        let mut into = id;
        for _ in 0..MERGES_FOLLOWED_MAX {
            match self.retired.get(&into) {
                Some(next) => into = (*next)?,
                None => return self.get(into),
            }
        }
        None
    }

    /// An id that was never used, above all that were; `None` if there is none above.
    pub(crate) fn free_id(&self) -> Option<RangeId> {
        let used = self.by_id.last().map(|range| range.id);
        let retired = self.retired.floor_by(|_| Ordering::Less).map(|(id, _)| *id);
        used.max(retired).map_or(Some(RangeId(1)), |last| last.0.checked_add(1).map(RangeId))
    }

    /// The ranges that touch `bounds` from below and from above.
    pub(crate) fn beside(&self, bounds: &Bounds) -> [Option<&HashedRange>; 2] {
        let below = self.by_lower.below(bounds.lower().into()).filter(|below| below.bounds.upper() == bounds.lower());
        let above = self.by_lower.get(bounds.upper().into());
        [below, above]
    }

    /// Whether both indexes hold the same records and find each, noted as it is; `number` gives
    /// the numbers of owners.
    pub(crate) fn is_consistent(&self, number: impl Fn(&Range) -> Option<u32>) -> bool {
        let mut next = self.by_lower.iter().skip(1);
        let mut same = |range: &HashedRange| {
            let by_id = self.by_id.get(range.id).is_some_and(|found| found.is(range));
            let end = next.next().map_or(&Bound::Max, |next| next.bounds.lower());
            let by_lower = self.by_lower.floor(range.bounds.lower().into());
            let by_lower = by_lower.filter(|found| found.item().is_some_and(|found| found.is(range)));
            let noted = by_lower.map(|found| found.note()).filter(|noted| number(range) == Some(noted.owner()));
            // A key within it is looked up by other ways than where it begins.
            let first = ByLower::prefix(range.bounds.lower().into());
            let within = first.checked_add(1).map(u64::to_be_bytes).filter(|key| range.bounds.contains(key));
            let found_by = within.is_none_or(|key| {
                let found = self.floor(&key).and_then(|found| found.item());
                found.is_some_and(|found| found.is(range)) && self.owner_at(&key) == number(range)
            });
            // What overlaps the next one is found out elsewhere.
            let joins = |noted: Route| match range.bounds.upper().cmp(end) {
                Ordering::Less => !noted.is_joined(),
                Ordering::Equal => noted.is_joined(),
                Ordering::Greater => true,
            };
            by_id && found_by && noted.is_some_and(joins)
        };
        let whole = self.by_lower.len() == self.by_id.len() && self.by_lower.iter().count() == self.by_id.len();
        whole && self.by_lower.iter().all(&mut same)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Puts a range in, whose owner has the number `owner`.
    pub(crate) fn put(&mut self, range: HashedRange, owner: u32) -> Option<HashedRange> {
        let was = self.by_id.insert(range.clone(), ());
        if was.as_ref().is_some_and(|was| was.bounds == range.bounds) {
            if let Some((there, route)) = self.by_lower.entry_mut(range.bounds.lower().into()) {
                *route = Route::new(owner, route.is_joined());
                *there = range;
            }
            return was;
        }
        let lower = range.bounds.lower().clone();
        if let Some(was) = was.as_ref().filter(|was| *was.bounds.lower() != lower) {
            self.take(was.bounds.lower());
        }
        let upper = range.bounds.upper();
        let joined = *upper == Bound::Max || self.by_lower.get(upper.into()).is_some();
        self.by_lower.insert(range, Route::new(owner, joined));
        self.join(&lower, true);
        was
    }

    /// Takes away what begins at `lower` from the index by key.
    fn take(&mut self, lower: &Bound) {
        self.by_lower.remove(lower.into());
        self.join(lower, false);
    }

    /// Notes of the range that ends at `at`, if there is one, whether one begins there.
    fn join(&mut self, at: &Bound, joined: bool) {
        let Some(below) = self.by_lower.below(at.into()).filter(|below| below.bounds.upper() == at) else { return };
        let below = below.bounds.lower().clone();
        // Most are noted so already, and a change may copy a node that a clone shares.
        if self.by_lower.floor((&below).into()).is_some_and(|found| found.note().is_joined() == joined) {
            return;
        }
        if let Some((_, route)) = self.by_lower.entry_mut((&below).into()) {
            *route = Route::new(route.owner(), joined);
        }
    }

    /// Takes a range away, so that its id is never used again.
    pub(crate) fn retire(&mut self, id: RangeId, into: Option<RangeId>) -> Option<HashedRange> {
        let was = self.by_id.remove(id)?;
        self.take(was.bounds.lower());
        self.retired.insert(id, into);
        Some(was)
    }

    pub(crate) fn note_retired(&mut self, id: RangeId, into: Option<RangeId>) {
        self.retired.insert(id, into);
    }
}

#[cfg(test)]
mod tests;
