//! Members: who they are, whether they vote, whether they serve.

use crate::bounds::BadValue;
use crate::id::{Capability, FailureDomain, TokenHash};
use cp_seam::{Incarnation, MemberId, MemberKind};
use std::collections::BTreeSet;
use std::fmt;

/// A member of the cluster, as the replicated state knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name: one namespace for votes, acknowledgements, certificates and ranges.
    pub id: MemberId,
    /// Which life of it; allotted at admission, never reused (CP-M3).
    pub incarnation: Incarnation,
    /// What it is for.
    pub kind: MemberKind,
    /// Whether its vote counts.
    pub voting: Voting,
    /// Whether it may take ranges.
    pub service: Service,
    /// Whether it has come with its token.
    pub join: Join,
    /// Where to reach it; all empty until it has joined for the first time.
    pub addresses: Addresses,
    /// Where it stands.
    pub locality: Locality,
    /// What its release can do.
    pub features: Features,
}

impl Member {
    /// Whether it may own or hold a range now; if not, why.
    pub fn eligibility(&self) -> Result<(), Ineligible> {
        match (self.kind, self.join, self.service) {
            (MemberKind::Witness, _, _) => Err(Ineligible::Witness),
            (MemberKind::Data, Join::Awaited(_), _) => Err(Ineligible::NotJoined),
            (MemberKind::Data, Join::Fenced, _) => Err(Ineligible::Fenced),
            (MemberKind::Data, Join::Expelled, _) => Err(Ineligible::Expelled),
            (MemberKind::Data, Join::Joined, Service::Draining) => Err(Ineligible::Draining),
            (MemberKind::Data, Join::Joined, Service::Active) => Ok(()),
        }
    }

    /// Its name and life.
    pub fn life(&self) -> MemberLife {
        MemberLife { id: self.id.clone(), incarnation: self.incarnation }
    }
}

impl From<&Member> for cp_seam::Member {
    /// The member as an election sees it.
    fn from(member: &Member) -> Self {
        Self { id: member.id.clone(), kind: member.kind, voting: member.voting == Voting::Voting }
    }
}

/// Whether a member counts toward the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Voting {
    /// Not yet: it receives the log, and is given its vote once it is caught up.
    CatchingUp,
    /// No: it receives the log, and is given no vote unless one is asked for.
    Standby,
    /// Yes.
    Voting,
}

/// Whether a member may take ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Yes, if it is a data member.
    Active,
    /// No: it gives up what it has, before it is removed.
    Draining,
}

/// Whether an admitted member has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Join {
    /// Not yet; it must present the token of this hash, once.
    Awaited(TokenHash),
    /// Yes; its token is spent.
    Joined,
    /// It had joined before a forced recovery, and that life is over (CP-R2): it
    /// neither votes nor receives the log until it is admitted and joins anew.
    /// What it held is still recorded.
    Fenced,
    /// It is removed by force: that life is over (CP-M3), and no other begins under its name
    /// until everything that it owned and held is released and it is gone.
    Expelled,
}

/// Why a member may not own or hold a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ineligible {
    /// A witness holds no user data.
    Witness,
    /// It gives up its ranges.
    Draining,
    /// It has been admitted and has not come yet.
    NotJoined,
    /// A forced recovery has ended its life.
    Fenced,
    /// It is being removed by force.
    Expelled,
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Witness => "it is a witness",
            Self::Draining => "it is draining",
            Self::NotJoined => "it has not joined yet",
            Self::Expelled => "it is being removed by force",
            Self::Fenced => "a forced recovery has fenced it and it has not joined anew",
        })
    }
}

/// One life of a member, as commands name it: what is meant for one life never
/// reaches the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberLife {
    /// Its name.
    pub id: MemberId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

impl fmt::Display for MemberLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, self.incarnation)
    }
}

/// Where a member is reached, each as `host:port`; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addresses {
    /// By its peers.
    pub peer: String,
    /// By clients.
    pub client: String,
    /// For health and metrics.
    pub http: String,
}

impl Addresses {
    /// The longest address, in bytes.
    pub const LEN_MAX_BYTES: usize = 255;

    /// Whether a member can be reached by them: a peer address, and none too long.
    pub fn check(&self) -> Result<(), BadValue> {
        if self.peer.is_empty() {
            return Err(BadValue::Missing { field: "peer address" });
        }
        [("peer address", &self.peer), ("client address", &self.client), ("http address", &self.http)]
            .into_iter()
            .find(|(_, address)| address.len() > Self::LEN_MAX_BYTES)
            .map_or(Ok(()), |(field, address)| {
                Err(BadValue::Long { field, length: address.len(), max: Self::LEN_MAX_BYTES })
            })
    }
}

/// Where a member stands, for planners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Locality {
    /// What it may fail together with.
    pub domain: Option<FailureDomain>,
    /// Its share of the load, in relation to the other members' weights.
    pub weight: u32,
}

/// What a member's release can do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Features {
    /// The newest set of commands that it understands.
    pub level: u32,
    /// What it says it can do besides.
    pub capabilities: BTreeSet<Capability>,
}

impl Features {
    /// The most capabilities of one member.
    pub const CAPABILITIES_MAX: usize = 64;

    /// Whether it is within the limits.
    pub fn check(&self) -> Result<(), BadValue> {
        let count = self.capabilities.len();
        if count <= Self::CAPABILITIES_MAX {
            return Ok(());
        }
        Err(BadValue::Many { field: "capabilities", count, max: Self::CAPABILITIES_MAX })
    }
}
