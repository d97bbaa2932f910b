//! What a directory holds, in what an operator needs to choose.

use crate::survivor::Survivor;
use cp_catalog::{Join, MemberLife, Voting};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, LogPosition, MemberKind, QuorumMember, StateDigest, Term};
use cp_store::{Configuration, Inspection, RecordBody};

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: Generation,
    /// Whose directory it is.
    pub member: MemberLife,
    /// Whether that life is a joined member in the state.
    pub joined: bool,
    /// What the member is for, as the state says.
    pub kind: MemberKind,
    /// The engine that last ran there.
    pub engine: String,
    /// The term of its vote.
    pub vote_term: Term,
    /// Its last record.
    pub last: LogPosition,
    /// Its durable committed index.
    pub committed: ControlPlaneLogIndex,
    /// Its snapshot.
    pub snapshot: LogPosition,
    /// How many entries it holds above the committed index.
    pub uncommitted: u64,
    /// The digest of the state at the last record.
    pub digest: StateDigest,
    /// Who votes by the engine's newest configuration there, both halves of a joint one.
    pub voters: Vec<MemberLife>,
    /// Of each half of that configuration, who votes: a quorum is a majority of every half.
    pub halves: Vec<Vec<MemberLife>>,
    /// Every other joined member of the state.
    pub others: Vec<MemberLife>,
    /// How many ranges the state has.
    pub ranges: u64,
}

impl Survivor {
    /// What the directory holds.
    pub fn description(&self) -> Description {
        let Inspection { identity, vote, committed, snapshot, log, .. } = self.inspection();
        let life = MemberLife { id: identity.member.clone(), incarnation: identity.incarnation };
        let above = log.iter().filter(|record| record.position.index > *committed);
        let voters = voters(&self.configuration);
        let others = self.catalog.members().filter(|m| m.join == Join::Joined && m.life() != life);
        Description {
            cluster: identity.cluster,
            generation: identity.generation,
            joined: self.catalog.members().any(|m| m.join == Join::Joined && m.life() == life),
            kind: self.catalog.member(&life.id).map_or(MemberKind::Data, |member| member.kind),
            member: life.clone(),
            engine: identity.engine.clone(),
            vote_term: vote.term,
            last: self.last,
            committed: *committed,
            snapshot: snapshot.position,
            uncommitted: above.filter(|record| matches!(record.body, RecordBody::Entry(_))).count() as u64,
            digest: self.catalog.digest(),
            others: others
                .filter(|m| m.voting != Voting::Voting || !voters.contains(&m.life()))
                .map(cp_catalog::Member::life)
                .collect(),
            voters,
            halves: [&self.configuration.voters, &self.configuration.outgoing]
                .into_iter()
                .filter(|half| !half.is_empty())
                .map(|half| half.iter().map(life_of).collect())
                .collect(),
            ranges: self.catalog.range_count() as u64,
        }
    }
}

fn voters(configuration: &Configuration) -> Vec<MemberLife> {
    let voting = configuration.members().into_iter().filter(|m| configuration.is_voter(m.incarnation));
    voting.map(life_of).collect()
}

fn life_of(member: &QuorumMember) -> MemberLife {
    MemberLife { id: member.id.clone(), incarnation: member.incarnation }
}
