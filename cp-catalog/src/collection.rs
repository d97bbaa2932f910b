//! One collection's ranges, by id and by key.

use crate::bounds::{Bound, Bounds, Mode, slot_key, slot_of};
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
        self.covering(key, |found| found.item())
    }

    /// The number of the owner of the range that covers `key`.
    pub(crate) fn owner_of(&self, key: &[u8]) -> Option<u32> {
        self.covering(key, |found| Some(found.note().owner()))
    }

    /// What `read` takes of the range that covers `key`. The range itself is read only if there may
    /// be keys between it and the next one, or it begins with the key's first bytes.
    fn covering<'a, R>(&'a self, key: &[u8], read: impl Fn(Found<'a, ByLower>) -> Option<R>) -> Option<R> {
        let slot = match self.spec.mode {
            Mode::Ordered => None,
            Mode::Hash => Some(slot_key(slot_of(key))),
        };
        let key = slot.as_ref().map_or(key, |slot| slot);
        let found = self.by_lower.floor(Place::Key(key))?;
        let covers = found.note().is_joined() || found.item()?.bounds.contains(key);
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
        let mut next = self.by_lower.iter().skip(1);
        let mut same = |range: &HashedRange| {
            let by_id = self.by_id.get(range.id).is_some_and(|found| found.is(range));
            let end = next.next().map_or(&Bound::Max, |next| next.bounds.lower());
            let by_lower = self.by_lower.floor(range.bounds.lower().into());
            let by_lower = by_lower.filter(|found| found.item().is_some_and(|found| found.is(range)));
            let noted = by_lower.map(|found| found.note()).filter(|noted| number(range) == Some(noted.owner()));
            // What overlaps the next one is found out elsewhere.
            let joins = |noted: Route| match range.bounds.upper().cmp(end) {
                Ordering::Less => !noted.is_joined(),
                Ordering::Equal => noted.is_joined(),
                Ordering::Greater => true,
            };
            by_id && noted.is_some_and(joins)
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
mod tests {
    use super::*;
    use crate::bounds::Bound;
    use crate::id::{CollectionName, GroupName, Version};
    use proptest::prelude::*;

    fn hashed(range: Range) -> HashedRange {
        HashedRange::new(&CollectionName::new("books").unwrap(), range)
    }

    fn range(id: u64, lower: &[u8], version: u64) -> HashedRange {
        let bounds = Bounds::new(Bound::at(lower).unwrap(), Bound::Max).unwrap();
        hashed(Range { version: Version(version), ..Range::plain(id, bounds) })
    }

    fn collection() -> Collection {
        let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
        let mut collection = Collection::new(CollectionSpec { name, group, mode: Mode::Ordered });
        let bounds = Bounds::new(Bound::Min, Bound::at(b"m").unwrap()).unwrap();
        collection.put(hashed(Range { bounds, ..(*range(1, b"", 1)).clone() }), 7);
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
            drop(c.by_lower.insert(range(1, b"c", 1), Route::new(7, false)));
        };
        assert!(broken(moved), "under another key");
        fn renoted(c: &mut Collection, route: Route) {
            let there = c.get(RangeId(2)).unwrap().clone();
            drop(c.by_lower.insert(there, route));
        }
        assert!(broken(|c| drop(c.put(range(2, b"m", 1), 8))), "another owner's number");
        assert!(broken(|c| renoted(c, Route::new(7, false))), "keys above it that are none's");
        let mut same = collection();
        renoted(&mut same, Route::new(7, true));
        assert!(holds(&same));
        assert!(!collection().is_consistent(|_| None), "an owner without a number");
    }

    proptest! {
        /// Ranges come, go, and change either end, in an order in which they never overlap.
        #[test]
        fn whether_ranges_are_joined_is_noted_as_they_change(
            steps in prop::collection::vec((0u8..4, 0u8..24, 1u8..5), 0..120),
            long in any::<bool>(),
        ) {
            let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
            let mut there = Collection::new(CollectionSpec { name, group, mode: Mode::Ordered });
            let key = |n: u8| if long { format!("a long beginning of keys {n:03}") } else { format!("{n:03}") };
            let bound = |n: u8| match n {
                0 => Bound::Min,
                24.. => Bound::Max,
                n => Bound::at(key(n).as_bytes()).unwrap(),
            };
            // By number: from where to where, and the owner.
            let mut model = std::collections::BTreeMap::<u64, (u8, u8, u32)>::new();
            for (step, (what, from, len)) in (1..).zip(steps) {
                let free = |model: &std::collections::BTreeMap<u64, (u8, u8, u32)>, own: u64, from: u8, to: u8| {
                    model.iter().all(|(id, (lower, upper, _))| *id == own || to <= *lower || *upper <= from)
                };
                let one = model.keys().copied().nth(usize::from(from) % model.len().max(1));
                let (id, (lower, upper)) = match (what, one) {
                    (0, Some(id)) => {
                        there.retire(RangeId(id), None);
                        model.remove(&id);
                        prop_assert!(there.is_consistent(|range| model.get(&range.id.0).map(|range| range.2)));
                        continue;
                    }
                    (1, Some(id)) => (id, (from, (from + len).min(24))),
                    (2, Some(id)) => (id, (model[&id].0, model[&id].1)),
                    _ => (step, (from, (from + len).min(24))),
                };
                if lower < upper && free(&model, id, lower, upper) {
                    let bounds = Bounds::new(bound(lower), bound(upper)).unwrap();
                    there.put(hashed(Range { bounds, ..(*range(id, b"", step)).clone() }), step as u32);
                    model.insert(id, (lower, upper, step as u32));
                }
                prop_assert!(there.is_consistent(|range| model.get(&range.id.0).map(|range| range.2)));
                for n in 0..24 {
                    let covers = model.values().find(|(lower, upper, _)| *lower <= n && n < *upper);
                    prop_assert_eq!(there.owner_of(key(n).as_bytes()), covers.map(|range| range.2));
                }
            }
        }
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
