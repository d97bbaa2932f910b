//! The orders in which ranges and what has a name are kept.

use crate::bounds::Bound;
use crate::collection::Collection;
use crate::hash::NameHasher;
use crate::hashed::HashedRange;
use crate::id::RangeId;
use crate::range::Range;
use crate::tree::Order;
use std::cmp::Ordering;
use std::fmt::Debug;
use std::hash::Hasher;
use std::marker::PhantomData;
use std::sync::Arc;

/// Ranges of one collection by number.
#[derive(Debug, Clone)]
pub(crate) enum ById {}

impl Order for ById {
    type Item = HashedRange;
    type Note = ();
    type Key = RangeId;
    type Target<'a> = RangeId;

    const WHOLE: bool = true;

    fn prefix(target: RangeId) -> u64 {
        target.0
    }

    fn compare(one: RangeId, other: RangeId) -> Ordering {
        one.cmp(&other)
    }

    fn of(range: &HashedRange) -> RangeId {
        range.id
    }

    fn key(target: RangeId) -> RangeId {
        target
    }

    fn target(key: &RangeId) -> RangeId {
        *key
    }
}

/// Ranges of one collection by where they begin.
#[derive(Debug, Clone)]
pub(crate) enum ByLower {}

/// A place in a collection's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place<'a> {
    /// Below every key.
    Min,
    /// At this key.
    Key(&'a [u8]),
    /// Above every key.
    Max,
}

impl<'a> From<&'a Bound> for Place<'a> {
    fn from(bound: &'a Bound) -> Self {
        match bound {
            Bound::Min => Self::Min,
            Bound::Key(key) => Self::Key(key.as_bytes()),
            Bound::Max => Self::Max,
        }
    }
}

/// What most lookups need of a range: where it ends, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Route {
    /// The prefix of its upper end, in two halves: so it takes no more room than it needs.
    end: [u32; 2],
    /// The number of its owner.
    pub(crate) owner: u32,
}

impl Route {
    pub(crate) fn new(range: &Range, owner: u32) -> Self {
        let end = ByLower::prefix(range.bounds.upper().into());
        Self { end: [(end >> 32) as u32, end as u32], owner }
    }

    /// Whether it is certain that `place` is below the end; if not, it may still be.
    pub(crate) fn ends_above(&self, place: Place<'_>) -> bool {
        let [high, low] = self.end.map(u64::from);
        ByLower::prefix(place) < (high << 32 | low)
    }
}

impl Order for ByLower {
    type Item = HashedRange;
    type Note = Route;
    type Key = Bound;
    type Target<'a> = Place<'a>;

    /// The key's first 8 bytes, as far as it has them.
    fn prefix(target: Place<'_>) -> u64 {
        match target {
            Place::Min => 0,
            Place::Key(key) => match key.first_chunk::<8>() {
                Some(first) => u64::from_be_bytes(*first),
                None => key.iter().zip((0..8).rev()).fold(0, |sum, (byte, at)| sum | (u64::from(*byte) << (8 * at))),
            },
            Place::Max => u64::MAX,
        }
    }

    fn compare(one: Place<'_>, other: Place<'_>) -> Ordering {
        one.cmp(&other)
    }

    fn of(range: &HashedRange) -> Place<'_> {
        range.bounds.lower().into()
    }

    fn key(target: Place<'_>) -> Bound {
        match target {
            Place::Min => Bound::Min,
            // It was a bound's, so that it is one.
            Place::Key(key) => Bound::at(key).unwrap_or(Bound::Min),
            Place::Max => Bound::Max,
        }
    }

    fn target(key: &Bound) -> Place<'_> {
        key.into()
    }
}

/// What has a name that no other has.
pub(crate) trait Named: Debug + Clone {
    fn name(&self) -> &str;
}

impl Named for Arc<Collection> {
    fn name(&self) -> &str {
        self.spec.name.as_str()
    }
}

/// Things by a hash of their names: many names begin alike.
#[derive(Debug, Clone)]
pub(crate) struct ByName<T>(PhantomData<T>);

/// A name and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hashed<'a> {
    hash: u64,
    name: &'a str,
}

impl<'a> From<&'a str> for Hashed<'a> {
    fn from(name: &'a str) -> Self {
        let mut hasher = NameHasher::default();
        hasher.write(name.as_bytes());
        Self { hash: hasher.finish(), name }
    }
}

impl<T: Named> Order for ByName<T> {
    type Item = T;
    type Note = ();
    type Key = Box<str>;
    type Target<'a> = Hashed<'a>;

    fn prefix(target: Hashed<'_>) -> u64 {
        target.hash
    }

    fn compare(one: Hashed<'_>, other: Hashed<'_>) -> Ordering {
        one.cmp(&other)
    }

    fn of(item: &T) -> Hashed<'_> {
        item.name().into()
    }

    fn key(target: Hashed<'_>) -> Box<str> {
        target.name.into()
    }

    fn target(key: &Box<str>) -> Hashed<'_> {
        (**key).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(bytes: &[u8]) -> Place<'_> {
        match bytes {
            [] => Place::Min,
            [0xff, 0xff, 0xff, 0xff, 0xff] => Place::Max,
            key => Place::Key(key),
        }
    }

    proptest! {
        #[test]
        fn a_lower_prefix_is_a_lower_key(
            one in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), Just(0x61)], 0..12),
            other in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), Just(0x61)], 0..12),
        ) {
            let [one, other] = [&one, &other].map(|bytes| place(bytes));
            if one <= other {
                prop_assert!(ByLower::prefix(one) <= ByLower::prefix(other), "{:?} {:?}", one, other);
            }
            let ends = |end: u64| Route { end: [(end >> 32) as u32, end as u32], owner: 0 };
            prop_assert!(!ends(ByLower::prefix(other)).ends_above(one) || one < other, "{:?} {:?}", one, other);
            let kept = ByLower::key(one);
            prop_assert_eq!(ByLower::target(&kept), one);
        }
    }
}
