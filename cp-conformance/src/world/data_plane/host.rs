//! A process of a member: what its two sides share.

use super::clock::Clock;
use super::{Ask, Up, Word};
use crate::life::Life;
use crate::monitor::Monitor;
use crate::sync::locked;
use cp_catalog::{Catalog, CatalogMachine, Changes, ClosedGate, DataPosition, Epoch, MemberLife, RangeKey};
use cp_lease::{GateRefusal, Holder, Monotonic, NeverInEffect, Policy, RenewError, Renewal};
use cp_seam::{ControlPlaneConsensus, ControlPlaneLogIndex, MemberId};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Where the user's data always is: gates and leases are what is tried.
pub(super) const POSITION: DataPosition = DataPosition { term: 1, lsn: 1 };

#[derive(Debug)]
pub(super) struct Host {
    pub(super) life: Arc<Life>,
    pub(super) clock: Clock,
    pub(super) node: Arc<dyn ControlPlaneConsensus>,
    pub(super) state: Arc<CatalogMachine>,
    pub(super) policy: Policy,
    member: MemberLife,
    gates: Mutex<Gates>,
    words: UnboundedSender<Word>,
    asks: UnboundedSender<Ask>,
}

/// The gates, and the state at the index up to which they have followed it.
#[derive(Debug)]
struct Gates {
    holder: Holder,
    catalog: Catalog,
}

/// What arrives for the two sides.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) words: UnboundedReceiver<Word>,
    pub(super) asks: UnboundedReceiver<Ask>,
}

impl Host {
    pub(super) fn new(
        up: &Up,
        member: MemberLife,
        clock: Clock,
        policy: Policy,
        closed: Vec<ClosedGate>,
    ) -> (Self, Inbox) {
        let (words, words_inbox) = unbounded_channel();
        let (asks, asks_inbox) = unbounded_channel();
        let gates = up.state.read_at(|at, catalog| Gates {
            holder: Holder::new(member.clone(), policy.margin(), at, catalog, closed),
            catalog: catalog.clone(),
        });
        let (life, node, state) = (Arc::clone(&up.life), Arc::clone(&up.node), Arc::clone(&up.state));
        let host = Self { life, clock, node, state, policy, member, gates: Mutex::new(gates), words, asks };
        (host, Inbox { words: words_inbox, asks: asks_inbox })
    }

    pub(super) fn slot(&self) -> usize {
        self.life.slot()
    }

    pub(super) fn member(&self) -> &MemberLife {
        &self.member
    }

    pub(super) fn leader(&self) -> Option<MemberId> {
        self.node.leader()
    }

    pub(super) fn hear(&self, word: Word) {
        if let Err(unheard) = self.words.send(word) {
            tracing::trace!(%unheard, "a process is gone");
        }
    }

    pub(super) fn be_asked(&self, ask: Ask) {
        if let Err(unheard) = self.asks.send(ask) {
            tracing::trace!(%unheard, "a process is gone");
        }
    }

    /// Follows what the node has applied.
    pub(super) fn follow(&self) {
        let gates = &mut *locked(&self.gates);
        let (at, catalog) = self.state.read_at(|at, catalog| (at, catalog.clone()));
        let changes = self.state.changes_from(gates.holder.next(), usize::MAX);
        if !reaches(&changes, at) || gates.holder.follow(&changes).is_err() {
            gates.holder.reset(at, &catalog);
        }
        gates.catalog = catalog;
    }

    /// Writes to every range, under the epoch that its gate has: what a member's own callers
    /// do, who ask no catalog. The monitor hears of each.
    pub(super) fn writes_everywhere(&self, monitor: &Monitor) {
        let gates = locked(&self.gates);
        let now = self.clock.now();
        for (range, gate) in gates.holder.gates() {
            let epoch = gate.standing().epoch;
            let admitted = gate.admit(epoch, now);
            gates.tell(monitor, &self.life, range, epoch, &admitted);
        }
    }

    /// One write, of a key that was routed here.
    pub(super) fn write(&self, monitor: &Monitor, range: &RangeKey, epoch: Epoch, key: &[u8]) {
        let gates = locked(&self.gates);
        let here = gates.catalog.locate(&range.collection, key).is_some_and(|here| here.id == range.id);
        if here {
            let admitted = gates.holder.admit(range, epoch, self.clock.now());
            gates.tell(monitor, &self.life, range, epoch, &admitted);
        } else {
            monitor.refuses();
        }
    }

    pub(super) fn renew(&self, renewal: &Renewal, counted: Monotonic) -> Result<usize, RenewError> {
        locked(&self.gates).holder.renew(renewal, counted)
    }

    pub(super) fn close(&self, range: &RangeKey) -> Result<ClosedGate, NeverInEffect> {
        locked(&self.gates).holder.close(range, POSITION)
    }

    /// Why it admits no write to `range` now, if it does not.
    pub(super) fn refusal(&self, range: &RangeKey, epoch: Epoch) -> Option<GateRefusal> {
        locked(&self.gates).holder.admit(range, epoch, self.clock.now()).err()
    }
}

/// Whether `changes` tell of everything up to `at`.
fn reaches(changes: &Changes, at: ControlPlaneLogIndex) -> bool {
    matches!(changes, Changes::Items { next, .. } if *next > at)
}

impl Gates {
    fn tell(&self, monitor: &Monitor, life: &Life, range: &RangeKey, epoch: Epoch, admitted: &Result<(), GateRefusal>) {
        match (admitted, self.catalog.range(range)) {
            (Ok(()), Some(of)) => monitor.admits(life, range, epoch, &of.bounds),
            _ => monitor.refuses(),
        }
    }
}
