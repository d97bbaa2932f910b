//! The orders in which ranges and what has a name are kept.

use crate::bounds::Bound;
use crate::collection::Collection;
use crate::hash::NameHasher;
use crate::hashed::HashedRange;
use crate::id::RangeId;
use crate::tree::{Note, Order};
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

/// What most lookups need of a range: whose it is, and whether all keys up to the next range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Route {
    /// The number of the owner, doubled; odd if no key lies between the range and the next one.
    word: u32,
}

impl Route {
    pub(crate) fn new(owner: u32, joined: bool) -> Self {
        Self { word: owner << 1 | u32::from(joined) }
    }

    /// The number of its owner.
    pub(crate) fn owner(self) -> u32 {
        self.word >> 1
    }

    /// Whether it ends where the next one begins, or above all keys.
    pub(crate) fn is_joined(self) -> bool {
        self.word & 1 == 1
    }
}

impl Note for Route {
    fn bits(self) -> u32 {
        self.word
    }

    fn of_bits(word: u32) -> Self {
        Self { word }
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

/// A name, and its hash if that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    hash: Option<u64>,
    name: &'a str,
}

impl<'a> From<&'a str> for Hashed<'a> {
    fn from(name: &'a str) -> Self {
        Self { hash: Some(hash(name)), name }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = NameHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

impl<T: Named> Order for ByName<T> {
    type Item = T;
    type Note = ();
    type Key = Box<str>;
    type Target<'a> = Hashed<'a>;

    fn prefix(target: Hashed<'_>) -> u64 {
        target.hash.unwrap_or_else(|| hash(target.name))
    }

    /// Of equal names no hash is needed.
    fn compare(one: Hashed<'_>, other: Hashed<'_>) -> Ordering {
        if one.name == other.name {
            return Ordering::Equal;
        }
        (Self::prefix(one), one.name).cmp(&(Self::prefix(other), other.name))
    }

    fn of(item: &T) -> Hashed<'_> {
        Hashed { hash: None, name: item.name() }
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
            let kept = ByLower::key(one);
            prop_assert_eq!(ByLower::target(&kept), one);
        }
    }
}
