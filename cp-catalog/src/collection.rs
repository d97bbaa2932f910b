//! One collection's ranges, by id and by key.

use crate::bounds::{Bounds, Mode, slot_key, slot_of};
use crate::cow::CowMap;
use crate::hashed::HashedRange;
use crate::id::RangeId;
use crate::order::{ById, ByLower, Place, Route};
use crate::range::{CollectionSpec, Range};
use crate::tree::{Found, Tree};
use std::cmp::Ordering;

/// How many merges are followed to say where a range went: a bound on what a refusal costs.
const MERGES_FOLLOWED_MAX: usize = 64;

/// A collection and its ranges. Both indexes hold the same records. The one by key notes where
/// each ends and the number of its owner, which whoever puts it in has from the holders.
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
        let routed = |(range, owner): (HashedRange, u32)| {
            let route = Route::new(&range, owner);
            (range, route)
        };
        self.by_lower = Tree::from_sorted(by_lower.into_iter().map(routed));
    }

    pub(crate) fn get(&self, id: RangeId) -> Option<&HashedRange> {
        self.by_id.get(id)
    }

    pub(crate) fn is_retired(&self, id: RangeId) -> bool {
        self.retired.get(&id).is_some()
    }

    /// The range that covers `key`.
    pub(crate) fn locate(&self, key: &[u8]) -> Option<&HashedRange> {
        self.covering(key, |found| found.item())
    }

    /// The number of the owner of the range that covers `key`.
    pub(crate) fn owner_of(&self, key: &[u8]) -> Option<u32> {
        self.covering(key, |found| Some(found.note().owner))
    }

    /// What `read` takes of the range that covers `key`. The range itself is read only if its end
    /// begins with the same bytes as the key, or its beginning.
    fn covering<'a, R>(&'a self, key: &[u8], read: impl Fn(Found<'a, ByLower>) -> Option<R>) -> Option<R> {
        let slot = match self.spec.mode {
            Mode::Ordered => None,
            Mode::Hash => Some(slot_key(slot_of(key))),
        };
        let key = slot.as_ref().map_or(key, |slot| slot);
        let found = self.by_lower.floor(Place::Key(key))?;
        let covers = found.note().ends_above(Place::Key(key)) || found.item()?.bounds.contains(key);
        if covers { read(found) } else { None }
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
        let same = |range: &HashedRange| {
            let by_id = self.by_id.get(range.id).is_some_and(|found| found.is(range));
            let route = number(range).map(|owner| Route::new(range, owner));
            let by_lower = self.by_lower.floor(range.bounds.lower().into());
            let by_lower = by_lower.filter(|found| found.item().is_some_and(|found| found.is(range)));
            by_id && by_lower.is_some_and(|found| Some(found.note()) == route)
        };
        let whole = self.by_lower.len() == self.by_id.len() && self.by_lower.iter().count() == self.by_id.len();
        whole && self.by_lower.iter().all(same)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Puts a range in, whose owner has the number `owner`.
    pub(crate) fn put(&mut self, range: HashedRange, owner: u32) -> Option<HashedRange> {
        let was = self.by_id.insert(range.clone(), ());
        if let Some(was) = was.as_ref().filter(|was| was.bounds.lower() != range.bounds.lower()) {
            self.by_lower.remove(was.bounds.lower().into());
        }
        let route = Route::new(&range, owner);
        self.by_lower.insert(range, route);
        was
    }

    /// Takes a range away, so that its id is never used again.
    pub(crate) fn retire(&mut self, id: RangeId, into: Option<RangeId>) -> Option<HashedRange> {
        let was = self.by_id.remove(id)?;
        self.by_lower.remove(was.bounds.lower().into());
        self.retired.insert(id, into);
        Some(was)
    }

    pub(crate) fn note_retired(&mut self, id: RangeId, into: Option<RangeId>) {
        self.retired.insert(id, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bound;
    use crate::id::{CollectionName, Epoch, GroupName, Version};
    use crate::range::Copies;
    use std::sync::Arc;

    fn hashed(range: Range) -> HashedRange {
        HashedRange::new(&CollectionName::new("books").unwrap(), range)
    }

    fn range(id: u64, lower: &[u8], version: u64) -> HashedRange {
        hashed(Range {
            id: RangeId(id),
            bounds: Bounds::new(Bound::at(lower).unwrap(), Bound::Max).unwrap(),
            owner: cp_seam::MemberId::new("a").unwrap(),
            replicas: Copies::default(),
            archives: Copies::default(),
            epoch: Epoch(1),
            version: Version(version),
            placement: Arc::default(),
            moving: None,
        })
    }

    fn collection() -> Collection {
        let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
        let mut collection = Collection::new(CollectionSpec { name, group, mode: Mode::Ordered });
        collection.put(range(1, b"", 1), 7);
        collection.put(range(2, b"m", 1), 7);
        collection
    }

    /// In whichever order neighbours come, each long key is kept once.
    #[test]
    fn neighbours_share_their_long_keys() {
        let keys = [0, 1, 2, 3].map(|n| Bound::at(&[n + 1; 40]).unwrap());
        let bytes = |bound: &Bound| match bound {
            Bound::Key(key) => key.as_bytes().as_ptr(),
            Bound::Min | Bound::Max => unreachable!(),
        };
        for order in [[1, 2, 3], [3, 2, 1], [1, 3, 2], [2, 1, 3]] {
            let mut there = collection();
            there.retire(RangeId(1), None);
            there.retire(RangeId(2), None);
            for at in order {
                let copy = |bound: &Bound| match bound {
                    Bound::Key(key) => Bound::at(key.as_bytes()).unwrap(),
                    Bound::Min | Bound::Max => unreachable!(),
                };
                let bounds = Bounds::new(copy(&keys[at - 1]), copy(&keys[at])).unwrap();
                let mut new = Range { bounds, ..(*range(at as u64 + 10, b"", 1)).clone() };
                there.share_keys(&mut new);
                there.put(hashed(new), 7);
            }
            let ranges: Vec<_> = there.by_key().collect();
            assert_eq!(ranges.len(), 3);
            for pair in ranges.windows(2) {
                assert_eq!(bytes(pair[0].bounds.upper()), bytes(pair[1].bounds.lower()), "made in order {order:?}");
            }
        }
    }

    #[test]
    fn both_indexes_hold_the_same_records() {
        fn noted(range: &Range) -> Route {
            Route::new(range, 7)
        }
        let holds = |collection: &Collection| collection.is_consistent(|_| Some(7));
        assert!(holds(&collection()));
        let broken = |edit: fn(&mut Collection)| {
            let mut collection = collection();
            edit(&mut collection);
            !holds(&collection)
        };
        assert!(broken(|c| drop(c.by_id.insert(range(3, b"x", 1), ()))), "one more by id");
        assert!(broken(|c| drop(c.by_id.insert(range(2, b"m", 2), ()))), "another record");
        assert!(broken(|c| drop(c.by_id.remove(RangeId(2)))), "one less by id");
        assert!(broken(|c| drop(c.by_lower.remove(Place::Min))), "one less by key");
        let moved = |c: &mut Collection| {
            drop(c.by_lower.remove(Place::Min));
            drop(c.by_lower.insert(range(1, b"c", 1), noted(&range(1, b"c", 1))));
        };
        assert!(broken(moved), "under another key");
        let renoted = |c: &mut Collection, route: Route| {
            let there = c.get(RangeId(2)).unwrap().clone();
            drop(c.by_lower.insert(there, route));
        };
        assert!(broken(|c| drop(c.put(range(2, b"m", 1), 8))), "another owner's number");
        let mut early = collection();
        let mut ends = (*range(2, b"m", 1)).clone();
        ends.bounds = Bounds::new(Bound::at(b"m").unwrap(), Bound::at(b"x").unwrap()).unwrap();
        renoted(&mut early, Route::new(&ends, 7));
        assert!(!holds(&early), "another end");
        let mut same = collection();
        renoted(&mut same, noted(&range(2, b"m", 1)));
        assert!(holds(&same));
        assert!(!collection().is_consistent(|_| None), "an owner without a number");
    }

    /// Keys that begin like an end are compared whole, others are not.
    #[test]
    fn what_covers_a_key_is_found_by_its_first_bytes_or_the_whole_key() {
        let mut there = collection();
        there.retire(RangeId(1), None);
        there.retire(RangeId(2), None);
        let of = |id, lower: &[u8], upper: &[u8]| {
            let bounds = Bounds::new(Bound::at(lower).unwrap(), Bound::at(upper).unwrap()).unwrap();
            hashed(Range { bounds, ..(*range(id, b"", 1)).clone() })
        };
        there.put(of(3, b"bbbbbbbb-3", b"bbbbbbbb-6"), 30);
        there.put(of(4, b"bbbbbbbb-7", b"dddddddd-4"), 40);
        there.put(of(5, b"e", b"f"), 50);
        for (key, owner) in [
            (&b"a"[..], None),
            (b"bbbbbbbb", None),
            (b"bbbbbbbb-2", None),
            (b"bbbbbbbb-3", Some((3, 30))),
            (b"bbbbbbbb-5", Some((3, 30))),
            (b"bbbbbbbb-6", None),
            (b"bbbbbbbb-7", Some((4, 40))),
            (b"cc", Some((4, 40))),
            (b"dddddddd-3", Some((4, 40))),
            (b"dddddddd-4", None),
            (b"dddddddda", None),
            (b"e", Some((5, 50))),
            (b"e\xff", Some((5, 50))),
            (b"f", None),
        ] {
            let found = there.locate(key).map(|range| range.id.0).zip(there.owner_of(key));
            assert_eq!(there.locate(key).is_some(), there.owner_of(key).is_some());
            assert_eq!(found, owner, "{}", key.escape_ascii());
        }
    }
}
