//! The founding state, at index 0 of the log.

use crate::bounds::BadValue;
use crate::catalog::{Catalog, Meta};
use crate::codec::record;
use crate::edit::Edit;
use crate::lease::LongestLease;
use crate::member::{Addresses, Features, Join, Locality, Member, Service, Voting};
use crate::snapshot::{self, CHUNK_SOFT_MAX_BYTES, Capture};
use bytes::Bytes;
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Halt, Incarnation, MemberId, MemberKind, Quorum, SnapshotReader,
    StateDigest,
};

/// A member that is there from the beginning: joined and voting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundingMember {
    /// Its name.
    pub id: MemberId,
    /// What it is for.
    pub kind: MemberKind,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Where it stands.
    pub locality: Locality,
    /// What its release can do.
    pub features: Features,
}

/// Why a founding state is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadGenesis {
    /// Nobody could serve.
    #[error("no founding member is a data member; name at least one")]
    NoDataMember,
    /// One name twice.
    #[error("{member} is named twice; give each founding member its own name")]
    Twice {
        /// The name.
        member: MemberId,
    },
    /// A member that cannot be.
    #[error("founding member {member} cannot be")]
    Member {
        /// The name.
        member: MemberId,
        /// Why.
        #[source]
        source: BadValue,
    },
}

/// The founding state as a store takes it: a snapshot at index 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The snapshot's chunks, in order.
    pub chunks: Vec<Bytes>,
    /// The digest of the state.
    pub digest: StateDigest,
    /// The founding quorum.
    pub quorum: Quorum,
}

impl Catalog {
    /// The founding state. Members are allotted incarnations from 1 in the order given.
    pub fn genesis(
        cluster: ClusterId,
        generation: Generation,
        founding: Vec<FoundingMember>,
    ) -> Result<Self, BadGenesis> {
        if !founding.iter().any(|member| member.kind == MemberKind::Data) {
            return Err(BadGenesis::NoDataMember);
        }
        let mut catalog = Self::vacant();
        let feature_level = founding.iter().map(|member| member.features.level).min().unwrap_or_default();
        let cluster = Some(cluster);
        catalog.meta = Meta { cluster, generation, next_incarnation: 1, feature_level, ..Meta::default() };
        catalog.sum.add(&record::hash_meta(&catalog.meta));
        for FoundingMember { id, kind, addresses, locality, features } in founding {
            if catalog.member(&id).is_some() {
                return Err(BadGenesis::Twice { member: id });
            }
            addresses
                .check()
                .and_then(|()| features.check())
                .map_err(|source| BadGenesis::Member { member: id.clone(), source })?;
            let incarnation = Incarnation(catalog.meta.next_incarnation);
            let (voting, service, join) = (Voting::Voting, Service::Active, Join::Joined);
            let member = Member { id, incarnation, kind, voting, service, join, addresses, locality, features };
            catalog.commit(vec![Edit::Admit(Box::new(member))]);
        }
        Ok(catalog)
    }

    /// The founding state of a cluster whose longest lease is `longest`. Meant for a state that no
    /// entry has changed, as [`to_genesis`](Self::to_genesis) is.
    #[must_use]
    pub fn with_longest_lease(mut self, longest: LongestLease) -> Self {
        self.edit_meta(|meta| meta.longest_lease = longest);
        self
    }

    /// The state as a founding snapshot. Meant for a state that no entry has changed.
    pub fn to_genesis(&self) -> Result<Genesis, Halt> {
        let mut capture = Capture::new(self.clone(), ControlPlaneLogIndex(0), CHUNK_SOFT_MAX_BYTES);
        let mut chunks = Vec::new();
        while let Some(chunk) = capture.next_chunk()? {
            chunks.push(chunk);
        }
        Ok(Genesis { chunks, digest: self.digest(), quorum: self.quorum().clone() })
    }

    /// The state in a founding snapshot, or in any other.
    pub fn from_chunks<'a>(chunks: impl IntoIterator<Item = &'a Bytes>) -> Result<Self, cp_seam::SnapshotError> {
        let mut builder = snapshot::Builder::default();
        chunks.into_iter().try_for_each(|chunk| builder.push(chunk))?;
        builder.finish()
    }
}
