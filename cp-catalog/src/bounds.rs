//! Which keys a range covers: half-open bounds over byte strings.

mod key;

use crate::id::BadName;
pub use key::{KEY_LEN_MAX_BYTES, Key};
use std::fmt;

/// How a collection maps its keys to ranges; fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Ranges cover slots of a hash of the key; see [`slot_of`].
    Hash,
    /// Ranges cover the keys themselves, in byte order.
    Ordered,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::Ordered => "ordered",
        })
    }
}

/// How many slots a hashed collection has.
pub const SLOT_COUNT: u16 = 16_384;

/// The slot of `key` in a hashed collection: the first 8 bytes, big-endian, of
/// its BLAKE3 hash, modulo [`SLOT_COUNT`].
///
/// ```
/// assert_eq!(cp_catalog::slot_of(b"user:1"), cp_catalog::slot_of(b"user:1"));
/// assert!(cp_catalog::slot_of(b"user:1") < cp_catalog::SLOT_COUNT);
/// ```
pub fn slot_of(key: &[u8]) -> u16 {
    let hash = blake3::hash(key);
    let first = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
    (u64::from_be_bytes(first) % u64::from(SLOT_COUNT)) as u16
}

/// The range key of a slot: 2 big-endian bytes.
pub fn slot_key(slot: u16) -> [u8; 2] {
    slot.to_be_bytes()
}

/// One end of a range.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Below every key.
    Min,
    /// At this key.
    Key(Key),
    /// Above every key.
    Max,
}

impl Bound {
    /// The bound at `bytes`; [`Bound::Min`] if there are none.
    pub fn at(bytes: &[u8]) -> Result<Self, BadBounds> {
        if bytes.is_empty() { Ok(Self::Min) } else { Key::new(bytes).map(Self::Key) }
    }

    /// The bound below slot `slot` of a hashed collection.
    pub fn at_slot(slot: u16) -> Result<Self, BadBounds> {
        match slot {
            0 => Ok(Self::Min),
            1..SLOT_COUNT => Key::new(&slot_key(slot)).map(Self::Key),
            SLOT_COUNT => Ok(Self::Max),
            _ => Err(BadBounds::NotASlot),
        }
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("min"),
            Self::Key(key) => write!(f, "\"{key}\""),
            Self::Max => f.write_str("max"),
        }
    }
}

/// The keys from `lower`, inclusive, to `upper`, exclusive. Never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    lower: Bound,
    upper: Bound,
}

impl Bounds {
    /// Every key.
    pub const ALL: Self = Self { lower: Bound::Min, upper: Bound::Max };

    /// The keys from `lower` up to `upper`, or an error if there are none.
    pub fn new(lower: Bound, upper: Bound) -> Result<Self, BadBounds> {
        if lower < upper { Ok(Self { lower, upper }) } else { Err(BadBounds::Empty { lower, upper }) }
    }

    /// The slots from `from` up to `to`, exclusive, of a hashed collection.
    pub fn slots(from: u16, to: u16) -> Result<Self, BadBounds> {
        Self::new(Bound::at_slot(from)?, Bound::at_slot(to)?)
    }

    /// The first key that may be in.
    pub fn lower(&self) -> &Bound {
        &self.lower
    }

    /// The first key that is out.
    pub fn upper(&self) -> &Bound {
        &self.upper
    }

    /// Whether `key` (in a hashed collection: the slot's key) is in.
    pub fn contains(&self, key: &[u8]) -> bool {
        let above = match &self.lower {
            Bound::Min => true,
            Bound::Key(lower) => lower.as_bytes() <= key,
            Bound::Max => false,
        };
        above
            && match &self.upper {
                Bound::Min => false,
                Bound::Key(upper) => upper.as_bytes() > key,
                Bound::Max => true,
            }
    }

    /// Takes over a long key that `neighbour` has too, so that it is kept once.
    pub(crate) fn share_keys(&mut self, neighbour: &Self) {
        for own in [&mut self.lower, &mut self.upper] {
            let same = [&neighbour.upper, &neighbour.lower].into_iter().find(|other| *other == own);
            if let Some(same) = same {
                *own = same.clone();
            }
        }
    }

    /// Whether an end is a key that does not lie in place.
    pub(crate) fn has_long_key(&self) -> bool {
        [&self.lower, &self.upper].into_iter().any(|end| matches!(end, Bound::Key(key) if key.is_long()))
    }

    /// Whether any key is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.lower < other.upper && other.lower < self.upper
    }

    /// Whether both ends mean something in a collection of this mode: in a hashed
    /// one they are slots, and the outermost slots are written min and max.
    pub fn check(&self, mode: Mode) -> Result<(), BadBounds> {
        [&self.lower, &self.upper].into_iter().try_for_each(|bound| match bound {
            Bound::Key(key) => check_key(key, mode),
            Bound::Min | Bound::Max => Ok(()),
        })
    }
}

/// Whether `key` may bound a range of a collection of this mode.
pub fn check_key(key: &Key, mode: Mode) -> Result<(), BadBounds> {
    match (mode, <[u8; 2]>::try_from(key.as_bytes())) {
        (Mode::Ordered, _) => Ok(()),
        (Mode::Hash, Ok(bytes)) if (1..SLOT_COUNT).contains(&u16::from_be_bytes(bytes)) => Ok(()),
        (Mode::Hash, _) => Err(BadBounds::NotASlot),
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.lower, self.upper)
    }
}

/// Why bounds are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBounds {
    /// A key without bytes.
    #[error("an empty key bounds nothing; use min")]
    EmptyKey,
    /// A key that is too long.
    #[error("a key of {length} bytes cannot bound a range; use at most {KEY_LEN_MAX_BYTES}")]
    LongKey {
        /// Its length in bytes.
        length: usize,
    },
    /// Nothing lies between the ends.
    #[error("no key lies between {lower} and {upper}; put the lower bound first")]
    Empty {
        /// The lower end.
        lower: Bound,
        /// The upper end.
        upper: Bound,
    },
    /// Not a slot of a hashed collection.
    #[error("a bound in a hashed collection is min, max, or a slot from 1 to {} as 2 big-endian bytes", SLOT_COUNT - 1)]
    NotASlot,
}

/// Why a value of a command is refused before it becomes one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadValue {
    /// A name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Bounds.
    #[error(transparent)]
    Bounds(#[from] BadBounds),
    /// A text over its limit.
    #[error("{field} has {length} bytes; use at most {max}")]
    Long {
        /// Which.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// A text that must say something.
    #[error("{field} is empty or blank; give it a value")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A text that would not be printed as it is.
    #[error("{field} has the control character {character:?}; write it in one line of plain text")]
    Control {
        /// Which.
        field: &'static str,
        /// The first one in it.
        character: char,
    },
    /// A list over its limit.
    #[error("{field} lists {count}; use at most {max}")]
    Many {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_in_an_index_stays_small() {
        assert_eq!(size_of::<Bound>(), 24);
    }

    #[test]
    fn bounds_hold_their_lower_end_and_not_their_upper_end() {
        let bounds = Bounds::new(Bound::at(b"b").unwrap(), Bound::at(b"d").unwrap()).unwrap();
        let held = [&b"a"[..], b"b", b"b\0", b"c", b"czz", b"d", b"e"].map(|key| bounds.contains(key));
        assert_eq!(held, [false, true, true, true, true, false, false]);
        assert!(Bounds::ALL.contains(b"") && Bounds::ALL.contains(&[0xff; 40]));
        assert!(Bounds::new(Bound::at(b"b").unwrap(), Bound::at(b"b").unwrap()).is_err());
        assert!(Bounds::new(Bound::Max, Bound::Min).is_err());
    }

    #[test]
    fn neighbours_do_not_overlap_and_ranges_with_a_common_key_do() {
        let of =
            |lower: &[u8], upper: &[u8]| Bounds::new(Bound::at(lower).unwrap(), Bound::at(upper).unwrap()).unwrap();
        let (low, middle, high) = (of(b"a", b"m"), of(b"g", b"t"), of(b"m", b"z"));
        for (one, other, overlap) in [(&low, &high, false), (&low, &middle, true), (&middle, &high, true)] {
            assert_eq!([one.overlaps(other), other.overlaps(one)], [overlap; 2], "{one} {other}");
            assert!(one.overlaps(one) && one.overlaps(&Bounds::ALL) && Bounds::ALL.overlaps(one));
        }
    }

    #[test]
    fn in_a_hashed_collection_only_inner_slots_bound() {
        for (slot, is_bound) in [(0, false), (1, true), (SLOT_COUNT - 1, true), (SLOT_COUNT, false), (u16::MAX, false)]
        {
            let key = Key::new(&slot_key(slot)).unwrap();
            assert_eq!(check_key(&key, Mode::Hash).is_ok(), is_bound, "slot {slot}");
            assert!(check_key(&key, Mode::Ordered).is_ok());
        }
        for other in [&b"a"[..], b"abc"] {
            assert_eq!(check_key(&Key::new(other).unwrap(), Mode::Hash), Err(BadBounds::NotASlot));
        }
    }
}
