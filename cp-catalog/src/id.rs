//! Names and numbers of the ownership catalog.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// Empty or too long.
    #[error("name {name:?} has {length} bytes; give it 1 to {NAME_LEN_MAX_BYTES}")]
    Length {
        /// The text.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A character outside the set.
    #[error("name {name:?} holds {character:?}; use a-z, A-Z, 0-9, '.', '_' and '-' only")]
    Character {
        /// The text.
        name: String,
        /// The first offending character.
        character: char,
    },
}

/// The longest collection, group, domain or capability name, in bytes.
pub const NAME_LEN_MAX_BYTES: usize = 128;

fn checked(name: &str) -> Result<Arc<str>, BadName> {
    if name.is_empty() || name.len() > NAME_LEN_MAX_BYTES {
        return Err(BadName::Length { name: name.chars().take(NAME_LEN_MAX_BYTES).collect(), length: name.len() });
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(character) => Err(BadName::Character { name: name.to_owned(), character }),
        None => Ok(name.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 128 of `a-z`, `A-Z`, `0-9`, `.`, `_`, `-`. Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name, or says what is wrong with it.
            pub fn new(name: &str) -> Result<Self, BadName> {
                checked(name).map(Self)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(name: &str) -> Result<Self, BadName> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The name of a collection: what ranges are ranges of.
    CollectionName
}
name! {
    /// The name of a collection group: collections that share a placement authority.
    GroupName
}
name! {
    /// The name of a failure domain: members in one may fail together.
    FailureDomain
}
name! {
    /// Something that a member says it can do.
    Capability
}

/// The number of a range within its collection. Stable, and never reused once retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RangeId(pub u64);

impl fmt::Display for RangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The full name of a range, as `collection/id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeKey {
    /// Its collection.
    pub collection: CollectionName,
    /// Its number there.
    pub id: RangeId,
}

impl RangeKey {
    /// The range `id` of `collection`.
    pub fn new(collection: CollectionName, id: RangeId) -> Self {
        Self { collection, id }
    }
}

impl fmt::Display for RangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.id)
    }
}

impl fmt::Debug for RangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fencing number of a range's write authority (CP-S5).
///
/// Rises whenever the authority moves and never falls. Its upper 16 bits are the
/// number of the cluster's generation, so that nothing issued before a forced
/// recovery compares equal or higher (CP-R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// How many of its bits count within a generation.
    pub const COUNT_BITS: u32 = 48;

    /// The first epoch of a generation.
    pub const fn first(generation: u16) -> Self {
        Self(((generation as u64) << Self::COUNT_BITS) | 1)
    }

    /// The generation that issued it.
    pub const fn generation(self) -> u16 {
        (self.0 >> Self::COUNT_BITS) as u16
    }

    /// The next epoch that `generation` may issue after this one; `None` if the
    /// generation has none left.
    pub fn next(self, generation: u16) -> Option<Self> {
        let next = Self(self.0.checked_add(1)?).max(Self::first(generation));
        (next.generation() == generation).then_some(next)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation(), self.0 & ((1 << Self::COUNT_BITS) - 1))
    }
}

/// Counts the edits of one record: 1 when it is made, 1 more at each edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version of a new record.
    pub const FIRST: Self = Self(1);

    /// The version after one more edit; `None` if there is none left.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What the writer of a transition believes of a record; under a stale belief
/// nothing is changed (CP-S5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence {
    /// The epoch it saw.
    pub epoch: Epoch,
    /// The version it saw.
    pub version: Version,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} version {}", self.epoch, self.version)
    }
}

/// A position in a range's own log of user writes; the control plane never sees
/// those writes, only such positions as evidence. Ordered by term, then lsn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DataPosition {
    /// The term of the writer.
    pub term: u64,
    /// The log sequence number.
    pub lsn: u64,
}

impl DataPosition {
    /// Whether a copy at `self` holds everything up to `watermark`: a higher
    /// term, or the same term and at least its lsn.
    pub fn covers(self, watermark: Self) -> bool {
        self >= watermark
    }
}

impl fmt::Display for DataPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.lsn)
    }
}

/// The BLAKE3 hash of a one-time join token. The token itself never enters the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..")
    }
}
