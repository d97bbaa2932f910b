//! Whom this node talks to, and by what names.

use crate::host::Host;
use crate::wire::Members;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, MemberId, MemberKind, PeerHello, PeerReceiver, Term};
use cp_store::Configuration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

/// How many configurations a node keeps by the word of others; the latest are kept.
const INTRODUCED_MAX: usize = 16;

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

    /// Serves again if what counts is another than when this was last done: a configuration
    /// does from the moment it is appended (CP-M1), a word until it is committed here.
    pub(crate) fn follow_configurations(&self) {
        let changed = {
            let books = self.books();
            // Every commit comes by here, and hardly ever is there a word.
            let overtaken = !books.introduced.is_empty() && {
                let (committed, term) = self.committed();
                books.introduced.keys().any(|at| at.index <= committed || at.term < term)
            };
            overtaken || books.served_at != self.store().newest_configuration_at()
        };
        if changed {
            self.serve_peers();
        }
    }

    /// Serves the members that the catalog holds, the configuration in force at the
    /// durable committed index, or one beyond it, appended here or by a peer's word. The
    /// catalog's addresses win, then those of this node's own log.
    pub(crate) fn serve_peers(&self) {
        self.serve_while(&self.serving());
    }

    /// The right to work out whom to serve and to tell the transport: two threads at it could
    /// tell it in another order.
    fn serving(&self) -> MutexGuard<'_, ()> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve_while(&self, _serving: &MutexGuard<'_, ()>) {
        if self.halted().is_some() {
            return;
        }
        let records = self.counting();
        let (committed, term) = self.committed();
        let mut books = self.books();
        // Of an earlier term than what is committed: nobody will ever commit it.
        books.introduced.retain(|at, _| at.index > committed && at.term >= term);
        let mut peers = BTreeMap::new();
        let introduced = books.introduced.values().flat_map(Configuration::members);
        for member in introduced.chain(records.iter().flat_map(|(_, configuration)| configuration.members())) {
            peers.insert(member.incarnation, member.clone());
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
        books.served_at = records.last().map(|(at, _)| *at).unwrap_or_default();
        let attached = books.attached;
        drop(books);
        if changed && attached {
            self.parts.transport.serve(peers);
        }
    }

    /// The durable committed index and its term.
    fn committed(&self) -> (ControlPlaneLogIndex, Term) {
        let committed = self.durable_committed();
        (committed, self.store().term_at(committed).unwrap_or_default())
    }

    /// The configurations that may count here: the one in force at the durable committed
    /// index, and those appended since.
    fn counting(&self) -> Vec<(LogPosition, Configuration)> {
        let committed = self.durable_committed();
        let mut records = self.store().configurations();
        let in_force = records.iter().rposition(|(at, _)| at.index <= committed).unwrap_or_default();
        records.split_off(in_force)
    }

    /// What this node says of the members to whom it connects.
    pub(crate) fn members(&self) -> Bytes {
        Members::say(&self.counting())
    }

    /// Takes the word of a peer, whose name is proved, for who the members are, until this
    /// node has got so far itself. A node that was away may never have heard of the leader,
    /// which alone can bring it up, nor of anybody who is left (CP-L1). Whoever is talked to
    /// for it counts for nothing: votes are counted by this node's own configurations (CP-M3).
    pub(crate) fn introduced(&self, hello: &PeerHello) {
        let records = match Members::read(hello.members.clone()) {
            Ok(records) => records,
            Err(error) => {
                return tracing::warn!(from = %hello.member, %error, "what it says of the members was dropped");
            }
        };
        let (committed, term) = self.committed();
        let serving = self.serving();
        let mut books = self.books();
        let mut news = Vec::new();
        for (at, configuration) in records {
            let holds_it = configuration.member(hello.incarnation).is_some_and(|member| member.id == hello.member);
            let holds_both = holds_it && configuration.member(self.me()).is_some();
            if holds_both
                && at.index > committed
                && at.term >= term
                && let Entry::Vacant(place) = books.introduced.entry(at)
            {
                place.insert(configuration);
                news.push(at);
            }
        }
        while books.introduced.len() > INTRODUCED_MAX {
            books.introduced.pop_first();
        }
        news.retain(|at| books.introduced.contains_key(at));
        drop(books);
        // All of hundreds of members say the same when this node returns.
        if !news.is_empty() {
            self.serve_while(&serving);
        }
    }

    /// Joins the transport: only now can a peer be answered.
    pub(crate) fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.parts.transport.attach(receiver);
        let _serving = self.serving();
        let mut books = self.books();
        books.attached = true;
        let served = books.served.clone();
        drop(books);
        self.parts.transport.serve(served);
    }
}
