//! Whom this node talks to, and by what names.

use crate::host::Host;
use crate::wire::{Body, Inquiry, Members};
use cp_seam::{ControlPlaneLogIndex, Incarnation, Lane, LogPosition, MemberId, MemberKind, PeerHello, PeerReceiver};
use cp_store::Configuration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

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
    /// durable committed index, or one appended since; the catalog's addresses win.
    pub(crate) fn serve_peers(&self) {
        if self.halted().is_some() {
            return;
        }
        let committed = self.durable_committed();
        let configurations = self.store().configurations();
        let in_force = configurations.iter().rposition(|(at, _)| at.index <= committed).unwrap_or_default();
        let mut peers = BTreeMap::new();
        for (_, configuration) in configurations.iter().skip(in_force) {
            peers.extend(configuration.members().into_iter().map(|member| (member.incarnation, member.clone())));
        }
        let mut books = self.books();
        books.introduced = books.introduced.take().filter(|(at, _)| at.index > committed);
        for member in books.introduced.iter().flat_map(|(_, configuration)| configuration.members()) {
            peers.entry(member.incarnation).or_insert_with(|| member.clone());
        }
        let wanted = books.wanted.voters.iter().chain(&books.wanted.learners);
        peers.extend(wanted.map(|member| (member.incarnation, member.clone())));
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

    /// Tells `peer`, which has applied up to `applied`, who the members are, if it
    /// has not got so far as to know. The leader may be one that it has never heard
    /// of, and would refuse, though it is the leader alone that can bring it up.
    pub(crate) fn introduce(&self, peer: Incarnation, applied: ControlPlaneLogIndex) {
        let committed = self.durable_committed();
        if applied >= committed {
            return;
        }
        let known = self.store().configurations();
        let Some((at, configuration)) = known.iter().rfind(|(at, _)| at.index <= committed) else { return };
        if applied >= at.index {
            return;
        }
        let now = Instant::now();
        let mut books = self.books();
        let pause = self.settings().election_timeout;
        if books.introductions.get(&peer).is_some_and(|last| now.saturating_duration_since(*last) < pause) {
            return;
        }
        books.introductions.insert(peer, now);
        drop(books);
        let members = Members { configuration: Some(configuration.into()), at: Some((*at).into()) };
        self.send_body(peer, Lane::Consensus, Body::Members(members));
    }

    /// Asks every peer who the members are, at most once in an election timeout: a node
    /// that this one does not know is at its door, and may be the leader. A learner would
    /// say nothing else of its own accord, and so never be [introduced](Self::introduce) to it.
    pub(crate) fn inquire(&self) {
        let now = Instant::now();
        let mut books = self.books();
        let pause = self.settings().election_timeout;
        if !books.attached || books.inquired.is_some_and(|last| now.saturating_duration_since(last) < pause) {
            return;
        }
        books.inquired = Some(now);
        let peers: Vec<_> = books.served.iter().map(|member| member.incarnation).collect();
        drop(books);
        for peer in peers {
            self.send_body(peer, Lane::Consensus, Body::Inquiry(Inquiry {}));
        }
    }

    /// Takes a served peer's word for who the members are, until this node has got
    /// so far itself. They are talked to, and count for nothing: votes are counted
    /// by this node's own configurations (CP-M3).
    pub(crate) fn introduced(&self, members: Members) {
        let configuration = members.configuration.map(Configuration::try_from);
        let (Some(Ok(configuration)), Some(at)) = (configuration, members.at.map(LogPosition::from)) else { return };
        if at.index <= self.durable_committed() {
            return;
        }
        let mut books = self.books();
        if books.introduced.as_ref().is_some_and(|(newest, _)| *newest >= at) {
            return;
        }
        books.introduced = Some((at, configuration));
        drop(books);
        self.serve_peers();
    }

    /// Joins the transport: only now can a peer be answered.
    pub(crate) fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.parts.transport.attach(receiver);
        let mut books = self.books();
        books.attached = true;
        let served = books.served.clone();
        drop(books);
        self.parts.transport.serve(served);
    }
}
