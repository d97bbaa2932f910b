//! A simulated cluster, as a scenario handles it.

mod churn;
mod clients;
mod data_plane;
mod front;
mod life_cycle;
mod membership;
mod pause;
mod recovery;
mod rot;
mod script;
mod settle;
mod steady;
mod storm;

pub use clients::Attempt;
pub(crate) use data_plane::DataPlane;
pub use recovery::Cut;
pub use steady::Steady;

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::{Disk, Effects};
use crate::life::Life;
use crate::monitor::Monitor;
use crate::network::Network;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Report;
use crate::rng::Rng;
use crate::sync::locked;
use crate::trace::Trace;
use crate::workload::Workload;
use cp_catalog::CatalogMachine;
use cp_seam::{
    ClusterId, ControlPlaneConsensus, ControlPlaneRole, ControlPlaneStatus, Generation, Incarnation, LogPosition,
    MemberId, MemberKind,
};
use cp_store::{Founding, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a wait looks again, in simulated time.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running node.
#[derive(Debug, Clone)]
pub struct Up {
    /// This life of it.
    pub life: Arc<Life>,
    /// The node.
    pub node: Arc<dyn ControlPlaneConsensus>,
    /// Its store.
    pub store: Store,
    /// Its state.
    pub state: Arc<CatalogMachine>,
}

/// The nodes that run, shared with the clients.
pub(crate) type Roster = Arc<Mutex<BTreeMap<usize, Up>>>;

/// A member's place in the world; its disk outlives its lives.
#[derive(Debug)]
struct Slot {
    member: MemberId,
    kind: MemberKind,
    incarnation: Incarnation,
    disk: Disk,
    lives: u64,
    /// Left the cluster for good: not started again when everything heals.
    retired: bool,
}

/// The world of one run.
#[derive(Debug)]
pub struct World {
    backend: &'static dyn Backend,
    name: &'static str,
    seed: u64,
    options: Options,
    trace: Trace,
    network: Network,
    monitor: Arc<Monitor>,
    roster: Roster,
    slots: Vec<Slot>,
    rng: Rng,
    workload: Workload,
    plane: Option<DataPlane>,
    /// How often `workload` became another client's.
    clients: usize,
    cluster: ClusterId,
    generation: Generation,
    restarts: u64,
    pauses: u64,
    jumps: u64,
    blackouts: u64,
    /// How often another life of a member began under its name, on an empty disk.
    exchanged: u64,
    /// How often a member was removed by force.
    expelled: u64,
    /// How many callers have begun; no two propose the same.
    callers: usize,
    waits: BTreeMap<&'static str, Duration>,
    genesis: Option<Founding>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.network.take_down();
        if let Some(plane) = &self.plane {
            plane.take_down();
        }
        drop(std::mem::take(&mut *locked(&self.roster)));
    }
}

impl World {
    pub(crate) fn new(
        backend: &'static dyn Backend,
        name: &'static str,
        seed: u64,
        options: Options,
        trace: Trace,
    ) -> Self {
        backend.all_are_down(0);
        let mut rng = Rng::new(seed, "world");
        let monitor = Monitor::new(backend, trace.clone());
        let network = Network::new(seed, trace.clone());
        network.conditions(options.network);
        network.tap(Arc::clone(&monitor) as Arc<dyn crate::network::Wiretap>);
        let mut cluster = [0; 16];
        cluster.iter_mut().for_each(|byte| *byte = u8::try_from(rng.below(256)).unwrap_or_default());
        let workload = Workload::new(seed).every_transition(options.every_transition);
        Self {
            backend,
            name,
            seed,
            options,
            trace,
            network,
            monitor,
            roster: Roster::default(),
            slots: Vec::new(),
            workload,
            plane: None,
            clients: 0,
            rng,
            cluster: ClusterId(cluster),
            generation: Generation { number: 0, id: [7; 8] },
            restarts: 0,
            pauses: 0,
            jumps: 0,
            blackouts: 0,
            exchanged: 0,
            expelled: 0,
            callers: 0,
            waits: BTreeMap::new(),
            genesis: None,
        }
    }

    /// What watches this run.
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Chance, for the scenario's own decisions.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// T.
    pub fn election_timeout(&self) -> Duration {
        self.options.election_timeout()
    }

    /// How many members there are or were.
    pub fn size(&self) -> usize {
        self.slots.len()
    }

    /// The disk of `slot`.
    pub fn disk(&self, slot: usize) -> Result<Disk, Broken> {
        self.slot(slot).map(|slot| slot.disk.clone())
    }

    /// The name of the member in `slot`.
    pub fn member(&self, slot: usize) -> Result<MemberId, Broken> {
        self.slot(slot).map(|slot| slot.member.clone())
    }

    /// The present incarnation of the member in `slot`.
    pub fn incarnation(&self, slot: usize) -> Result<Incarnation, Broken> {
        self.slot(slot).map(|slot| slot.incarnation)
    }

    fn slot(&self, slot: usize) -> Result<&Slot, Broken> {
        self.slots.get(slot).ok_or_else(|| scenario(format!("there is no n{slot}")))
    }

    fn slot_mut(&mut self, slot: usize) -> Result<&mut Slot, Broken> {
        self.slots.get_mut(slot).ok_or_else(|| scenario(format!("there is no n{slot}")))
    }

    /// The slots of the nodes that run, ascending.
    pub fn running(&self) -> Vec<usize> {
        locked(&self.roster).iter().filter(|(_, up)| up.life.goes_on()).map(|(slot, _)| *slot).collect()
    }

    /// The slots of `all` that are not in `some`.
    pub fn others(&self, some: &[usize]) -> Vec<usize> {
        (0..self.slots.len()).filter(|slot| !some.contains(slot)).collect()
    }

    /// The running node in `slot`.
    pub fn up(&self, slot: usize) -> Result<Up, Broken> {
        locked(&self.roster).get(&slot).cloned().ok_or_else(|| scenario(format!("n{slot} does not run")))
    }

    /// The newest status of the node in `slot`.
    pub fn status(&self, slot: usize) -> Result<ControlPlaneStatus, Broken> {
        Ok(self.up(slot)?.node.watch().current())
    }

    /// Waits until `found` finds something, for at most `within`.
    pub async fn until<T>(
        &mut self,
        within: Duration,
        promise: Promise,
        what: &str,
        mut found: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, Broken> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            if tokio::time::Instant::now() >= deadline {
                let what = format!("{what}: not within {} ms", within.as_millis());
                return Err(Broken::new("liveness", promise, what));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits for a node that accepts proposals.
    pub async fn leader(&mut self) -> Result<usize, Broken> {
        let all: Vec<usize> = (0..self.slots.len()).collect();
        self.leader_among(&all, self.election_timeout() * 20).await
    }

    /// Waits for a node among `slots` that accepts proposals.
    pub async fn leader_among(&mut self, slots: &[usize], within: Duration) -> Result<usize, Broken> {
        let what = format!("a leader among {slots:?}");
        let led = |world: &Self| {
            slots.iter().copied().find(|slot| world.up(*slot).is_ok_and(|up| up.life.responds() && up.node.is_leader()))
        };
        self.until(within, Promise::L1, &what, led).await
    }

    /// Waits until every running member follows the leader in its term, and answers the leader.
    pub async fn settled_leader(&mut self) -> Result<usize, Broken> {
        let members: Vec<usize> =
            (0..self.slots.len()).filter(|at| self.slots.get(*at).is_some_and(|s| !s.retired)).collect();
        self.settled_leader_among(&members).await
    }

    /// As [`settled_leader`](Self::settled_leader), looking at `slots` only.
    pub async fn settled_leader_among(&mut self, slots: &[usize]) -> Result<usize, Broken> {
        let agreed = |world: &Self| {
            let mut running = world.running();
            running.retain(|slot| slots.contains(slot));
            let leader = running.iter().copied().find(|slot| world.up(*slot).is_ok_and(|up| up.node.is_leader()))?;
            let status = world.status(leader).ok()?;
            let all = running
                .iter()
                .all(|slot| world.status(*slot).is_ok_and(|s| s.term == status.term && s.leader == status.leader));
            (all && status.role == ControlPlaneRole::Leader).then_some(leader)
        };
        self.until(self.election_timeout() * 20, Promise::L1, "one leader whom all follow", agreed).await
    }

    /// Waits until the nodes in `slots` have applied up to `position`.
    pub async fn applied(&mut self, slots: &[usize], position: LogPosition, within: Duration) -> Result<(), Broken> {
        let what = format!("{slots:?} to apply {position}");
        let all = |world: &Self| {
            let reached = |slot: &usize| world.status(*slot).is_ok_and(|status| status.applied >= position.index);
            slots.iter().all(reached).then_some(())
        };
        self.until(within, Promise::L1, &what, all).await
    }

    /// What the run amounts to so far.
    pub fn report(&self) -> Report {
        let disks = self.slots.iter().map(|slot| slot.disk.effects()).fold(Effects::default(), |sum, e| sum.and(&e));
        Report {
            scenario: self.name.to_owned(),
            backend: self.backend.name(),
            seed: self.seed,
            simulated: Duration::from_millis(self.trace.elapsed_ms()),
            tally: self.monitor.tally(),
            restarts: self.restarts,
            pauses: self.pauses,
            jumps: self.jumps,
            blackouts: self.blackouts,
            exchanged: self.exchanged,
            expelled: self.expelled,
            waits: self.waits.clone(),
            traffic: self.network.traffic(),
            disks,
            trace: (self.trace.hash(), self.trace.count()),
        }
    }
}

/// The scenario itself is wrong, not the engine.
pub(crate) fn scenario(what: impl Into<String>) -> Broken {
    Broken::new("scenario", Promise::E1, what)
}

/// Objects unless `kept`.
pub fn ensure(kept: bool, promise: Promise, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken::new("case", promise, what())) }
}
