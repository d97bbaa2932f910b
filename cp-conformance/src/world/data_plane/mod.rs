//! A data plane beside the consensus nodes: what an embedder builds from `cp-lease`.
//!
//! Each process has a member's side, whose gates admit or refuse writes, and a leader's
//! side, which renews leases while its node leads. Both follow the node's own state, by
//! a clock of their own, and stand still while the process is paused; messages travel as
//! the simulated network lets them. A crash takes everything but the gates that were
//! closed, if that was on the disk.

mod calm;
mod clock;
mod granter;
mod host;
mod member;
mod scenes;
mod writers;

use super::{Roster, Up, World, scenario};
use crate::checks::Broken;
use crate::monitor::Monitor;
use crate::network::Network;
use crate::options::Leases;
use crate::rng::Rng;
use crate::sync::locked;
use crate::trace::Trace;
use clock::{Clock, drift};
use cp_catalog::{ClosedGate, Epoch, MemberLife, RangeKey};
use cp_lease::{Margin, Policy, Renewal};
use cp_seam::MemberId;
#[cfg(planted_bugs)]
use cp_seam::planted::{Bug, active};
use host::Host;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a member's side hears.
#[derive(Debug, Clone)]
enum Word {
    /// A leader's answer to the ask with this number, of this life of the member.
    Renewed { life: u64, number: u64, renewal: Renewal },
    /// A caller wants the range handed over: its gate is to be closed.
    Close(RangeKey),
    /// A caller writes this key, as it was told to route it.
    Write { range: RangeKey, epoch: Epoch, key: Vec<u8> },
}

/// What a leader's side hears.
#[derive(Debug, Clone)]
enum Ask {
    /// The member in this slot, in this life of its node, wants its leases renewed.
    Renew { slot: usize, life: u64, number: u64, member: MemberLife },
    /// An owner has closed its gate.
    Closed(MemberLife, ClosedGate),
}

/// The data plane of one run. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DataPlane(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: Policy,
    leases: Leases,
    seed: u64,
    network: Network,
    monitor: Arc<Monitor>,
    trace: Trace,
    roster: Roster,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    slots: BTreeMap<MemberId, usize>,
    hosts: BTreeMap<usize, Arc<Host>>,
    /// What is on the disks: closed gates, by slot.
    closed: BTreeMap<usize, BTreeMap<RangeKey, ClosedGate>>,
    /// What callers were told of closed gates.
    words: BTreeMap<RangeKey, ClosedGate>,
}

impl DataPlane {
    pub(super) fn new(leases: Leases, world: &World) -> Result<Self, Broken> {
        let margin = Margin::for_drift(leases.length, leases.drift_ppm);
        let policy = Policy::new(leases.length, margin).map_err(|error| scenario(error.to_string()))?;
        Ok(Self(Arc::new(Shared {
            policy,
            leases,
            seed: world.seed,
            network: world.network.clone(),
            monitor: Arc::clone(&world.monitor),
            trace: world.trace.clone(),
            roster: Arc::clone(&world.roster),
            places: Mutex::default(),
        })))
    }

    /// The process of `up` begins.
    pub(super) fn begin(&self, up: &Up, member: MemberLife) {
        let (slot, number) = (up.life.slot(), up.life.number());
        let mut rng = Rng::new(self.0.seed, &format!("data plane {slot} life {number}"));
        let clock = Clock::new(rng.below(1 << 40), drift(&mut rng, self.0.leases.drift_ppm));
        let closed =
            locked(&self.0.places).closed.get(&slot).cloned().unwrap_or_default().into_values().collect::<Vec<_>>();
        #[cfg(planted_bugs)]
        let closed = closed.into_iter().filter(|_| !active(Bug::ClosureForgotten)).collect();
        let policy = self.policy(&mut rng);
        let (host, inbox) = Host::new(up, member, clock, policy, closed);
        let host = Arc::new(host);
        {
            let mut places = locked(&self.0.places);
            places.slots.insert(host.member().id.clone(), slot);
            places.hosts.insert(slot, Arc::clone(&host));
        }
        let freezer = up.life.freezer().clone();
        let (plane, of) = (self.clone(), Arc::clone(&host));
        tokio::spawn(async move { freezer.run(member::run(plane, of, inbox.words, rng)).await });
        let (freezer, plane) = (up.life.freezer().clone(), self.clone());
        tokio::spawn(async move { freezer.run(granter::run(plane, host, inbox.asks)).await });
    }

    /// A process's own: lengths may differ, but for the longest.
    fn policy(&self, rng: &mut Rng) -> Policy {
        let (longest, per_mille) = (self.0.policy, if rng.per_mille(500) { rng.between(400, 1_000) } else { 1_000 });
        let length = longest.length().saturating_mul(u32::try_from(per_mille).unwrap_or(1_000)) / 1_000;
        let shorter = Policy::new(length, longest.margin());
        shorter.ok().filter(|_| self.0.leases.lengths_differ).unwrap_or(longest)
    }

    /// The process in `slot` is gone.
    pub(super) fn end(&self, slot: usize) {
        let gone = locked(&self.0.places).hosts.remove(&slot);
        drop(gone);
    }

    /// Lets go of everybody.
    pub(super) fn take_down(&self) {
        let gone = std::mem::take(&mut *locked(&self.0.places));
        drop(gone);
    }

    fn host(&self, slot: usize) -> Option<Arc<Host>> {
        locked(&self.0.places).hosts.get(&slot).cloned()
    }

    fn slot_of(&self, member: &MemberId) -> Option<usize> {
        locked(&self.0.places).slots.get(member).copied()
    }

    fn tell(&self, slot: usize, word: Word) {
        if let Some(host) = self.host(slot) {
            host.hear(word);
        }
    }

    fn ask(&self, slot: usize, ask: Ask) {
        if let Some(host) = self.host(slot) {
            host.be_asked(ask);
        }
    }

    /// What callers know of a gate of `range` that was closed under `epoch`. If it is nothing,
    /// `owner` is asked to close it.
    pub(crate) fn closed_gate(&self, range: &RangeKey, epoch: Epoch, owner: &MemberId) -> Option<ClosedGate> {
        let known = self.word(range).filter(|gate| gate.epoch == epoch);
        if known.is_none()
            && let Some(slot) = self.slot_of(owner)
        {
            self.tell(slot, Word::Close(range.clone()));
        }
        known
    }

    /// The newest closed gate of `range` that callers know of.
    pub(crate) fn word(&self, range: &RangeKey) -> Option<ClosedGate> {
        locked(&self.0.places).words.get(range).cloned()
    }

    /// It is on the disk of `slot` that a gate was closed, so callers and the leader are told.
    fn closed(&self, host: &Host, gate: ClosedGate) {
        let slot = host.slot();
        self.0.trace.node(slot, format_args!("has closed {} under epoch {}", gate.range, gate.epoch));
        {
            let mut places = locked(&self.0.places);
            places.closed.entry(slot).or_default().insert(gate.range.clone(), gate.clone());
            let word = places.words.entry(gate.range.clone()).or_insert_with(|| gate.clone());
            if word.epoch < gate.epoch {
                *word = gate.clone();
            }
        }
        if let Some(leader) = host.leader().and_then(|leader| self.slot_of(&leader)) {
            let (plane, member) = (self.clone(), host.member().clone());
            let deliver = move || plane.ask(leader, Ask::Closed(member.clone(), gate.clone()));
            self.0.network.carry(slot, leader, deliver);
        }
    }

    /// The longest that a wait for leases takes by true time, on the slowest clock.
    pub(crate) fn longest_wait(&self) -> Duration {
        let per_million = 1_000_000_u32.saturating_sub(self.0.leases.drift_ppm).max(1);
        self.0.policy.wait() * 1_000_000 / per_million
    }
}
