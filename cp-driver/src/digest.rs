//! Comparing states: members at the same applied index have the same digest (CP-R3).

use cp_seam::{ControlPlaneLogIndex, Incarnation, StateDigest};
use cp_store::Configuration;
use std::collections::BTreeMap;

/// How many applied indexes of each member are remembered.
const KEPT: usize = 256;

type Digests = BTreeMap<ControlPlaneLogIndex, StateDigest>;

/// What this node and its peers have said of their states.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    members: BTreeMap<Incarnation, Digests>,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to compare, or all alike.
    Alike,
    /// A majority of voters has `digest`; those named have another.
    Differs { digest: StateDigest, members: Vec<Incarnation> },
    /// Every voter has spoken and no majority is alike.
    NoMajority,
}

impl Ledger {
    pub(crate) fn note(&mut self, of: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) {
        let digests = self.members.entry(of).or_default();
        digests.insert(index, digest);
        while digests.len() > KEPT {
            digests.pop_first();
        }
    }

    pub(crate) fn at(&self, of: Incarnation, index: ControlPlaneLogIndex) -> Option<StateDigest> {
        self.members.get(&of).and_then(|digests| digests.get(&index)).copied()
    }

    /// How many members have spoken of `index`.
    pub(crate) fn speakers(&self, index: ControlPlaneLogIndex) -> usize {
        self.members.values().filter(|digests| digests.contains_key(&index)).count()
    }

    /// Compares all voters of `configuration` at `index`.
    pub(crate) fn judge(&self, configuration: &Configuration, index: ControlPlaneLogIndex) -> Verdict {
        let said: Vec<(Incarnation, StateDigest)> = configuration
            .members()
            .into_iter()
            .filter_map(|m| self.at(m.incarnation, index).map(|digest| (m.incarnation, digest)))
            .collect();
        let Some((_, first)) = said.first() else { return Verdict::Alike };
        if said.iter().all(|(_, digest)| digest == first) {
            return Verdict::Alike;
        }
        for (_, digest) in &said {
            if configuration.has_quorum(|member| said_by(&said, member) == Some(*digest)) {
                let members = said.iter().filter(|(_, other)| other != digest).map(|(member, _)| *member).collect();
                return Verdict::Differs { digest: *digest, members };
            }
        }
        let all_spoke = configuration.voters.iter().all(|m| said_by(&said, m.incarnation).is_some());
        if all_spoke { Verdict::NoMajority } else { Verdict::Alike }
    }
}

fn said_by(said: &[(Incarnation, StateDigest)], member: Incarnation) -> Option<StateDigest> {
    said.iter().find(|(who, _)| *who == member).map(|(_, digest)| *digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{MemberId, MemberKind, QuorumMember};

    fn three() -> Configuration {
        let voters = (1..=3)
            .map(|n| QuorumMember {
                incarnation: Incarnation(n),
                id: MemberId::new(&format!("m{n}")).expect("legal"),
                kind: MemberKind::Data,
                address: String::new(),
            })
            .collect();
        Configuration { voters, ..Configuration::default() }
    }

    /// CP-R3: the one that differs from a majority is named, and nobody before a majority has spoken.
    #[test]
    fn a_minority_is_named() {
        let (index, good, bad) = (ControlPlaneLogIndex(7), StateDigest([1; 32]), StateDigest([2; 32]));
        let mut ledger = Ledger::default();
        ledger.note(Incarnation(1), index, bad);
        ledger.note(Incarnation(2), index, good);
        assert_eq!(ledger.judge(&three(), index), Verdict::Alike, "one against one is no majority");
        ledger.note(Incarnation(3), index, good);
        let named = Verdict::Differs { digest: good, members: vec![Incarnation(1)] };
        assert_eq!(ledger.judge(&three(), index), named);
        ledger.note(Incarnation(3), index, StateDigest([3; 32]));
        assert_eq!(ledger.judge(&three(), index), Verdict::NoMajority);
    }
}
