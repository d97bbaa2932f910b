//! Ranges, collections and placement authorities, as the replicated state has them.

use crate::bounds::{BadValue, Bounds, Mode};
use crate::id::{CollectionName, Epoch, Fence, GroupName, RangeId, Version};
use cp_seam::MemberId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A range of a collection: which keys, who may write them, who holds copies.
///
/// A member has at most one role in it: owner, hot replica or archive replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Its number within the collection.
    pub id: RangeId,
    /// The keys.
    pub bounds: Bounds,
    /// Who may write.
    pub owner: MemberId,
    /// Who follows the owner and may take over, in ascending order of names.
    pub replicas: Copies,
    /// Who keeps a copy that must be restored and validated first, in ascending order of names.
    pub archives: Copies,
    /// The epoch of the owner's authority.
    pub epoch: Epoch,
    /// How often it was edited.
    pub version: Version,
    /// How many copies it wants, and where.
    pub placement: Arc<Placement>,
    /// The move in flight, if any; its target is among the replicas.
    pub moving: Option<Box<Move>>,
}

impl Range {
    /// Its owner, epoch and version.
    pub fn standing(&self) -> RangeStanding {
        RangeStanding { owner: self.owner.clone(), epoch: self.epoch, version: self.version }
    }

    /// What a writer must expect to edit it now.
    pub fn fence(&self) -> Fence {
        Fence { epoch: self.epoch, version: self.version }
    }

    /// The role of `member` in it, if any.
    pub fn role(&self, member: &MemberId) -> Option<Role> {
        if self.owner == *member {
            Some(Role::Owner)
        } else if self.replicas.contains(member) {
            Some(Role::Replica)
        } else if self.archives.contains(member) {
            Some(Role::Archive)
        } else {
            None
        }
    }
}

#[cfg(test)]
impl Range {
    /// Of member `a` alone, as it was made.
    pub(crate) fn plain(id: u64, bounds: Bounds) -> Self {
        Self {
            id: RangeId(id),
            bounds,
            owner: MemberId::new("a").unwrap(),
            replicas: Copies::default(),
            archives: Copies::default(),
            epoch: Epoch(1),
            version: Version(1),
            placement: Arc::default(),
            moving: None,
        }
    }
}

/// A set of members that hold copies of a range, in ascending order of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Copies(Box<[MemberId]>);

impl Copies {
    /// The most members of one set.
    pub const COUNT_MAX: usize = 64;

    /// Whether `member` is in it.
    pub fn contains(&self, member: &MemberId) -> bool {
        self.0.binary_search(member).is_ok()
    }

    /// The members, in ascending order of names.
    pub fn iter(&self) -> std::slice::Iter<'_, MemberId> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set with `member` in it.
    #[must_use]
    pub fn with(&self, member: &MemberId) -> Self {
        match self.0.binary_search(member) {
            Ok(_) => self.clone(),
            Err(at) => {
                let (below, above) = self.0.split_at(at);
                Self([below, std::slice::from_ref(member), above].concat().into())
            }
        }
    }

    /// The set with `new` in it, and without `old`.
    #[must_use]
    pub fn exchanged(&self, old: &MemberId, new: &MemberId) -> Self {
        let mut members = Vec::with_capacity(self.0.len() + usize::from(!self.contains(old)));
        members.extend(self.0.iter().filter(|member| *member != old && *member != new).cloned());
        members.insert(members.partition_point(|member| member < new), new.clone());
        Self(members.into())
    }

    /// The set without `member` in it.
    #[must_use]
    pub fn without(&self, member: &MemberId) -> Self {
        match self.0.binary_search(member) {
            Ok(at) => {
                let (below, rest) = self.0.split_at(at);
                Self([below, rest.get(1..).unwrap_or_default()].concat().into())
            }
            Err(_) => self.clone(),
        }
    }
}

impl FromIterator<MemberId> for Copies {
    fn from_iter<I: IntoIterator<Item = MemberId>>(members: I) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        if !members.is_sorted_by(|one, next| one < next) {
            members.sort();
            members.dedup();
        }
        Self(members.into())
    }
}

impl<'a> IntoIterator for &'a Copies {
    type Item = &'a MemberId;
    type IntoIter = std::slice::Iter<'a, MemberId>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a member is to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It may write.
    Owner,
    /// It follows, and may take over.
    Replica,
    /// It keeps a copy that must be restored and validated first.
    Archive,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Replica => "replica",
            Self::Archive => "archive replica",
        })
    }
}

/// Where a range stands: whom to go to, and what to expect in the next transition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeStanding {
    /// Who may write it.
    pub owner: MemberId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// At which version the record is.
    pub version: Version,
}

impl fmt::Display for RangeStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {} at epoch {} version {}", self.owner, self.epoch, self.version)
    }
}

/// A move in flight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// Who is to own the range; a replica since the move began.
    pub target: MemberId,
    /// How far it is.
    pub phase: MovePhase,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MovePhase {
    /// The target is enlisted as a replica.
    Begun,
    /// The target copies a snapshot.
    Copying,
    /// The target follows the source's writes.
    CatchingUp,
}

impl MovePhase {
    /// The phase after this one; `None` before the cutover.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Begun => Some(Self::Copying),
            Self::Copying => Some(Self::CatchingUp),
            Self::CatchingUp => None,
        }
    }
}

impl fmt::Display for MovePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "begun",
            Self::Copying => "copying",
            Self::CatchingUp => "catching up",
        })
    }
}

/// How many copies a range wants, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement {
    /// Copies wanted, the owner's included.
    pub replication_factor: u32,
    /// What its copies ask of members, for whoever places by it. Members have a failure
    /// domain and no attributes, so that planners match none of it; they warn.
    pub attributes: BTreeMap<String, String>,
}

impl Default for Placement {
    /// One copy, anywhere.
    fn default() -> Self {
        Self { replication_factor: 1, attributes: BTreeMap::new() }
    }
}

impl Placement {
    /// The most attributes.
    pub const ATTRIBUTES_MAX: usize = 32;
    /// The longest name or value of an attribute, in bytes.
    pub const ATTRIBUTE_LEN_MAX_BYTES: usize = 128;

    /// Whether it is within the limits, and wants at least one copy.
    pub fn check(&self) -> Result<(), BadValue> {
        if self.replication_factor == 0 {
            return Err(BadValue::Missing { field: "replication factor" });
        }
        let count = self.attributes.len();
        if count > Self::ATTRIBUTES_MAX {
            return Err(BadValue::Many { field: "placement attributes", count, max: Self::ATTRIBUTES_MAX });
        }
        let max = Self::ATTRIBUTE_LEN_MAX_BYTES;
        match self.attributes.iter().flat_map(|(name, value)| [name.len(), value.len()]).find(|length| *length > max) {
            Some(length) => Err(BadValue::Long { field: "placement attribute", length, max }),
            None => Ok(()),
        }
    }
}

/// A collection, without its ranges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionSpec {
    /// Its name.
    pub name: CollectionName,
    /// The group whose placement authority covers it. Its ranges have it from here alone.
    pub group: GroupName,
    /// How its keys map to ranges.
    pub mode: Mode,
}

/// Who decides on the placement of a collection group; at most one per group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// The group.
    pub group: GroupName,
    /// Who decides.
    pub holder: MemberId,
    /// Rises when the authority moves.
    pub epoch: Epoch,
    /// How often it was edited.
    pub version: Version,
}

impl Authority {
    /// What a writer must expect to edit it now.
    pub fn fence(&self) -> Fence {
        Fence { epoch: self.epoch, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn copies_are_a_set_in_ascending_order() {
        let id = |name: &str| MemberId::new(name).unwrap();
        let names = ["a", "b", "c", "d"];
        for bits in 0..16u32 {
            let set: BTreeSet<_> = (0..4).filter(|n| bits & (1 << n) != 0).map(|n| id(names[n])).collect();
            let backwards = set.iter().rev().chain(set.iter()).cloned();
            let copies: Copies = backwards.collect();
            assert!(copies.iter().eq(&set), "{set:?}");
            for name in names.map(id) {
                let (mut with, mut without) = (set.clone(), set.clone());
                with.insert(name.clone());
                without.remove(&name);
                assert!(copies.with(&name).iter().eq(&with), "{set:?} and {name}");
                assert!(copies.without(&name).iter().eq(&without), "{set:?} without {name}");
                assert_eq!(copies.contains(&name), set.contains(&name));
                for new in names.map(id) {
                    let mut exchanged = without.clone();
                    exchanged.insert(new.clone());
                    assert!(copies.exchanged(&name, &new).iter().eq(&exchanged), "{set:?}, {new} for {name}");
                }
            }
        }
    }
}
