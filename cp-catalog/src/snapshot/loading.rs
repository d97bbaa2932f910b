//! The ranges of one collection being restored: indexed once all of them are there.

use crate::codec::{DecodeError, malformed};
use crate::collection::Collection;
use crate::hashed::HashedRange;
use crate::order::{ByLower, Place};
use crate::range::{CollectionSpec, Range};
use crate::tree::Order;

/// A collection whose ranges come one by one, in whichever order.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) collection: Collection,
    /// With the numbers of their owners.
    ranges: Vec<(HashedRange, u32)>,
    ids_rise: bool,
    keys_rise: bool,
}

impl Loading {
    pub(super) fn new(spec: CollectionSpec) -> Self {
        Self { collection: Collection::new(spec), ranges: Vec::new(), ids_rise: true, keys_rise: true }
    }

    pub(super) fn push(&mut self, mut range: HashedRange, owner: u32) {
        if let Some((last, _)) = self.ranges.last() {
            self.ids_rise &= last.id < range.id;
            self.keys_rise &= last.bounds.upper() <= range.bounds.lower();
            range.share_keys(&last.bounds);
        }
        self.ranges.push((range, owner));
    }

    /// The collection, if no id came twice or is also retired, and no ranges overlap.
    pub(super) fn finish(self) -> Result<Collection, DecodeError> {
        let Self { mut collection, mut ranges, ids_rise, keys_rise } = self;
        let by_lower = if keys_rise { ranges.clone() } else { in_key_order(&mut ranges)? };
        if !ids_rise {
            ranges.sort_by_cached_key(|(range, _)| range.id);
            once(ranges.is_sorted_by(|(one, _), (next, _)| one.id < next.id))?;
        }
        collection.load(ranges, by_lower);
        once(collection.retired_above(None).all(|(id, _)| collection.get(id).is_none()))?;
        Ok(collection)
    }
}

/// The ranges in the order of their keys, once neighbours have their long keys in common.
fn in_key_order(ranges: &mut [(HashedRange, u32)]) -> Result<Vec<(HashedRange, u32)>, DecodeError> {
    let place = |range: &Range| ByLower::prefix(Place::from(range.bounds.lower()));
    let mut order: Vec<_> = ranges.iter().enumerate().map(|(at, (range, _))| (place(range), at)).collect();
    let bounds = |ranges: &[(HashedRange, u32)], at: usize| ranges.get(at).map(|(range, _)| range.bounds.clone());
    order.sort_unstable_by(|(one, a), (other, b)| {
        one.cmp(other).then_with(|| {
            let lower = |at: usize| ranges.get(at).map(|(range, _)| range.bounds.lower());
            lower(*a).cmp(&lower(*b))
        })
    });
    for pair in order.windows(2) {
        let [(_, own), (_, next)] = pair else { continue };
        let (Some(own), Some((next, _))) = (bounds(ranges, *own), ranges.get_mut(*next)) else { continue };
        once(own.upper() <= next.bounds.lower())?;
        next.share_keys(&own);
    }
    Ok(order.into_iter().filter_map(|(_, at)| ranges.get(at).cloned()).collect())
}

/// A record comes once: the digest adds up what is read, and must speak for the state.
pub(super) fn once(new: bool) -> Result<(), DecodeError> {
    if new { Ok(()) } else { Err(malformed("a record that comes once")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Bound, Bounds, Key, Mode};
    use crate::id::{CollectionName, GroupName};
    use proptest::prelude::*;

    /// Key `n` of the ranges below; the ones above 100 share their first 8 bytes.
    fn bound(n: u8, long: bool) -> Bound {
        let text = if n < 100 { format!("{n:03}") } else { format!("100 and so on {n}") };
        let padded = if long { format!("{text:-<40}") } else { text };
        Bound::Key(Key::new(padded.as_bytes()).unwrap())
    }

    fn range(id: u64, lower: Bound, upper: Bound) -> HashedRange {
        let range = Range::plain(id, Bounds::new(lower, upper).unwrap());
        HashedRange::new(&CollectionName::new("books").unwrap(), range)
    }

    fn loading() -> Loading {
        let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
        Loading::new(CollectionSpec { name, group, mode: Mode::Ordered })
    }

    proptest! {
        #[test]
        fn ranges_in_any_order_are_indexed_as_if_they_had_been_put_in(
            order in Just((0u8..200).collect::<Vec<_>>()).prop_shuffle(),
            count in 0usize..200,
            by_key in any::<bool>(),
            by_id in any::<bool>(),
            long in any::<bool>(),
        ) {
            let mut order = order;
            order.truncate(count);
            if by_key {
                order.sort_unstable();
            }
            let mut loading = loading();
            let mut model = Collection::new(loading.collection.spec.clone());
            for (at, n) in order.iter().enumerate() {
                let id = if by_id { at as u64 } else { u64::from(*n) * 37 % 211 };
                model.put(range(id, bound(*n, long), bound(n + 1, long)), 7);
                loading.push(range(id, bound(*n, long), bound(n + 1, long)), 7);
            }
            let loaded = loading.finish().unwrap();
            prop_assert!(loaded.is_consistent(|_| Some(7)) && model.is_consistent(|_| Some(7)));
            prop_assert!(loaded.by_key().eq(model.by_key()));
            prop_assert!(loaded.by_id_above(None).eq(model.by_id_above(None)));
            let ranges: Vec<_> = loaded.by_key().collect();
            let bytes = |bound: &Bound| match bound {
                Bound::Key(key) => key.as_bytes().as_ptr(),
                Bound::Min | Bound::Max => unreachable!(),
            };
            for pair in ranges.windows(2).filter(|pair| long && pair[0].bounds.upper() == pair[1].bounds.lower()) {
                prop_assert_eq!(bytes(pair[0].bounds.upper()), bytes(pair[1].bounds.lower()), "a key is kept twice");
            }
        }
    }

    #[test]
    fn an_id_that_comes_twice_and_keys_that_overlap_are_found_in_any_order() {
        let of = |ranges: &[(u64, u8, u8)]| {
            let mut loading = loading();
            for (id, lower, upper) in ranges {
                loading.push(range(*id, bound(*lower, false), bound(*upper, false)), 7);
            }
            loading.finish().is_ok()
        };
        for (ranges, whole) in [
            (&[(1, 1, 2), (2, 2, 3), (3, 5, 6)][..], true),
            (&[(3, 5, 6), (1, 1, 2), (2, 2, 5)], true),
            (&[(1, 1, 2), (1, 2, 3)], false),
            (&[(1, 5, 6), (2, 1, 2), (1, 2, 3)], false),
            (&[(1, 1, 3), (2, 2, 4)], false),
            (&[(1, 2, 4), (2, 1, 3)], false),
            (&[(1, 1, 9), (2, 12, 13), (3, 3, 4)], false),
            (&[(1, 101, 103), (2, 103, 104)], true),
            (&[(1, 101, 103), (2, 102, 104)], false),
            (&[(1, 102, 104), (2, 101, 103)], false),
        ] {
            assert_eq!(of(ranges), whole, "{ranges:?}");
        }
    }
}
