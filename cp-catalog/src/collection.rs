//! One collection's ranges, by id and by key.

use crate::bounds::{Bound, Mode, slot_key, slot_of};
use crate::cow::CowMap;
use crate::id::RangeId;
use crate::range::{CollectionSpec, Range};
use std::cmp::Ordering;
use std::sync::Arc;

/// A collection and its ranges. Both indexes hold the same records.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) spec: CollectionSpec,
    by_id: CowMap<RangeId, Arc<Range>>,
    by_lower: CowMap<Bound, Arc<Range>>,
    retired: CowMap<RangeId, ()>,
}

impl Collection {
    pub(crate) fn new(spec: CollectionSpec) -> Self {
        Self { spec, by_id: CowMap::default(), by_lower: CowMap::default(), retired: CowMap::default() }
    }

    pub(crate) fn get(&self, id: RangeId) -> Option<&Arc<Range>> {
        self.by_id.get(&id)
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
        let (_, range) = self.by_lower.floor_by(|lower| match lower {
            Bound::Min => Ordering::Less,
            Bound::Key(lower) => lower.as_bytes().cmp(key),
            Bound::Max => Ordering::Greater,
        })?;
        range.bounds.contains(key).then_some(range)
    }

    /// The first range, in key order, that shares keys with `bounds`.
    pub(crate) fn overlapping(&self, bounds: &crate::bounds::Bounds) -> Option<&Arc<Range>> {
        let below = self.by_lower.floor_by(|lower| lower.cmp(bounds.lower())).map(|(_, range)| range);
        let above = self.by_lower.iter_above(Some(bounds.lower())).next().map(|(_, range)| range);
        below.into_iter().chain(above).find(|range| range.bounds.overlaps(bounds))
    }

    pub(crate) fn by_key(&self) -> impl Iterator<Item = &Arc<Range>> {
        self.by_lower.iter().map(|(_, range)| range)
    }

    pub(crate) fn by_id_above(&self, id: Option<RangeId>) -> impl Iterator<Item = &Arc<Range>> {
        self.by_id.iter_above(id.as_ref()).map(|(_, range)| range)
    }

    pub(crate) fn retired_above(&self, id: Option<RangeId>) -> impl Iterator<Item = RangeId> {
        self.retired.iter_above(id.as_ref()).map(|(id, ())| *id)
    }

    /// Whether both indexes hold the same records, each under its own lower bound.
    pub(crate) fn is_consistent(&self) -> bool {
        let same = |(lower, range): (&Bound, &Arc<Range>)| {
            lower == range.bounds.lower() && self.by_id.get(&range.id).is_some_and(|other| Arc::ptr_eq(other, range))
        };
        self.by_lower.len() == self.by_id.len() && self.by_lower.iter().all(same)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn put(&mut self, range: Arc<Range>) -> Option<Arc<Range>> {
        let was = self.by_id.insert(range.id, range.clone());
        if let Some(was) = was.as_ref().filter(|was| was.bounds.lower() != range.bounds.lower()) {
            self.by_lower.remove(was.bounds.lower());
        }
        self.by_lower.insert(range.bounds.lower().clone(), range);
        was
    }

    /// Takes a range away, so that its id is never used again.
    pub(crate) fn retire(&mut self, id: RangeId) -> Option<Arc<Range>> {
        let was = self.by_id.remove(&id)?;
        self.by_lower.remove(was.bounds.lower());
        self.retired.insert(id, ());
        Some(was)
    }

    pub(crate) fn note_retired(&mut self, id: RangeId) {
        self.retired.insert(id, ());
    }
}
