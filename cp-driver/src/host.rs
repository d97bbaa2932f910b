//! The shared middle of a node: what its engine calls, and what its tasks share.

use crate::board::Board;
use crate::contact::Contacts;
use crate::digest::{Ledger, Verdict};
use crate::disk::DiskGate;
use crate::engine::EngineView;
use crate::settings::{Parts, Settings};
use crate::snapshots::Transfers;
use crate::wire::{Body, Envelope};
use bytes::Bytes;
use cp_seam::{
    ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneStatus, Incarnation, Lane, LogPosition, MemberId, PeerHello,
    PeerReceiver, ProposeRefusal, Quorum, QuorumMember, StateDigest, Term,
};
use cp_store::{Configuration, Identity, Store};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The part of a node that engine and seam share. Adapters hold it as `Arc<Host>`.
#[derive(Debug)]
pub struct Host {
    pub(crate) parts: Parts,
    pub(crate) identity: Identity,
    pub(crate) wire_version: u32,
    pub(crate) board: Board,
    pub(crate) transfers: Transfers,
    gate: DiskGate,
    view: watch::Sender<EngineView>,
    stopped: watch::Sender<Option<String>>,
    books: Mutex<Books>,
}

/// What changes together under one short lock, never held over an await.
#[derive(Debug, Default)]
struct Books {
    contacts: Contacts,
    digests: Ledger,
    /// The last index applied and the digest there; every frame carries it.
    applied: (ControlPlaneLogIndex, StateDigest),
    /// A leader that lost its quorum and has seen no leader since.
    cut_off: bool,
    /// Whom leadership is being handed to, and until when that is waited for.
    transfer: Option<(Incarnation, Instant)>,
    /// No majority of voters has the same state.
    disputed: bool,
    served: Vec<QuorumMember>,
    attached: bool,
}

impl Host {
    pub(crate) fn new(parts: Parts, wire_version: u32) -> Self {
        let vote = parts.store.vote();
        let view = EngineView { role: ControlPlaneRole::Follower, term: vote.term, leader: None };
        let board = Board::new(ControlPlaneStatus {
            role: view.role,
            term: view.term,
            leader: None,
            serving: false,
            committed: parts.store.durable().borrow().committed,
            applied: parts.state.applied(),
            settled: false,
            stopped: None,
        });
        Self {
            identity: parts.store.identity(),
            wire_version,
            board,
            transfers: Transfers::default(),
            gate: DiskGate::new(parts.store.clone(), parts.settings.election_timeout),
            view: watch::Sender::new(view),
            stopped: watch::Sender::new(None),
            books: Mutex::default(),
            parts,
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The tuning.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// This node.
    pub fn me(&self) -> Incarnation {
        self.identity.incarnation
    }

    /// What the engine last published.
    pub fn view(&self) -> EngineView {
        *self.view.borrow()
    }

    /// Publishes what the engine is now. Call it on every change, from one task.
    pub fn publish(&self, view: EngineView) {
        let before = self.view.send_replace(view);
        if before != view {
            let configuration = self.newest_configuration();
            let now = Instant::now();
            let mut books = self.books();
            let led = before.role == ControlPlaneRole::Leader;
            let leads = view.role == ControlPlaneRole::Leader;
            if led && (!leads || view.term != before.term) {
                let window = self.quorum_window();
                books.cut_off =
                    view.leader.is_none() && !books.contacts.has_quorum(&configuration, self.me(), window, now);
                books.contacts.end();
                books.transfer = None;
            }
            if leads {
                books.contacts.begin(view.term, now);
            }
            books.cut_off &= view.leader.is_none();
        }
        self.refresh();
    }

    /// Sends one of the engine's messages to a peer's engine; at most once, never
    /// blocks. Leader frames are dropped while the disk gate is closed (CP-L2).
    /// The caller has made durable whatever the message promises (CP-D1, CP-D2).
    pub fn send(&self, to: Incarnation, message: Bytes) {
        if self.view().role == ControlPlaneRole::Leader && self.disk_stalled().is_some() {
            return;
        }
        self.send_body(to, Lane::Consensus, Body::Engine(message));
    }

    pub(crate) fn send_body(&self, to: Incarnation, lane: Lane, body: Body) {
        if self.halted().is_some() {
            return;
        }
        let (applied, digest) = self.books().applied;
        let envelope = Envelope {
            version: Envelope::VERSION,
            applied: applied.0,
            digest: Bytes::copy_from_slice(&digest.0),
            body: Some(body),
        };
        if let Err(refusal) = self.parts.transport.send(to, lane, envelope.encode_to_vec().into()) {
            tracing::trace!(%refusal, "a frame was not queued");
        }
    }

    /// Notes that `from` answered this leader in `term` and holds `matched`
    /// (durably) by its own word. Call it for successful append and heartbeat
    /// answers of the current term only: `NoQuorum` (CP-P2), `progress` and the
    /// amnesia check of the handshake rest on it.
    pub fn acknowledged(&self, from: Incarnation, term: Term, matched: LogPosition) {
        self.books().contacts.note(from, term, matched, Instant::now());
    }

    /// Stops the node for good and says why (CP-D4, CP-R3). Idempotent: the first reason stays.
    pub fn halt(&self, reason: &str) {
        let first = self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(reason.to_owned());
            }
            first
        });
        if first {
            tracing::warn!(member = %self.identity.member, reason, "node stopped");
            self.refresh();
        }
    }

    /// Why the node has stopped, if it has.
    pub fn halted(&self) -> Option<String> {
        self.stopped.borrow().clone()
    }

    /// Resolves once the node has stopped.
    pub async fn until_halted(&self) {
        // The sender lives in `self`, so waiting can only end by the condition.
        let waited = self.stopped.subscribe().wait_for(Option::is_some).await.is_ok();
        debug_assert!(waited, "the sender outlives the wait");
    }

    /// Answers within a window shorter than T count, so that a cut-off leader has
    /// refused before T is over (CP-P2).
    fn quorum_window(&self) -> Duration {
        self.settings().election_timeout * 3 / 4
    }

    pub(crate) fn newest_configuration(&self) -> Configuration {
        self.store().configurations().pop().map(|(_, configuration)| configuration).unwrap_or_default()
    }

    pub(crate) fn disk_stalled(&self) -> Option<Duration> {
        self.gate.stalled(Instant::now())
    }

    pub(crate) fn probe_disk(&self) {
        self.gate.probe();
    }

    pub(crate) fn durable_committed(&self) -> ControlPlaneLogIndex {
        self.store().durable().borrow().committed
    }

    /// The name of a member, by the catalog, else by any known configuration.
    pub(crate) fn name(&self, incarnation: Incarnation) -> Option<MemberId> {
        if incarnation == self.me() {
            return Some(self.identity.member.clone());
        }
        self.books().served.iter().find(|m| m.incarnation == incarnation).map(|m| m.id.clone())
    }

    pub(crate) fn is_served(&self, hello: &PeerHello) -> bool {
        self.books().served.iter().any(|m| m.incarnation == hello.incarnation && m.id == hello.member)
    }

    pub(crate) fn acknowledged_by(&self, peer: Incarnation) -> LogPosition {
        self.books().contacts.acknowledged(peer)
    }

    pub(crate) fn last_ack(&self, peer: Incarnation) -> Option<Duration> {
        self.books().contacts.last_ack(peer).map(|at| Instant::now().saturating_duration_since(at))
    }

    /// Why this node would refuse a proposal now (CP-P1, CP-P2, CP-L2); `None` if it serves.
    pub(crate) fn refusal(&self) -> Option<ProposeRefusal> {
        if let Some(reason) = self.halted() {
            return Some(ProposeRefusal::Stopped { reason });
        }
        let view = self.view();
        let configuration = self.newest_configuration();
        let leader = view.leader.and_then(|leader| self.name(leader));
        let now = Instant::now();
        let mut books = self.books();
        if view.role != ControlPlaneRole::Leader {
            let cut_off = books.cut_off && leader.is_none();
            return Some(if cut_off { ProposeRefusal::NoQuorum } else { ProposeRefusal::NotLeader { leader } });
        }
        if let Some(stalled) = self.gate.stalled(now) {
            let stalled_ms = u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX);
            return Some(ProposeRefusal::DiskStalled { stalled_ms });
        }
        let window = self.quorum_window();
        if books.disputed || !books.contacts.has_quorum(&configuration, self.me(), window, now) {
            return Some(ProposeRefusal::NoQuorum);
        }
        if let Some((to, until)) = books.transfer {
            if now < until {
                drop(books);
                return Some(self.name(to).map_or(ProposeRefusal::Busy, |to| ProposeRefusal::Transferring { to }));
            }
            books.transfer = None;
        }
        drop(books);
        // A fresh leader serves once a record of its own term is committed (CP-P4 rests on it too).
        let fresh = self.store().term_at(self.durable_committed()) != Some(view.term);
        fresh.then_some(ProposeRefusal::NoQuorum)
    }

    pub(crate) fn begin_transfer(&self, to: Incarnation) {
        let until = Instant::now() + self.settings().election_timeout;
        self.books().transfer = Some((to, until));
        self.refresh();
    }

    pub(crate) fn end_transfer(&self) {
        self.books().transfer = None;
        self.refresh();
    }

    /// Notes what this node has applied, and compares it with what peers said.
    pub(crate) fn note_applied(&self, index: ControlPlaneLogIndex, digest: StateDigest) {
        let mut books = self.books();
        books.applied = (index, digest);
        let me = self.me();
        books.digests.note(me, index, digest);
        drop(books);
        self.judge(index);
    }

    pub(crate) fn note_digest(&self, from: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) {
        self.books().digests.note(from, index, digest);
        self.judge(index);
    }

    /// A peer says what a majority has; a node that has something else stops (CP-R3).
    pub(crate) fn note_majority(&self, index: ControlPlaneLogIndex, digest: StateDigest) {
        let mine = self.books().digests.at(self.me(), index);
        if mine.is_some_and(|mine| mine != digest) {
            self.halt_diverged(index);
        }
    }

    fn halt_diverged(&self, index: ControlPlaneLogIndex) {
        self.halt(&format!(
            "its state at index {index} differs from that of a majority of voters; wipe it and let it rejoin"
        ));
    }

    fn judge(&self, index: ControlPlaneLogIndex) {
        let (verdict, me) = {
            let mut books = self.books();
            if books.digests.speakers(index) < 2 {
                return;
            }
            let verdict = books.digests.judge(&self.newest_configuration(), index);
            books.disputed |= verdict == Verdict::NoMajority;
            (verdict, self.me())
        };
        if let Verdict::Differs { digest, members } = verdict {
            for member in members {
                if member == me {
                    self.halt_diverged(index);
                } else {
                    let said = crate::wire::Majority { index: index.0, digest: Bytes::copy_from_slice(&digest.0) };
                    self.send_body(member, Lane::Consensus, Body::Majority(said));
                }
            }
        }
    }

    /// Serves the members that the catalog or any half of a known configuration
    /// holds; the catalog's addresses win.
    pub(crate) fn serve_peers(&self) {
        let mut peers = BTreeMap::new();
        for (_, configuration) in self.store().configurations() {
            for member in configuration.members() {
                peers.insert(member.incarnation, member.clone());
            }
        }
        let Quorum { voters, learners } = self.parts.state.wanted_quorum();
        for member in voters.into_iter().chain(learners) {
            peers.insert(member.incarnation, member);
        }
        peers.remove(&self.me());
        let peers: Vec<_> = peers.into_values().collect();
        let mut books = self.books();
        let changed = books.served != peers;
        books.served.clone_from(&peers);
        let attached = books.attached;
        drop(books);
        if changed && attached {
            self.parts.transport.serve(peers);
        }
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

    /// Recomputes the published status.
    pub(crate) fn refresh(&self) {
        let view = self.view();
        let committed = self.durable_committed();
        let stopped = self.halted();
        let wanted = self.parts.state.wanted_quorum();
        let settled = self
            .store()
            .configurations()
            .last()
            .is_some_and(|(at, newest)| at.index <= committed && newest.is(&wanted));
        self.board.post(ControlPlaneStatus {
            role: if stopped.is_some() { ControlPlaneRole::Follower } else { view.role },
            term: view.term,
            leader: view.leader.and_then(|leader| self.name(leader)),
            serving: self.refusal().is_none(),
            committed,
            applied: self.parts.state.applied(),
            settled,
            stopped,
        });
    }
}
