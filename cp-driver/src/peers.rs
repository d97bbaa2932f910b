//! Whom this node talks to, and by what names.

use crate::host::Host;
use crate::wire::Members;
use bytes::Bytes;
use cp_seam::{Incarnation, LogPosition, MemberId, MemberKind, PeerHello, PeerReceiver, QuorumMember};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

impl Host {
    /// The name of a member, by the catalog, else by any configuration that counts.
    pub(crate) fn name(&self, incarnation: Incarnation) -> Option<MemberId> {
        if incarnation == self.me() {
            return Some(self.identity.member.clone());
        }
        self.books().served.iter().find(|m| m.incarnation == incarnation).map(|m| m.id.clone())
    }

    /// The name of the leader that this node follows; a stopped node follows nobody.
    pub(crate) fn leader_name(&self) -> Option<MemberId> {
        if self.halted().is_some() {
            return None;
        }
        self.view().leader.and_then(|leader| self.name(leader))
    }

    /// Whether this node is a voting witness by the newest configuration.
    pub(crate) fn is_witness(&self) -> bool {
        let newest = self.newest_configuration();
        newest.1.voters.iter().any(|m| m.incarnation == self.me() && m.kind == MemberKind::Witness)
    }

    pub(crate) fn is_served(&self, hello: &PeerHello) -> bool {
        self.books().served.iter().any(|m| m.incarnation == hello.incarnation && m.id == hello.member)
    }

    /// Notes which boot a peer is in, and returns the latest that it has been in.
    pub(crate) fn boot_seen(&self, peer: Incarnation, boot: u64) -> u64 {
        let mut books = self.books();
        let seen = books.boots.entry(peer).or_default();
        *seen = boot.max(*seen);
        *seen
    }

    pub(crate) fn acknowledged_by(&self, peer: Incarnation) -> LogPosition {
        self.books().contacts.acknowledged(peer)
    }

    /// Serves again if the newest configuration is another than when this was last
    /// done: one counts from the moment it is appended (CP-M1).
    pub(crate) fn follow_configurations(&self) {
        if self.books().served_at != self.store().newest_configuration_at() {
            self.serve_peers();
        }
    }

    /// Serves the members that the catalog holds, the configuration in force at the
    /// durable committed index, or one beyond it, appended here or by a peer's word;
    /// of what is said twice, the later counts.
    pub(crate) fn serve_peers(&self) {
        if self.halted().is_some() {
            return;
        }
        let _serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = self.durable_committed();
        let configurations = self.store().configurations();
        let in_force = configurations.iter().rposition(|(at, _)| at.index <= committed).unwrap_or_default();
        let mut books = self.books();
        books.introduced.retain(|_, (at, _)| at.index > committed);
        let mut peers = BTreeMap::new();
        let mut add = |members: &mut dyn Iterator<Item = &QuorumMember>| {
            peers.extend(members.map(|member| (member.incarnation, member.clone())));
        };
        if let Some((_, configuration)) = configurations.get(in_force) {
            add(&mut configuration.members().into_iter());
        }
        add(&mut books.wanted.voters.iter().chain(&books.wanted.learners));
        let mut beyond: Vec<_> = configurations.iter().skip(in_force + 1).chain(books.introduced.values()).collect();
        beyond.sort_by_key(|(at, _)| *at);
        for (_, configuration) in beyond {
            add(&mut configuration.members().into_iter());
        }
        peers.remove(&self.me());
        let peers: Vec<_> = peers.into_values().collect();
        let changed = books.served != peers;
        books.served.clone_from(&peers);
        if changed {
            let kept: BTreeSet<_> = peers.iter().map(|member| member.incarnation).collect();
            books.contacts.retain(|who| kept.contains(&who));
            books.boots.retain(|who, _| kept.contains(who));
            books.digests.retain(|who| kept.contains(&who));
            books.differing.retain(|who, _| kept.contains(who) || *who == self.me());
            self.transfers.retain(|who| kept.contains(&who));
        }
        books.served_at = configurations.last().map(|(at, _)| *at).unwrap_or_default();
        let attached = books.attached;
        drop(books);
        if changed && attached {
            self.parts.transport.serve(peers);
        }
    }

    /// What this node says of the members to whom it connects.
    pub(crate) fn members(&self) -> Bytes {
        self.store().configurations().last().map(|(at, newest)| Members::say(*at, newest)).unwrap_or_default()
    }

    /// Takes the word of a peer, whose name is proved, for who the members are, until this
    /// node has got so far itself. A node that was away may never have heard of the leader,
    /// which alone can bring it up, nor of anybody who is left (CP-L1). Whoever is talked to
    /// for it counts for nothing: votes are counted by this node's own configurations (CP-M3).
    pub(crate) fn introduced(&self, hello: &PeerHello) {
        let word = Some(hello.members.clone()).filter(|said| !said.is_empty()).map(Members::read).transpose();
        let word = match word {
            Ok(word) => word,
            Err(error) => {
                return tracing::warn!(from = %hello.member, %error, "what it says of the members was dropped");
            }
        };
        let committed = self.durable_committed();
        let word = word.filter(|(at, configuration)| {
            let holds_it = configuration.member(hello.incarnation).is_some_and(|member| member.id == hello.member);
            at.index > committed && holds_it && configuration.member(self.me()).is_some()
        });
        let mut books = self.books();
        let before = books.introduced.get(&hello.incarnation);
        if before == word.as_ref() {
            return;
        }
        match word {
            Some(word) => drop(books.introduced.insert(hello.incarnation, word)),
            None => drop(books.introduced.remove(&hello.incarnation)),
        }
        drop(books);
        self.serve_peers();
    }

    /// Joins the transport: only now can a peer be answered.
    pub(crate) fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.parts.transport.attach(receiver);
        let _serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut books = self.books();
        books.attached = true;
        let served = books.served.clone();
        drop(books);
        self.parts.transport.serve(served);
    }
}
