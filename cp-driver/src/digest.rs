//! Comparing states: members at the same applied index have the same digest (CP-R3).

use cp_seam::{ControlPlaneLogIndex, Incarnation, QuorumMember, StateDigest};
use cp_store::Configuration;
use std::collections::{BTreeMap, VecDeque};

/// How many applied indexes of this node are remembered: peers speak of earlier ones.
const KEPT_OWN: usize = 4096;
/// How many of each peer.
const KEPT: usize = 128;

/// What this node and its peers have said of their states.
#[derive(Debug)]
pub(crate) struct Ledger {
    me: Incarnation,
    said: BTreeMap<ControlPlaneLogIndex, Said>,
    /// What each member has spoken of, in the order in which it did.
    order: BTreeMap<Incarnation, VecDeque<ControlPlaneLogIndex>>,
}

/// What was said of one index.
#[derive(Debug, Default)]
struct Said {
    by: BTreeMap<Incarnation, StateDigest>,
    /// Whether two may differ; never false if they do.
    differ: bool,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too few have spoken.
    Open,
    /// A majority of voters has the same digest, and nobody another.
    Alike,
    /// A majority of voters has `digest`; those named have another.
    Differs { digest: StateDigest, members: Vec<Incarnation> },
    /// Every voter has spoken and no majority is alike.
    NoMajority,
}

impl Ledger {
    pub(crate) fn new(me: Incarnation) -> Self {
        Self { me, said: BTreeMap::new(), order: BTreeMap::new() }
    }

    /// Notes what `of` says, and tells whether anybody has said something else of `index`.
    pub(crate) fn note(&mut self, of: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) -> bool {
        let said = self.said.entry(index).or_default();
        let known = said.by.insert(of, digest);
        if known != Some(digest) {
            let other = |known: Option<StateDigest>| known.is_some_and(|known| known != digest);
            let ends = [said.by.first_key_value(), said.by.last_key_value()];
            said.differ |= other(known) || ends.into_iter().any(|end| other(end.map(|(_, digest)| *digest)));
        }
        let differ = said.differ;
        if known.is_none() {
            let order = self.order.entry(of).or_default();
            order.push_back(index);
            let kept = if of == self.me { KEPT_OWN } else { KEPT };
            if order.len() > kept
                && let Some(oldest) = order.pop_front()
            {
                self.drop_from(oldest, of);
            }
        }
        differ
    }

    fn drop_from(&mut self, index: ControlPlaneLogIndex, of: Incarnation) {
        if let Some(said) = self.said.get_mut(&index) {
            said.by.remove(&of);
            if said.by.is_empty() {
                self.said.remove(&index);
            }
        }
    }

    /// Forgets all members but this node and those to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(Incarnation) -> bool) {
        let gone: Vec<_> = self.order.keys().copied().filter(|who| *who != self.me && !keep(*who)).collect();
        for who in gone {
            for index in self.order.remove(&who).unwrap_or_default() {
                self.drop_from(index, who);
            }
        }
    }

    pub(crate) fn at(&self, of: Incarnation, index: ControlPlaneLogIndex) -> Option<StateDigest> {
        self.said.get(&index).and_then(|said| said.by.get(&of)).copied()
    }

    /// Compares all members of `configuration` at `index`.
    pub(crate) fn judge(&self, configuration: &Configuration, index: ControlPlaneLogIndex) -> Verdict {
        let members = configuration.members();
        let said: Vec<(Incarnation, StateDigest)> = members
            .iter()
            .filter_map(|m| self.at(m.incarnation, index).map(|digest| (m.incarnation, digest)))
            .collect();
        for (_, digest) in &said {
            if configuration.has_quorum(|member| self.at(member, index) == Some(*digest)) {
                let others = said.iter().filter(|(_, other)| other != digest).map(|(member, _)| *member);
                let members: Vec<_> = others.collect();
                return match members.is_empty() {
                    true => Verdict::Alike,
                    false => Verdict::Differs { digest: *digest, members },
                };
            }
        }
        let silent = |m: &QuorumMember| self.at(m.incarnation, index).is_none();
        let open = configuration.voters.iter().chain(&configuration.outgoing).any(silent);
        if open { Verdict::Open } else { Verdict::NoMajority }
    }
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
        let mut ledger = Ledger::new(Incarnation(1));
        ledger.note(Incarnation(1), index, bad);
        ledger.note(Incarnation(2), index, good);
        assert_eq!(ledger.judge(&three(), index), Verdict::Open, "one against one is no majority");
        ledger.note(Incarnation(3), index, good);
        let named = Verdict::Differs { digest: good, members: vec![Incarnation(1)] };
        assert_eq!(ledger.judge(&three(), index), named);
        ledger.note(Incarnation(3), index, StateDigest([3; 32]));
        assert_eq!(ledger.judge(&three(), index), Verdict::NoMajority);
    }

    /// A learner that differs is no dispute among voters, and neither is one while a half of a joint
    /// configuration is silent: proposals would be refused for nothing.
    #[test]
    fn silence_is_no_dispute() {
        let (index, good, bad) = (ControlPlaneLogIndex(7), StateDigest([1; 32]), StateDigest([2; 32]));
        let member = |n| three().voters.into_iter().find(|m: &QuorumMember| m.incarnation == Incarnation(n));
        let joint = Configuration {
            voters: member(1).into_iter().chain(member(2)).collect(),
            outgoing: member(3).into_iter().collect(),
            learners: Vec::new(),
        };
        let mut ledger = Ledger::new(Incarnation(1));
        assert!(!ledger.note(Incarnation(1), index, good));
        assert!(ledger.note(Incarnation(2), index, bad));
        assert_eq!(ledger.judge(&joint, index), Verdict::Open);
        assert!(ledger.note(Incarnation(3), index, good));
        assert_eq!(ledger.judge(&joint, index), Verdict::NoMajority);
        ledger.note(Incarnation(2), index, good);
        assert_eq!(ledger.judge(&joint, index), Verdict::Alike, "2 has begun anew and says better");
    }

    /// What is remembered is bounded, however wild the indexes, and goes with its member.
    #[test]
    fn memory_is_bounded() {
        let digest = StateDigest([1; 32]);
        let mut ledger = Ledger::new(Incarnation(1));
        ledger.note(Incarnation(2), ControlPlaneLogIndex(u64::MAX), digest);
        for n in 0..10_000 {
            ledger.note(Incarnation(1), ControlPlaneLogIndex(n), digest);
            ledger.note(Incarnation(2), ControlPlaneLogIndex(n * 2), digest);
        }
        assert_eq!(ledger.said.values().map(|said| said.by.len()).sum::<usize>(), KEPT_OWN + KEPT);
        ledger.retain(|_| false);
        assert_eq!(ledger.said.len(), KEPT_OWN);
    }
}
