//! Nodes begin, end and begin again.

use super::front::Front;
use super::{DataPlane, Up, World, scenario};
use crate::checks::Broken;
use crate::disk::{Disk, Survivors};
use crate::life::Life;
use crate::monitor::{Monitor, Watched};
use crate::promise::Promise;
use crate::rng::Rng;
use crate::sync::locked;
use cp_catalog::{Addresses, Catalog, CatalogMachine, Features, FoundingMember, Locality, LongestLease, MemberLife};
use cp_driver::{Parts, Settings};
use cp_seam::{ControlPlaneConsensus, Incarnation, LogPosition, MemberId, MemberKind};
use cp_store::{Configuration, Expected, Founding, Identity, Layout, SnapshotMeta, Store, TermRuns, Writer};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a killed node's tasks are given to notice.
const ZOMBIE_FOR: Duration = Duration::from_secs(5);

/// How long a write-ahead segment is: between a handful of writes and a hundred
/// before the database absorbs them. Production's hold some 500, which few runs would reach.
const SEGMENT_BYTES: [u32; 4] = [64 << 10, 128 << 10, 256 << 10, 1 << 20];

/// Where a member of this name is said to be.
pub(super) fn addresses(member: &MemberId) -> Addresses {
    Addresses { peer: format!("{member}.sim:1"), client: format!("{member}.sim:2"), http: String::new() }
}

impl World {
    /// Makes the founding members and starts them.
    pub(crate) async fn found(&mut self) -> Result<(), Broken> {
        tokio::spawn(self.network.clone().run());
        self.plane = self.options.leases.map(|leases| DataPlane::new(leases, self)).transpose()?;
        self.workload.closes_gates_of(self.plane.clone());
        let (nodes, witnesses) = (self.options.nodes, self.options.witnesses);
        let mut members = Vec::new();
        for slot in 0..nodes {
            let id = MemberId::new(&format!("n{slot}")).map_err(|e| scenario(e.to_string()))?;
            let kind = if slot + witnesses >= nodes { MemberKind::Witness } else { MemberKind::Data };
            let addresses = addresses(&id);
            let level = cp_catalog::FEATURE_LEVEL;
            let (locality, features) = (Locality::default(), Features { level, ..Features::default() });
            members.push(FoundingMember { id, kind, addresses, locality, features });
        }
        let founders: Vec<(MemberId, MemberKind)> = members.iter().map(|m| (m.id.clone(), m.kind)).collect();
        let mut catalog =
            Catalog::genesis(self.cluster, self.generation, members).map_err(|e| scenario(e.to_string()))?;
        if let Some(leases) = self.options.leases {
            let longest = LongestLease::new(leases.length).map_err(|e| scenario(e.to_string()))?;
            catalog = catalog.with_longest_lease(longest);
        }
        let genesis = catalog.to_genesis().map_err(|e| scenario(e.to_string()))?;
        let meta = SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: Configuration::from(genesis.quorum.clone()),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: genesis.digest,
        };
        let founding = Founding { meta, chunks: genesis.chunks };
        self.genesis = Some(founding.clone());
        for ((member, kind), number) in founders.into_iter().zip(1..) {
            let slot = self.add(member, kind, Incarnation(number), &founding)?;
            self.start(slot).await?;
        }
        Ok(())
    }

    /// Gives a member a new disk with `founding` on it. It does not run yet.
    pub(super) fn add(
        &mut self,
        member: MemberId,
        kind: MemberKind,
        incarnation: Incarnation,
        founding: &Founding,
    ) -> Result<usize, Broken> {
        let slot = self.slots.len();
        let disk = Disk::new(self.seed, &format!("{slot}"), self.options.disk);
        self.slots.push(super::Slot { member, kind, incarnation, disk, lives: 0, retired: false });
        self.format(slot, incarnation, founding)?;
        Ok(slot)
    }

    /// Makes a new directory on the empty disk of `slot`.
    pub(super) fn format(&mut self, slot: usize, incarnation: Incarnation, founding: &Founding) -> Result<(), Broken> {
        let (cluster, generation) = (self.cluster, self.generation);
        let (engine, seed) = (self.backend.name().to_owned(), self.seed);
        let at = self.slot_mut(slot)?;
        at.incarnation = incarnation;
        let identity = Identity { cluster, generation, member: at.member.clone(), incarnation, engine };
        let directory = at.disk.mount(Arc::new(Life::new(slot, 0)));
        let mut rng = Rng::new(seed, &format!("layout {slot} {incarnation}"));
        let segment_bytes = rng.pick(&SEGMENT_BYTES).copied().unwrap_or_default();
        Store::create_with(&*directory, &identity, founding.clone(), Layout { segment_bytes })
            .map_err(|error| scenario(format!("n{slot} was not created: {error}")))?;
        let disk = at.disk.clone();
        self.monitor.enroll(slot, incarnation, disk);
        Ok(())
    }

    /// Starts the node in `slot`; a failure is a finding.
    pub async fn start(&mut self, slot: usize) -> Result<(), Broken> {
        self.try_start(slot)
            .await
            .map_err(|why| Broken::new("restart", Promise::D4, format!("n{slot} did not start: {why}")))
    }

    /// Starts the node in `slot`, or says why it did not start.
    pub async fn try_start(&mut self, slot: usize) -> Result<(), String> {
        let at = self.slots.get_mut(slot).ok_or("there is no such slot")?;
        at.lives += 1;
        let (number, disk) = (at.lives, at.disk.clone());
        let (member, incarnation) = (at.member.clone(), at.incarnation);
        self.restarts += u64::from(number > 1);
        let life = Arc::new(Life::new(slot, number));
        self.trace.node(slot, format_args!("starts life {number}"));
        self.monitor.inspect(slot);
        let expected = Expected { cluster: Some(self.cluster), member: Some(member.clone()) };
        let directory = disk.mount(Arc::clone(&life));
        let opened = Store::open(directory, &expected, Writer::Task(disk.pace(Arc::clone(&life))));
        #[cfg(planted_bugs)]
        let opened = self.or_anew(slot, &life, opened);
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                life.finish();
                return Err(cp_driver::chain(&error));
            }
        };
        let state = Arc::new(CatalogMachine::vacant().with_chunks_of(self.options.chunk_bytes));
        let watched = Watched {
            inner: Arc::clone(&state),
            monitor: Arc::clone(&self.monitor),
            life: Arc::clone(&life),
            booted: Arc::new(AtomicBool::new(false)),
            invariants: Arc::default(),
        };
        let seed = Rng::new(self.seed, &format!("node {slot} life {number}")).bits();
        let parts = Parts {
            store: store.clone(),
            state: Arc::new(watched),
            transport: self.network.endpoint(member.clone(), incarnation, Arc::clone(&life)),
            settings: Settings { seed, ..self.options.settings.clone() },
        };
        match life.freezer().run(self.backend.start(parts)).await {
            Ok(node) => {
                let node: Arc<dyn ControlPlaneConsensus> = Arc::new(Front { node, life: Arc::clone(&life) });
                tokio::spawn(watch(Arc::clone(&node), Arc::clone(&life), Arc::clone(&self.monitor)));
                let up = Up { life, node, store, state };
                if let Some(plane) = &self.plane {
                    plane.begin(&up, MemberLife { id: member, incarnation });
                }
                locked(&self.roster).insert(slot, up);
                Ok(())
            }
            Err(error) => {
                life.finish();
                Err(cp_driver::chain(&error))
            }
        }
    }

    /// Ends the node in `slot` here and now; of what it had not synced,
    /// `survivors` stay. Does nothing to a node that does not run.
    pub fn kill(&mut self, slot: usize, survivors: Survivors) -> Result<(), Broken> {
        let Some(up) = locked(&self.roster).remove(&slot) else { return Ok(()) };
        self.trace.node(slot, format_args!("is killed; {survivors:?} survives"));
        self.finish(&up);
        self.slot(slot)?.disk.crash(survivors);
        self.monitor.inspect(slot);
        tokio::spawn(bury(up));
        self.note_blackout();
        Ok(())
    }

    fn finish(&self, up: &Up) {
        up.life.finish();
        if let Some(plane) = &self.plane {
            plane.end(up.life.slot());
        }
    }

    fn note_blackout(&mut self) {
        if locked(&self.roster).is_empty() {
            self.blackouts += 1;
            self.backend.all_are_down(self.blackouts);
        }
    }

    /// Stops the node in `slot` in good order.
    pub async fn stop(&mut self, slot: usize) -> Result<(), Broken> {
        let up = self.up(slot)?;
        self.trace.node(slot, "is shut down");
        up.life.expect_stop();
        up.node.shutdown().await.map_err(|error| {
            Broken::new("restart", Promise::D4, format!("n{slot} did not shut down: {}", cp_driver::chain(&error)))
        })?;
        locked(&self.roster).remove(&slot);
        self.finish(&up);
        self.slot(slot)?.disk.crash(Survivors::Nothing);
        self.monitor.inspect(slot);
        self.note_blackout();
        Ok(())
    }

    /// Kills and starts the node in `slot`.
    pub async fn restart(&mut self, slot: usize, survivors: Survivors) -> Result<(), Broken> {
        self.kill(slot, survivors)?;
        self.start(slot).await
    }

    /// The nodes whose life has ended, or that have stopped, without the scenario
    /// having killed them; they are buried, and can be started again.
    pub fn reap(&mut self, survivors: Survivors) -> Result<Vec<usize>, Broken> {
        let stopped = |up: &Up| !up.life.goes_on() || up.node.watch().current().stopped.is_some();
        let gone: Vec<usize> =
            locked(&self.roster).iter().filter(|(_, up)| stopped(up)).map(|(slot, _)| *slot).collect();
        for slot in &gone {
            self.kill(*slot, survivors)?;
        }
        Ok(gone)
    }
}

/// Lets a killed node's tasks run into their dead disk and network, and ends them.
async fn bury(up: Up) {
    let ended = tokio::time::timeout(ZOMBIE_FOR, up.node.shutdown()).await;
    tracing::trace!(?ended, "a killed node was buried");
}

async fn watch(node: Arc<dyn ControlPlaneConsensus>, life: Arc<Life>, monitor: Arc<Monitor>) {
    let mut watch = node.watch();
    drop(node);
    monitor.status(&life, &watch.current());
    loop {
        tokio::select! {
            biased;
            () = life.finished() => return,
            status = watch.changed() => match status {
                Ok(status) => monitor.status(&life, &status),
                Err(_) => return,
            },
        }
    }
}

#[cfg(planted_bugs)]
impl World {
    /// What a host with the planted bug does about a directory that lost its files.
    fn or_anew(
        &self,
        slot: usize,
        life: &Arc<Life>,
        opened: Result<Store, cp_store::OpenError>,
    ) -> Result<Store, cp_store::OpenError> {
        use cp_seam::planted::{Bug, active};
        let (Some(at), Some(genesis)) = (self.slots.get(slot), &self.genesis) else { return opened };
        let lost = matches!(opened, Err(cp_store::OpenError::Lost { .. } | cp_store::OpenError::Absent { .. }));
        if !lost || !active(Bug::FreshAfterLoss) {
            return opened;
        }
        let (member, incarnation) = (at.member.clone(), at.incarnation);
        let (cluster, generation, engine) = (self.cluster, self.generation, self.backend.name().to_owned());
        let identity = Identity { cluster, generation, member, incarnation, engine };
        at.disk.wipe();
        let directory = at.disk.mount(Arc::clone(life));
        let made = Store::create(&*directory, &identity, genesis.clone());
        self.trace.node(slot, format_args!("is made anew: {}", made.is_ok()));
        let expected = Expected { cluster: Some(cluster), member: None };
        Store::open(directory, &expected, Writer::Task(at.disk.pace(Arc::clone(life))))
    }
}
