//! The persist-before-acknowledge audit (CP-D1, CP-D2, CP-D3).
//!
//! Whenever a grant, an acknowledgement or a reported commit leaves a node, a
//! power loss at that moment must leave a disk that holds what was promised. The
//! image is recovered from what was synced, and nothing else.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::Inspection;
use std::fmt;

/// The checker's name.
pub const NAME: &str = "persist-before-acknowledge audit";

/// Something that a node has let others rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It voted for `candidate` in `term` (CP-D1).
    Granted {
        /// The term.
        term: Term,
        /// Who has the vote.
        candidate: Incarnation,
    },
    /// It acts as leader of `term`, so it must have voted for itself (CP-D1).
    Leads {
        /// The term.
        term: Term,
    },
    /// It holds the log of the leader of `term` up to `up_to` (CP-D2).
    Holds {
        /// The term.
        term: Term,
        /// The last index.
        up_to: ControlPlaneLogIndex,
    },
    /// Everything up to here is committed (CP-D3).
    Committed {
        /// The last index.
        up_to: ControlPlaneLogIndex,
    },
    /// It needs the snapshot at this position no longer: it has it, or as much (CP-D2).
    Installed {
        /// The snapshot.
        position: LogPosition,
    },
}

impl Claim {
    /// The promise that is at stake.
    pub fn promise(&self) -> Promise {
        match self {
            Self::Granted { .. } | Self::Leads { .. } => Promise::D1,
            Self::Holds { .. } | Self::Installed { .. } => Promise::D2,
            Self::Committed { .. } => Promise::D3,
        }
    }

    /// Whether `image`, of node `me`, holds what is claimed.
    ///
    /// A vote of a later term covers every claim about an earlier one: such a
    /// node can never act in the earlier term again.
    pub fn is_held_by(&self, me: Incarnation, image: &Inspection) -> bool {
        let vote = &image.vote;
        match self {
            Self::Granted { term, candidate } => {
                vote.term > *term || (vote.term == *term && vote.granted_to == Some(*candidate))
            }
            Self::Leads { term } => vote.term > *term || (vote.term == *term && vote.granted_to == Some(me)),
            Self::Holds { term, up_to } => vote.term > *term || (vote.term == *term && last(image).index >= *up_to),
            Self::Committed { up_to } => image.committed >= *up_to,
            // A log that had got there by itself meanwhile needs no snapshot.
            Self::Installed { position } => image.snapshot.position.index.max(image.committed) >= position.index,
        }
    }

    /// Objects unless `image`, of node `me`, holds what is claimed.
    pub fn check(&self, me: Incarnation, image: &Inspection) -> Result<(), Broken> {
        if self.is_held_by(me, image) {
            return Ok(());
        }
        let what = format!(
            "{me} claims {self}, but a power loss now would leave it with vote {:?}, log up to {}, committed {}, snapshot {}",
            image.vote,
            last(image),
            image.committed,
            image.snapshot.position
        );
        Err(Broken::new(NAME, self.promise(), what))
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { term, candidate } => write!(f, "a grant to {candidate} in term {term}"),
            Self::Leads { term } => write!(f, "leadership of term {term}"),
            Self::Holds { term, up_to } => write!(f, "the log of term {term} up to {up_to}"),
            Self::Committed { up_to } => write!(f, "commitment up to {up_to}"),
            Self::Installed { position } => write!(f, "the snapshot at {position}"),
        }
    }
}

/// The end of an image's log.
pub fn last(image: &Inspection) -> LogPosition {
    image.log.last().map_or(image.snapshot.position, |record| record.position.max(image.snapshot.position))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use cp_seam::{ClusterId, Generation, LastVote, MemberId, StateDigest};
    use cp_store::{Configuration, Identity, LogRecord, RecordBody, SnapshotMeta, TermRuns};

    pub(crate) fn image(vote: LastVote, records: &[(u64, u64)], committed: u64) -> Inspection {
        let position = |(term, index): &(u64, u64)| LogPosition::new(Term(*term), ControlPlaneLogIndex(*index));
        Inspection {
            identity: Identity {
                cluster: ClusterId([1; 16]),
                generation: Generation::default(),
                member: MemberId::new("m1").unwrap(),
                incarnation: Incarnation(1),
                engine: "test".to_owned(),
            },
            boot: 1,
            vote,
            committed: ControlPlaneLogIndex(committed),
            snapshot: SnapshotMeta {
                position: LogPosition::GENESIS,
                configuration: Configuration::default(),
                configuration_at: LogPosition::GENESIS,
                terms: TermRuns::default(),
                digest: StateDigest::default(),
            },
            log: records.iter().map(|r| LogRecord { position: position(r), body: RecordBody::Blank }).collect(),
        }
    }

    #[test]
    fn fires_on_every_claim_that_the_disk_does_not_hold() {
        let (me, other) = (Incarnation(1), Incarnation(2));
        let vote = LastVote { term: Term(3), granted_to: Some(other), following: None };
        let image = image(vote, &[(1, 1), (3, 2)], 1);
        let up_to = |index| ControlPlaneLogIndex(index);
        let held = [
            Claim::Granted { term: Term(3), candidate: other },
            Claim::Granted { term: Term(2), candidate: me },
            Claim::Leads { term: Term(2) },
            Claim::Holds { term: Term(3), up_to: up_to(2) },
            Claim::Committed { up_to: up_to(1) },
            Claim::Installed { position: LogPosition::GENESIS },
        ];
        for claim in held {
            assert_eq!(claim.check(me, &image), Ok(()), "{claim}");
        }
        let broken = [
            (Claim::Granted { term: Term(3), candidate: me }, Promise::D1),
            (Claim::Granted { term: Term(4), candidate: other }, Promise::D1),
            (Claim::Leads { term: Term(3) }, Promise::D1),
            (Claim::Holds { term: Term(3), up_to: up_to(3) }, Promise::D2),
            (Claim::Holds { term: Term(4), up_to: up_to(1) }, Promise::D2),
            (Claim::Committed { up_to: up_to(2) }, Promise::D3),
            (Claim::Installed { position: LogPosition::new(Term(3), up_to(2)) }, Promise::D2),
        ];
        for (claim, promise) in broken {
            let broken = claim.check(me, &image).unwrap_err();
            assert_eq!((broken.checker, broken.promise), (NAME, promise), "{claim}");
        }
    }
}
