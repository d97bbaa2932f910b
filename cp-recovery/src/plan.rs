//! Which survivor to go on from, and what that may cost.

use crate::describe::Description;
use cp_catalog::MemberLife;
use cp_seam::{ClusterId, ControlPlaneLogIndex, LogPosition, MemberId, MemberKind, quorum_threshold};

/// Which survivor to go on from, and what that may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The survivor, as an index into what was given.
    pub best: usize,
    /// Who it is.
    pub survivor: MemberLife,
    /// The cluster, to be typed.
    pub cluster: ClusterId,
    /// The number of the generation that would begin.
    pub generation: u16,
    /// Its last record: the new cluster has everything up to there.
    pub last: LogPosition,
    /// Its committed index.
    pub committed: ControlPlaneLogIndex,
    /// Entries above that; they are kept, though they may never have been acknowledged.
    pub uncommitted: u64,
    /// Voters without a directory among those given.
    pub lost: Vec<MemberLife>,
    /// Members that have one, or do not vote; they rejoin wiped, as the lost ones do.
    pub rejoin: Vec<MemberLife>,
    /// Whether those given are a quorum, so that starting them is enough and loses nothing.
    pub quorum_survives: bool,
}

/// There is no plan. Nothing was read but what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing was given.
    #[error("no survivor was given; run `recover collect` on every directory that is left")]
    Nobody,
    /// Those given are not of one cluster.
    #[error("{one} is of cluster {theirs}, {other} of cluster {ours}; plan with one cluster's survivors only")]
    Clusters {
        /// One.
        one: MemberId,
        /// Its cluster.
        theirs: ClusterId,
        /// Another.
        other: MemberId,
        /// Its cluster.
        ours: ClusterId,
    },
    /// Those given are not of one generation.
    #[error(
        "{old} is of generation {older} and {new} of generation {newer}, or of another recovery to it: one of them was recovered before and has fenced the other; plan with one generation's survivors only"
    )]
    Generations {
        /// One.
        old: MemberId,
        /// Its generation.
        older: u16,
        /// Another.
        new: MemberId,
        /// Its generation.
        newer: u16,
    },
    /// One member twice.
    #[error("{member} is given twice; give each survivor once")]
    Twice {
        /// Who.
        member: MemberId,
    },
    /// None of them is a member.
    #[error(
        "none of those given is a joined member of the state that it holds, so nobody can go on as one of them; keep the state of one with `recover backup` and make a new directory from that with `snapshot restore`"
    )]
    NoMember,
}

/// Chooses the survivor whose last record is the highest by (term, index), which is
/// whom the others would elect. Any acknowledged entry that some survivor holds, it
/// holds; what only lost members held is lost.
pub fn plan(found: &[Description]) -> Result<Plan, PlanError> {
    let first = found.first().ok_or(PlanError::Nobody)?;
    let name = |one: &Description| one.member.id.clone();
    for (at, one) in found.iter().enumerate() {
        if one.cluster != first.cluster {
            let (theirs, ours) = (one.cluster, first.cluster);
            return Err(PlanError::Clusters { one: name(one), theirs, other: name(first), ours });
        }
        if one.generation != first.generation {
            let (old, new) = if one.generation.number < first.generation.number { (one, first) } else { (first, one) };
            let (older, newer) = (old.generation.number, new.generation.number);
            return Err(PlanError::Generations { old: name(old), older, new: name(new), newer });
        }
        if found.iter().take(at).any(|before| before.member.id == one.member.id) {
            return Err(PlanError::Twice { member: name(one) });
        }
    }
    // Of equals one that can hold ranges, then one that voted, then the first by name, so that
    // the plan does not depend on the order given.
    let rank = |one: &Description| {
        (one.last, one.kind == MemberKind::Data, one.voters.contains(&one.member), std::cmp::Reverse(name(one)))
    };
    let joined = found.iter().enumerate().filter(|(_, one)| one.joined);
    let (best, chosen) = joined.max_by_key(|(_, one)| rank(one)).ok_or(PlanError::NoMember)?;
    let given = |life: &&MemberLife| found.iter().any(|one| one.member == **life);
    let not_chosen = |life: &&MemberLife| **life != chosen.member;
    let voters = || chosen.voters.iter();
    let others = chosen.others.iter().filter(|life| !chosen.voters.contains(life));
    Ok(Plan {
        best,
        survivor: chosen.member.clone(),
        cluster: chosen.cluster,
        generation: chosen.generation.number.saturating_add(1),
        last: chosen.last,
        committed: chosen.committed,
        uncommitted: chosen.uncommitted,
        lost: voters().filter(|life| !given(life)).cloned().collect(),
        rejoin: voters().filter(given).chain(others).filter(not_chosen).cloned().collect(),
        quorum_survives: !chosen.halves.is_empty()
            && chosen.halves.iter().all(|half| half.iter().filter(given).count() >= quorum_threshold(half.len())),
    })
}

#[cfg(test)]
mod tests;
