//! Leading: who gets what of the log, and what is committed by that.

use super::core::{Core, Role};
use super::election::is_quorum;
use super::reads::Reads;
use super::timing::ELECTION_TICKS;
use super::wire::{Append, Body};
#[cfg(planted_bugs)]
use cp_seam::planted::{Bug, active};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::RecordBody;
use std::collections::BTreeMap;

/// What a leader knows and does in its term.
#[derive(Debug, Default)]
pub(super) struct Reign {
    pub(super) peers: BTreeMap<Incarnation, Peer>,
    pub(super) reads: Reads,
    /// Who is asked to take over, and until which tick.
    pub(super) transfer: Option<(Incarnation, u64)>,
}

/// A peer, as its leader sees it.
#[derive(Debug)]
pub(super) struct Peer {
    /// It holds the leader's log up to here, durably.
    pub(super) matched: ControlPlaneLogIndex,
    /// What it is sent next.
    next: ControlPlaneLogIndex,
    /// An append is on its way, and nothing more is sent before it is answered or lost.
    busy: bool,
    /// A snapshot is on its way.
    snapshot: bool,
    /// When it last answered.
    heard: u64,
    /// The newest round of reads that it has answered.
    pub(super) round: u64,
}

impl Core {
    /// Begins to lead: a record of its own term makes all before it countable.
    pub(super) fn lead(&mut self) {
        self.leader = Some(self.me);
        self.vote.following = Some(self.me);
        self.change_role(Role::Leader(Reign::default()));
        self.place(RecordBody::Blank);
    }

    /// Puts `body` into the log of this leader, sends it on, and says where it is.
    pub(super) fn place(&mut self, body: RecordBody) -> LogPosition {
        let position = self.log.append_in(self.vote.term, body);
        self.meet_peers();
        let idle: Vec<_> = self.reign().into_iter().flat_map(|r| &r.peers).filter(|(_, p)| !p.busy).collect();
        for to in idle.iter().map(|(who, _)| **who).collect::<Vec<_>>() {
            self.send_append(to);
        }
        self.advance_commit();
        position
    }

    /// Keeps one account for each other member of the newest configuration.
    fn meet_peers(&mut self) {
        let members: Vec<_> = self.log.configuration().members().iter().map(|m| m.incarnation).collect();
        let (me, heard, next) = (self.me, self.tick, self.log.last().index);
        let Some(reign) = self.reign_mut() else { return };
        reign.peers.retain(|who, _| members.contains(who));
        for who in members.into_iter().filter(|who| *who != me) {
            reign.peers.entry(who).or_insert(Peer {
                matched: ControlPlaneLogIndex(0),
                next,
                busy: false,
                snapshot: false,
                heard,
                round: 0,
            });
        }
    }

    /// Sends `to` what comes next, or the snapshot if that has been compacted.
    pub(super) fn send_append(&mut self, to: Incarnation) {
        let (purged, committed) = (self.log.purged(), self.log.committed());
        let Some(reign) = self.reign_mut() else { return };
        let round = reign.reads.round();
        let Some(peer) = reign.peers.get_mut(&to) else { return };
        peer.busy = true;
        let next = peer.next;
        let compacted = next <= purged.index;
        if compacted && !std::mem::replace(&mut peer.snapshot, true) {
            self.out.snapshots.push(to);
        }
        // Meanwhile it hears that there is a leader, and says when it holds as much.
        let after = if compacted { purged } else { self.log.position(next.prev()) };
        let records = if compacted { Vec::new() } else { self.log.read(next, self.append_bytes_max) };
        self.send(to, Body::Append(Append { after, committed, round, records }));
    }

    /// A peer has answered an append: it holds all up to `up_to`, or nothing is known
    /// to match above its `committed` index.
    pub(super) fn answered(
        &mut self,
        from: Incarnation,
        up_to: Option<ControlPlaneLogIndex>,
        committed: Option<ControlPlaneLogIndex>,
        round: u64,
    ) {
        let (tick, last) = (self.tick, self.log.last().index);
        let purged = self.log.purged().index;
        #[cfg(planted_bugs)]
        let round = match self.reign() {
            Some(reign) if active(Bug::LateAnswerCounts) => reign.reads.round(),
            _ => round,
        };
        let Some(peer) = self.reign_mut().and_then(|reign| reign.peers.get_mut(&from)) else { return };
        peer.heard = tick;
        peer.round = peer.round.max(round);
        peer.busy = false;
        peer.matched = peer.matched.max(up_to.unwrap_or_default().min(last));
        peer.next = peer.matched.max(committed.unwrap_or_default()).next();
        let more = peer.next <= last && (peer.next > purged || !peer.snapshot);
        let matched = peer.matched;
        self.out.acknowledged = Some((from, self.log.position(matched)));
        self.advance_commit();
        self.confirm_reads();
        self.ask_to_stand(from);
        if more {
            self.send_append(from);
        }
    }

    /// How far `who` holds this leader's log.
    pub(super) fn matched(&self, who: Incarnation) -> ControlPlaneLogIndex {
        let of_peer = || self.reign().and_then(|reign| reign.peers.get(&who)).map(|peer| peer.matched);
        if who == self.me { self.log.last().index } else { of_peer().unwrap_or_default() }
    }

    /// Commits what a quorum of the newest configuration holds.
    fn advance_commit(&mut self) {
        let Role::Leader(reign) = &self.role else { return };
        let mut ends: Vec<_> = reign.peers.values().map(|peer| peer.matched).collect();
        ends.push(self.log.last().index);
        ends.retain(|end| *end > self.log.committed());
        let holds = |who, end| self.matched(who) >= end;
        #[cfg(planted_bugs)]
        let holds =
            |who, end| holds(who, end) || (active(Bug::QuorumMinusOne) && reign.peers.keys().next() == Some(&who));
        let held = |end: ControlPlaneLogIndex| is_quorum(self.log.configuration(), |who| holds(who, end));
        let Some(end) = ends.into_iter().filter(|end| held(*end)).max() else { return };
        // A record of an earlier term is committed by a later one of this term, never by count.
        let countable = self.log.term_at(end) == Some(self.vote.term);
        #[cfg(planted_bugs)]
        let countable = countable || active(Bug::CommittedByCount);
        if !countable {
            return;
        }
        self.log.commit(end);
        if self.log.configuration_at().index <= end && !self.may_stand() {
            // It was voted out, and those who did it may rely on that now.
            self.follow_nobody();
        }
    }

    /// A leader's tick: is it still in touch, and does everybody know?
    pub(super) fn lead_on(&mut self) {
        let Role::Leader(reign) = &self.role else { return };
        let lately = |who: Incarnation| {
            who == self.me || reign.peers.get(&who).is_some_and(|p| self.tick - p.heard < ELECTION_TICKS)
        };
        if !is_quorum(self.log.configuration(), lately) {
            return self.follow_nobody();
        }
        let (tick, due) = (self.tick, self.tick.is_multiple_of(self.timeouts.heartbeat_ticks()));
        let Some(reign) = self.reign_mut() else { return };
        reign.reads.expire(tick);
        reign.transfer = reign.transfer.filter(|(_, until)| *until > tick);
        let peers: Vec<_> = reign.peers.keys().copied().collect();
        for to in peers.into_iter().filter(|_| due) {
            // What was lost on the way is sent again with it.
            self.send_append(to);
        }
    }

    /// Asks the member that is to take over to stand, once it holds the whole log.
    pub(super) fn ask_to_stand(&mut self, to: Incarnation) {
        let wanted = self.reign().and_then(|reign| reign.transfer).is_some_and(|(heir, _)| heir == to);
        if wanted && self.matched(to) == self.log.last().index {
            self.send(to, Body::StandNow);
        }
    }

    /// The transfer of a snapshot has ended.
    pub(super) fn snapshot_sent(&mut self, to: Incarnation, term: Term, installed: Option<ControlPlaneLogIndex>) {
        if term != self.vote.term {
            return;
        }
        let Some(peer) = self.reign_mut().and_then(|reign| reign.peers.get_mut(&to)) else { return };
        peer.snapshot = false;
        if let Some(index) = installed {
            peer.next = peer.next.max(index.next());
        }
    }

    pub(super) fn reign(&self) -> Option<&Reign> {
        match &self.role {
            Role::Leader(reign) => Some(reign),
            _ => None,
        }
    }

    pub(super) fn reign_mut(&mut self) -> Option<&mut Reign> {
        match &mut self.role {
            Role::Leader(reign) => Some(reign),
            _ => None,
        }
    }
}
