//! One collection's ranges, by id and by key.

use crate::bounds::{Bounds, Mode, slot_key, slot_of};
use crate::cow::CowMap;
use crate::id::RangeId;
use crate::order::{ById, ByLower, Place};
use crate::range::{CollectionSpec, Range};
use crate::tree::Tree;
use std::sync::Arc;

/// A collection and its ranges. Both indexes hold the same records.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) spec: CollectionSpec,
    by_id: Tree<ById>,
    by_lower: Tree<ByLower>,
    retired: CowMap<RangeId, ()>,
}

impl Collection {
    pub(crate) fn new(spec: CollectionSpec) -> Self {
        Self { spec, by_id: Tree::default(), by_lower: Tree::default(), retired: CowMap::default() }
    }

    pub(crate) fn get(&self, id: RangeId) -> Option<&Arc<Range>> {
        self.by_id.get(id)
    }

    pub(crate) fn is_retired(&self, id: RangeId) -> bool {
        self.retired.get(&id).is_some()
    }

    /// The range that covers `key`.
    pub(crate) fn locate(&self, key: &[u8]) -> Option<&Arc<Range>> {
        match self.spec.mode {
            Mode::Ordered => self.at(key),
            Mode::Hash => self.at(&slot_key(slot_of(key))),
        }
    }

    /// The range that covers `key` as ranges are bounded: a slot's key in a hashed collection.
    fn at(&self, key: &[u8]) -> Option<&Arc<Range>> {
        let range = self.by_lower.floor(Place::Key(key))?;
        range.bounds.contains(key).then_some(range)
    }

    /// The last range that begins at or below the lower end of `bounds`, and the next one.
    fn neighbours(&self, bounds: &Bounds) -> impl Iterator<Item = &Arc<Range>> {
        let lower = bounds.lower().into();
        self.by_lower.floor(lower).into_iter().chain(self.by_lower.iter_above(Some(lower)).next())
    }

    /// The first range, in key order, that shares keys with `bounds`.
    pub(crate) fn overlapping(&self, bounds: &Bounds) -> Option<&Arc<Range>> {
        self.neighbours(bounds).find(|range| range.bounds.overlaps(bounds))
    }

    /// Whether `range` is new and shares no keys with any other. In order, they need no search.
    pub(crate) fn has_room_for(&self, range: &Range) -> bool {
        let new = self.by_id.last().is_none_or(|last| last.id < range.id) || self.get(range.id).is_none();
        let after = self.by_lower.last().is_none_or(|last| last.bounds.upper() <= range.bounds.lower());
        new && (after || self.overlapping(&range.bounds).is_none())
    }

    /// Lets a new range have its keys in common with its neighbours: a long one takes memory of its own.
    pub(crate) fn share_keys(&self, range: &mut Range) {
        if range.bounds.has_long_key() && self.get(range.id).is_none() {
            let mut bounds = range.bounds.clone();
            self.neighbours(&range.bounds).for_each(|other| bounds.share_keys(&other.bounds));
            range.bounds = bounds;
        }
    }

    pub(crate) fn by_key(&self) -> impl Iterator<Item = &Arc<Range>> {
        self.by_lower.iter()
    }

    pub(crate) fn by_id_above(&self, id: Option<RangeId>) -> impl Iterator<Item = &Arc<Range>> {
        self.by_id.iter_above(id)
    }

    pub(crate) fn retired_above(&self, id: Option<RangeId>) -> impl Iterator<Item = RangeId> {
        self.retired.iter_above(id.as_ref()).map(|(id, ())| *id)
    }

    /// Whether both indexes hold the same records, and find each.
    pub(crate) fn is_consistent(&self) -> bool {
        let same = |range: &Arc<Range>| {
            let found = [self.by_id.get(range.id), self.by_lower.get(range.bounds.lower().into())];
            found.into_iter().all(|found| found.is_some_and(|found| Arc::ptr_eq(found, range)))
        };
        let whole = self.by_lower.len() == self.by_id.len() && self.by_lower.iter().count() == self.by_id.len();
        whole && self.by_lower.iter().all(same)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn put(&mut self, range: Arc<Range>) -> Option<Arc<Range>> {
        let was = self.by_id.insert(range.clone());
        if let Some(was) = was.as_ref().filter(|was| was.bounds.lower() != range.bounds.lower()) {
            self.by_lower.remove(was.bounds.lower().into());
        }
        self.by_lower.insert(range);
        was
    }

    /// Takes a range away, so that its id is never used again.
    pub(crate) fn retire(&mut self, id: RangeId) -> Option<Arc<Range>> {
        let was = self.by_id.remove(id)?;
        self.by_lower.remove(was.bounds.lower().into());
        self.retired.insert(id, ());
        Some(was)
    }

    pub(crate) fn note_retired(&mut self, id: RangeId) {
        self.retired.insert(id, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bound;
    use crate::id::{CollectionName, Epoch, GroupName, Version};
    use crate::range::Copies;

    fn range(id: u64, lower: &[u8], version: u64) -> Arc<Range> {
        Arc::new(Range {
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
        collection.put(range(1, b"", 1));
        collection.put(range(2, b"m", 1));
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
            there.retire(RangeId(1));
            there.retire(RangeId(2));
            for at in order {
                let copy = |bound: &Bound| match bound {
                    Bound::Key(key) => Bound::at(key.as_bytes()).unwrap(),
                    Bound::Min | Bound::Max => unreachable!(),
                };
                let bounds = Bounds::new(copy(&keys[at - 1]), copy(&keys[at])).unwrap();
                let mut new = Range { bounds, ..(*range(at as u64 + 10, b"", 1)).clone() };
                there.share_keys(&mut new);
                there.put(Arc::new(new));
            }
            let ranges: Vec<_> = there.by_key().collect();
            assert_eq!(ranges.len(), 3);
            for pair in ranges.windows(2) {
                assert_eq!(bytes(pair[0].bounds.upper()), bytes(pair[1].bounds.lower()), "made in order {order:?}");
            }
        }
    }

    #[test]
    fn there_is_room_for_new_ids_and_free_keys_only() {
        let mut there = collection();
        there.retire(RangeId(1));
        there.retire(RangeId(2));
        let of = |id, lower: &[u8], upper: &[u8]| {
            let bounds = Bounds::new(Bound::at(lower).unwrap(), Bound::at(upper).unwrap()).unwrap();
            Range { bounds, ..(*range(id, b"", 1)).clone() }
        };
        there.put(Arc::new(of(5, b"c", b"f")));
        there.put(Arc::new(of(3, b"k", b"m")));
        for (range, room) in [
            (of(6, b"m", b"n"), true),
            (of(6, b"l", b"n"), false),
            (of(4, b"m", b"n"), true),
            (of(5, b"m", b"n"), false),
            (of(3, b"m", b"n"), false),
            (of(6, b"f", b"k"), true),
            (of(6, b"f", b"l"), false),
            (of(6, b"a", b"z"), false),
            (of(6, b"e", b"k"), false),
            (of(2, b"a", b"c"), true),
        ] {
            assert_eq!(there.has_room_for(&range), room, "{} {}", range.id, range.bounds);
        }
    }

    #[test]
    fn both_indexes_hold_the_same_records() {
        assert!(collection().is_consistent());
        let broken = |edit: fn(&mut Collection)| {
            let mut collection = collection();
            edit(&mut collection);
            !collection.is_consistent()
        };
        assert!(broken(|c| drop(c.by_id.insert(range(3, b"x", 1)))), "one more by id");
        assert!(broken(|c| drop(c.by_id.insert(range(2, b"m", 2)))), "another record");
        assert!(broken(|c| drop(c.by_id.remove(RangeId(2)))), "one less by id");
        assert!(broken(|c| drop(c.by_lower.remove(Place::Min))), "one less by key");
        let moved = |c: &mut Collection| {
            drop(c.by_lower.remove(Place::Min));
            drop(c.by_lower.insert(range(1, b"c", 1)));
        };
        assert!(broken(moved), "under another key");
    }
}
