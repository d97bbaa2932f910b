//! An ordered map that is cheap to capture while it goes on changing.
//!
//! Sorted segments behind `Arc`s under one sorted list of their first keys. A
//! clone copies that list; the first change of a segment after a clone copies
//! that segment alone. Lookups touch the list and one segment.
//!
//! Invariants: no segment is empty; `firsts` holds each segment's first key.

use std::cmp::Ordering;
use std::sync::Arc;

const SEGMENT_LEN_MAX: usize = 128;
const SEGMENT_LEN_MIN: usize = SEGMENT_LEN_MAX / 4;

#[derive(Debug, Clone)]
pub(crate) struct CowMap<K, V> {
    firsts: Vec<K>,
    segments: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

impl<K, V> Default for CowMap<K, V> {
    fn default() -> Self {
        Self { firsts: Vec::new(), segments: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> CowMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (found, value) = self.floor_by(|k| k.cmp(key))?;
        (found == key).then_some(value)
    }

    /// The last entry at or below a key, given how each key compares with it.
    pub(crate) fn floor_by(&self, cmp: impl Fn(&K) -> Ordering) -> Option<(&K, &V)> {
        let at = self.firsts.partition_point(|k| cmp(k).is_le()).checked_sub(1)?;
        let segment = self.segments.get(at)?;
        let (key, value) = segment.get(segment.partition_point(|(k, _)| cmp(k).is_le()).checked_sub(1)?)?;
        Some((key, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.segments.iter().flat_map(|segment| segment.iter().map(|(k, v)| (k, v)))
    }

    /// The entries above `key`; all of them if there is none.
    pub(crate) fn iter_above<'a>(&'a self, key: Option<&K>) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let at = key.map_or(0, |key| self.firsts.partition_point(|k| k <= key).saturating_sub(1));
        let skip = key.map_or(0, |key| self.segments.get(at).map_or(0, |s| s.partition_point(|(k, _)| k <= key)));
        self.segments.iter().skip(at).flat_map(|segment| segment.iter().map(|(k, v)| (k, v))).skip(skip)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.firsts.partition_point(|k| *k <= key).saturating_sub(1);
        let segments = self.segments.len();
        let Some(segment) = self.segments.get_mut(at) else {
            self.firsts.push(key.clone());
            self.segments.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let segment = Arc::make_mut(segment);
        let slot = match segment.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(slot) => return segment.get_mut(slot).map(|(_, old)| std::mem::replace(old, value)),
            Err(slot) => slot,
        };
        if let (0, Some(first)) = (slot, self.firsts.get_mut(at)) {
            *first = key.clone();
        }
        segment.insert(slot, (key, value));
        self.len += 1;
        if segment.len() > SEGMENT_LEN_MAX {
            // A map that grows at its end keeps full segments behind it.
            let grows = slot + 1 == segment.len() && at + 1 == segments;
            let cut = if grows { SEGMENT_LEN_MAX } else { SEGMENT_LEN_MAX / 2 };
            let upper = segment.split_off(cut);
            if let Some((first, _)) = upper.first() {
                self.firsts.insert(at + 1, first.clone());
                self.segments.insert(at + 1, Arc::new(upper));
            }
        }
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.firsts.partition_point(|k| k <= key).checked_sub(1)?;
        let shared = self.segments.get_mut(at)?;
        let slot = shared.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        let segment = Arc::make_mut(shared);
        let (_, value) = segment.remove(slot);
        self.len -= 1;
        match segment.first() {
            None => {
                self.firsts.remove(at);
                self.segments.remove(at);
            }
            Some((first, _)) => {
                if let (0, Some(was)) = (slot, self.firsts.get_mut(at)) {
                    *was = first.clone();
                }
                self.absorb_next(at);
            }
        }
        Some(value)
    }

    /// Joins a segment that has become short with the next one, if both fit in one.
    fn absorb_next(&mut self, at: usize) {
        let [Some(own), Some(next)] = [self.segments.get(at), self.segments.get(at + 1)] else { return };
        if own.len() >= SEGMENT_LEN_MIN || own.len() + next.len() > SEGMENT_LEN_MAX {
            return;
        }
        self.firsts.remove(at + 1);
        let next = self.segments.remove(at + 1);
        if let Some(own) = self.segments.get_mut(at) {
            Arc::make_mut(own).extend(next.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_btree_map(steps in prop::collection::vec((any::<bool>(), 0u16..600, any::<u8>()), 0..1500)) {
            let (mut map, mut model) = (CowMap::default(), BTreeMap::new());
            let mut captured = (map.clone(), model.clone());
            for (step, (insert, key, value)) in steps.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.floor_by(|k| k.cmp(&key)), model.range(..=key).next_back());
                if step % 200 == 0 {
                    prop_assert!(captured.0.iter().eq(captured.1.iter()), "a capture must not change");
                    prop_assert!(map.iter_above(Some(&key)).eq(model.range(key + 1..)));
                    captured = (map.clone(), model.clone());
                }
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.iter_above(None).eq(model.iter()));
            prop_assert!(map.segments.iter().zip(&map.firsts).all(|(s, f)| s.first().is_some_and(|(k, _)| k == f)));
        }
    }

    fn lens(map: &CowMap<u32, u32>) -> Vec<usize> {
        map.segments.iter().map(|segment| segment.len()).collect()
    }

    fn of(keys: impl Iterator<Item = u32>) -> CowMap<u32, u32> {
        let mut map = CowMap::default();
        keys.for_each(|key| assert_eq!(map.insert(key, key), None));
        map
    }

    #[test]
    fn a_segment_is_cut_in_half_unless_the_map_grows_at_its_end() {
        assert_eq!(lens(&of(0..3 * 128 + 1)), [128, 128, 128, 1]);
        assert_eq!(lens(&of((0..128).rev())), [128]);
        assert_eq!(lens(&of((0..129).rev())), [64, 65]);
        let falling = lens(&of((0..128).chain((200..1200).rev())));
        assert!(falling.iter().rev().skip(1).all(|len| *len >= SEGMENT_LEN_MIN), "{falling:?}");
    }

    #[test]
    fn a_short_segment_takes_in_the_next_if_both_fit() {
        let mut map = of(0..256);
        let mut take = |keys: std::ops::Range<u32>| {
            keys.for_each(|key| assert_eq!(map.remove(&key), Some(key)));
            assert!((0..256).filter(|key| map.get(key).is_some()).eq(map.iter().map(|(key, _)| *key)));
            lens(&map)
        };
        assert_eq!(take(128..158), [128, 98]);
        assert_eq!(take(0..96), [32, 98], "long enough");
        assert_eq!(take(96..97), [31, 98], "129 do not fit");
        assert_eq!(take(97..98), [128]);

        let mut map = of(0..130);
        (0..96).for_each(|key| assert_eq!(map.remove(&key), Some(key)));
        assert_eq!(lens(&map), [32, 2]);
        assert_eq!(map.remove(&100), Some(100));
        assert_eq!(lens(&map), [33]);
    }
}
