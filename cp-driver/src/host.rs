//! The shared middle of a node: what its engine calls, and what its tasks share.

use crate::board::Board;
use crate::contact::Contacts;
use crate::digest::Ledger;
use crate::disk::DiskGate;
use crate::engine::EngineView;
use crate::outcome::Waiting;
use crate::refusal::Compared;
use crate::settings::{Parts, Settings};
use crate::snapshots::Transfers;
use crate::snapshots::mark::Mark;
use crate::wire::{Body, Envelope};
use bytes::Bytes;
use cp_seam::{
    ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneStatus, Incarnation, Lane, LogPosition, Quorum, QuorumMember,
    StateDigest, Term, WireVersions,
};
use cp_store::{Configuration, Identity, Store};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The part of a node that engine and seam share. Adapters hold it as `Arc<Host>`.
#[derive(Debug)]
pub struct Host {
    pub(crate) parts: Parts,
    pub(crate) identity: Identity,
    pub(crate) wire_versions: WireVersions,
    pub(crate) board: Board,
    pub(crate) waiting: Waiting,
    pub(crate) snapshot_mark: Mark,
    pub(crate) transfers: Transfers,
    pub(crate) refreshing: Mutex<Compared>,
    /// The bytes of the records applied since the last snapshot.
    pub(crate) grown: AtomicU64,
    gate: DiskGate,
    view: watch::Sender<EngineView>,
    stopped: watch::Sender<Option<String>>,
    newest: Mutex<Arc<(LogPosition, Configuration)>>,
    /// Held from working out whom to serve until the transport has been told.
    pub(crate) serving: Mutex<()>,
    books: Mutex<Books>,
}

/// What changes together under one short lock, never held over an await.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) contacts: Contacts,
    pub(crate) digests: Ledger,
    /// The last index applied and the digest there; every frame carries it.
    pub(crate) applied: (ControlPlaneLogIndex, StateDigest),
    /// The quorum that the state wants there.
    pub(crate) wanted: Arc<Quorum>,
    /// A leader that lost its quorum and has seen no leader since.
    pub(crate) cut_off: bool,
    /// Whom leadership is being handed to, and until when that is waited for.
    pub(crate) transfer: Option<(Incarnation, Instant)>,
    /// The last index at which no majority of voters had the same state.
    pub(crate) disputed: Option<ControlPlaneLogIndex>,
    /// Who was seen to differ from a majority, and where first.
    pub(crate) differing: BTreeMap<Incarnation, ControlPlaneLogIndex>,
    /// The latest boot of each peer that was talked to.
    pub(crate) boots: BTreeMap<Incarnation, u64>,
    pub(crate) served: Vec<QuorumMember>,
    /// Configurations beyond this node's committed index, by the word of a member of each.
    pub(crate) introduced: BTreeMap<LogPosition, Configuration>,
    /// Where the newest configuration was recorded when `served` was made.
    pub(crate) served_at: LogPosition,
    pub(crate) attached: bool,
}

impl Host {
    pub(crate) fn new(parts: Parts, wire_versions: WireVersions) -> Self {
        let vote = parts.store.vote();
        let identity = parts.store.identity();
        let me = identity.incarnation;
        let newest = parts.store.configurations().pop().unwrap_or_default();
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
            diverged_at: None,
        });
        Self {
            identity,
            wire_versions,
            board,
            waiting: Waiting::default(),
            snapshot_mark: Mark::default(),
            transfers: Transfers::new(parts.store.boot()),
            gate: DiskGate::new(parts.store.clone(), parts.settings.election_timeout),
            view: watch::Sender::new(view),
            stopped: watch::Sender::new(None),
            refreshing: Mutex::default(),
            grown: AtomicU64::new(0),
            newest: Mutex::new(Arc::new(newest)),
            serving: Mutex::default(),
            books: Mutex::new(Books {
                contacts: Contacts::default(),
                digests: Ledger::new(me),
                applied: Default::default(),
                wanted: Arc::default(),
                cut_off: false,
                transfer: None,
                disputed: None,
                differing: BTreeMap::new(),
                boots: BTreeMap::new(),
                served: Vec::new(),
                introduced: BTreeMap::new(),
                served_at: LogPosition::GENESIS,
                attached: false,
            }),
            parts,
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
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

    /// Publishes what the engine is now. Call it on every change, from one task. A view of
    /// an earlier term than the last is stale and ignored.
    pub fn publish(&self, view: EngineView) {
        let before = self.view();
        if before != view && view.term >= before.term {
            self.view.send_replace(view);
            let newest = self.newest_configuration();
            let now = Instant::now();
            let mut books = self.books();
            let led = before.role == ControlPlaneRole::Leader;
            let leads = view.role == ControlPlaneRole::Leader;
            if led && (!leads || view.term != before.term) {
                let window = self.quorum_window();
                // A voter gives leadership up in its own term only for want of a quorum, and may notice
                // before the window here is over.
                let gave_up = view.term == before.term && newest.1.is_voter(self.me());
                let out_of_touch = gave_up || !books.contacts.has_quorum(&newest.1, self.me(), window, now);
                books.cut_off = view.leader.is_none() && out_of_touch;
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
        let held = matched.index.min(self.durable_committed());
        let held = self.store().term_at(held).map(|term| LogPosition::new(term, held)).unwrap_or_default();
        let (window, now) = (self.quorum_window(), Instant::now());
        let mut books = self.books();
        books.contacts.awake(window, now);
        books.contacts.note(from, term, matched, held, now);
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

    /// The newest configuration and where it was recorded. It is kept at hand: a copy
    /// of a large one would cost every proposal.
    pub(crate) fn newest_configuration(&self) -> Arc<(LogPosition, Configuration)> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.0 != self.store().newest_configuration_at()
            && let Some(newer) = self.store().configurations().pop()
        {
            *newest = Arc::new(newer);
        }
        Arc::clone(&newest)
    }

    /// Resolves once this node does not lead in `term` any more.
    pub(crate) async fn until_not_leading(&self, term: Term) {
        let over = |view: &EngineView| view.role != ControlPlaneRole::Leader || view.term != term;
        let waited = self.view.subscribe().wait_for(over).await.is_ok();
        debug_assert!(waited, "the sender outlives the wait");
    }

    /// Notes that this node runs.
    pub(crate) fn awake(&self) {
        let (window, now) = (self.quorum_window(), Instant::now());
        self.books().contacts.awake(window, now);
    }

    pub(crate) fn disk_stalled(&self) -> Option<Duration> {
        self.gate.stalled(Instant::now())
    }

    pub(crate) fn probe_disk(&self) {
        self.gate.probe();
    }

    pub(crate) fn durable_committed(&self) -> ControlPlaneLogIndex {
        #[cfg(planted_bugs)]
        if cp_seam::planted::active(cp_seam::planted::Bug::CommitBeforeFsync) {
            return self.store().committed();
        }
        self.store().durable().borrow().committed
    }

    pub(crate) fn last_ack(&self, peer: Incarnation) -> Option<Duration> {
        self.books().contacts.last_ack(peer).map(|at| Instant::now().saturating_duration_since(at))
    }

    pub(crate) fn silent_for(&self, peer: Incarnation) -> Duration {
        let since = self.books().contacts.silent_since(peer);
        since.map_or(Duration::ZERO, |since| Instant::now().saturating_duration_since(since))
    }
}
