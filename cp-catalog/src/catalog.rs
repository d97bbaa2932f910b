//! The replicated state, and what can be read from it.

use crate::access::{ClientName, Privileges};
use crate::audit::Audit;
use crate::collections::Collections;
use crate::cow::CowMap;
use crate::digest::DigestSum;
use crate::holders::Holders;
use crate::id::{CollectionName, GroupName, RangeKey};
use crate::lease::LongestLease;
use crate::member::Member;
use crate::placements::Placements;
use crate::range::{Authority, CollectionSpec, Range, Role};
use crate::recovery::Recovery;
use crate::session::Sessions;
use cp_seam::{ClusterId, Generation, Incarnation, MemberId, Quorum, StateDigest};
use std::sync::Arc;

/// Who is a member and who may write which range.
///
/// A plain value: what [`apply`](Self::apply) does depends on nothing but the
/// state, the index and the entry. Cloning shares almost everything, so that a
/// state can be captured while it goes on changing.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub(crate) meta: Meta,
    pub(crate) members: CowMap<MemberId, Arc<Member>>,
    pub(crate) authorities: CowMap<GroupName, Arc<Authority>>,
    pub(crate) collections: Collections,
    pub(crate) sessions: Sessions,
    pub(crate) grants: CowMap<ClientName, Privileges>,
    pub(crate) audit: Audit,
    /// In ascending order of generations.
    pub(crate) recoveries: Arc<Vec<Recovery>>,
    /// Kept beside the records, derived from them alone.
    pub(crate) holders: Holders,
    pub(crate) quorum: Arc<Quorum>,
    pub(crate) range_count: usize,
    pub(crate) sum: DigestSum,
    pub(crate) placements: Placements,
    /// Whether it comes from a snapshot, for a bug that depends on it.
    #[cfg(planted_bugs)]
    pub(crate) restored: bool,
}

/// What there is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    /// All zeros before genesis.
    pub(crate) cluster: ClusterIdOrNone,
    pub(crate) generation: Generation,
    /// The next incarnation to allot.
    pub(crate) next_incarnation: u64,
    /// An unknown client that claims to start below it may have been forgotten.
    pub(crate) clients_since: u64,
    /// See [`Catalog::feature_level`].
    pub(crate) feature_level: u32,
    /// See [`Catalog::longest_lease`].
    pub(crate) longest_lease: LongestLease,
}

/// The cluster's id; none before genesis.
pub(crate) type ClusterIdOrNone = Option<ClusterId>;

/// In how many ranges a member has each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// It is the owner.
    pub owned: u64,
    /// It is a hot replica.
    pub replicas: u64,
    /// It is an archive replica.
    pub archives: u64,
}

impl Catalog {
    /// The state of a node that has none yet: it waits for a snapshot.
    pub fn vacant() -> Self {
        Self::default()
    }

    /// Whether there is no state yet.
    pub fn is_vacant(&self) -> bool {
        self.meta.cluster.is_none()
    }

    /// The cluster; `None` before genesis.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.meta.cluster
    }

    /// Which continuation of the cluster this is.
    pub fn generation(&self) -> Generation {
        self.meta.generation
    }

    /// The longest lease that any leader of the cluster grants. It never changes.
    pub fn longest_lease(&self) -> LongestLease {
        self.meta.longest_lease
    }

    /// The forced recoveries and restores that led here, the oldest first (CP-R2).
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// The digest of the state (CP-R3).
    pub fn digest(&self) -> StateDigest {
        self.sum.digest()
    }

    /// The quorum that the members make: voting members vote, members that are
    /// catching up and have joined receive the log, others are absent.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The member of this name.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id).map(|member| &**member)
    }

    /// The member whose present life is `incarnation`. Searches them all.
    pub fn member_of(&self, incarnation: Incarnation) -> Option<&Member> {
        self.members().find(|member| member.incarnation == incarnation)
    }

    /// Every member, in ascending order of names.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(|(_, member)| &**member)
    }

    /// In how many ranges `member` has each role.
    pub fn holdings(&self, member: &MemberId) -> Holdings {
        self.holders.get(member)
    }

    /// The ranges in which `member` has a role. Searches them all.
    pub fn held_by(&self, member: &MemberId) -> impl Iterator<Item = (RangeKey, Role, &Range)> {
        self.collections.iter().flat_map(move |(name, collection)| {
            collection.by_key().filter_map(move |range| {
                let role = range.role(member)?;
                Some((RangeKey::new(name.clone(), range.id), role, &**range))
            })
        })
    }

    /// The placement authority of `group`, if it has one.
    pub fn authority(&self, group: &GroupName) -> Option<&Authority> {
        self.authorities.get(group).map(|authority| &**authority)
    }

    /// Every placement authority, in ascending order of groups.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.authorities.iter().map(|(_, authority)| &**authority)
    }

    /// The collection of this name.
    pub fn collection(&self, name: &CollectionName) -> Option<&CollectionSpec> {
        self.collections.get(name).map(|collection| &collection.spec)
    }

    /// Every collection, in ascending order of names.
    pub fn collections(&self) -> impl Iterator<Item = &CollectionSpec> {
        self.collections.iter().map(|(_, collection)| &collection.spec)
    }

    /// The collections above `name`, in ascending order of names; all of them if there is none.
    pub fn collections_after(&self, name: Option<&CollectionName>) -> impl Iterator<Item = &CollectionSpec> {
        self.collections.iter_above(name).map(|(_, collection)| &collection.spec)
    }

    /// The range of this name.
    pub fn range(&self, key: &RangeKey) -> Option<&Range> {
        self.collections.get(&key.collection)?.get(key.id).map(|range| &**range)
    }

    /// The ranges of a collection in key order; none if there is no such collection.
    pub fn ranges(&self, collection: &CollectionName) -> impl Iterator<Item = &Range> {
        self.collections.get(collection).into_iter().flat_map(|c| c.by_key().map(|range| &**range))
    }

    /// The range that covers `key` of `collection`, whichever its mode, if one does.
    pub fn locate(&self, collection: &CollectionName, key: &[u8]) -> Option<&Range> {
        self.collections.get(collection)?.locate(key).map(|range| &**range)
    }

    /// The owner of the range that covers `key` of `collection`, if one does. Costs about half of
    /// [`locate`](Self::locate): the range itself is read only if no other begins where it ends; it
    /// and those beside it, if they begin with the same 8 bytes as `key`.
    pub fn owner_of(&self, collection: &CollectionName, key: &[u8]) -> Option<&MemberId> {
        self.holders.name(self.collections.get(collection)?.owner_of(key)?)
    }

    /// The ranges of `collection` that begin above where `range` does, in key order.
    pub fn ranges_after(&self, collection: &CollectionName, range: &Range) -> impl Iterator<Item = &Range> {
        let there = self.collections.get(collection).into_iter();
        there.flat_map(|there| there.by_key_above(range).map(|range| &**range))
    }

    /// How many ranges `collection` has; none if there is no such collection.
    pub fn range_count_of(&self, collection: &CollectionName) -> usize {
        self.collections.get(collection).map_or(0, |collection| collection.len())
    }

    /// How many ranges there are in all collections.
    pub fn range_count(&self) -> usize {
        self.range_count
    }

    /// How many clients' requests are remembered (CP-P5).
    pub fn client_count(&self) -> usize {
        self.sessions.len()
    }
}
