//! Nodes that are started, killed, restarted, and asked.

use super::net::{End, Net};
use super::quorum_member;
use super::state::Kept;
use crate::engine::RaftRs;
use cp_driver::{Engine, Parts, Settings};
use cp_seam::{
    ClusterId, ControlPlaneConsensus, ControlPlaneConsensusExt, ControlPlaneEntry, ControlPlanePayload, Generation,
    Incarnation, LogPosition, SettleError,
};
use cp_store::{
    Configuration, Expected, Founding, Identity, Layout, MemoryDirectory, Pace, SnapshotMeta, Store, TermRuns, Writer,
    WriterWork,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A disk that takes a millisecond, or stands still.
#[derive(Debug)]
pub(crate) struct Disk(watch::Sender<bool>);

impl Pace for Disk {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut stalled = self.0.subscribe();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(stalled.wait_for(|stalled| !stalled).await);
        })
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) seam: Arc<dyn ControlPlaneConsensus>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: Store,
    pub(crate) state: Kept,
    disk: Arc<Disk>,
}

impl Node {
    pub(crate) fn stall(&self, stalled: bool) {
        self.disk.0.send_replace(stalled);
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        self.seam.watch().current().stopped
    }
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) directories: BTreeMap<u64, MemoryDirectory>,
    pub(crate) settings: Settings,
}

pub(crate) fn genesis(voters: impl IntoIterator<Item = u64>) -> Founding {
    let configuration = super::configuration(voters, [], []);
    let (configuration_at, terms, digest) = (LogPosition::GENESIS, TermRuns::default(), Default::default());
    let meta = SnapshotMeta { position: LogPosition::GENESIS, configuration, configuration_at, terms, digest };
    Founding { meta, chunks: Vec::new() }
}

pub(crate) fn entry(text: &str) -> ControlPlaneEntry {
    ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(text.to_owned()).expect("short"))
}

impl Cluster {
    /// Starts `voters`, and waits for their leader.
    pub(crate) async fn start(voters: impl IntoIterator<Item = u64> + Clone) -> Self {
        let mut cluster = Self::prepared(voters.clone());
        for id in voters {
            cluster.boot(id).await;
        }
        cluster.leader().await;
        cluster
    }

    /// The directories of `voters`, nothing started.
    pub(crate) fn prepared(voters: impl IntoIterator<Item = u64> + Clone) -> Self {
        let settings = Settings { snapshot_every: 1 << 40, retained: 4, ..Settings::default() };
        let (nodes, directories) = Default::default();
        let mut cluster = Self { net: Arc::default(), nodes, directories, settings };
        for id in voters.clone() {
            cluster.found(id, genesis(voters.clone()));
        }
        cluster
    }

    pub(crate) fn found(&mut self, id: u64, founding: Founding) {
        let dir = MemoryDirectory::new();
        let identity = Identity {
            cluster: ClusterId([7; 16]),
            generation: Generation::default(),
            member: quorum_member(id).id,
            incarnation: Incarnation(id),
            engine: crate::ENGINE.to_owned(),
        };
        let layout = Layout { segment_bytes: 256 << 10 };
        Store::create_with(&dir, &identity, founding, layout).expect("an empty directory");
        self.directories.insert(id, dir);
    }

    pub(crate) fn open(&self, id: u64) -> (Store, Arc<Disk>) {
        let disk = Arc::new(Disk(watch::Sender::new(false)));
        let dir = Arc::new(self.directories[&id].clone());
        let store = Store::open(dir, &Expected::default(), Writer::Task(disk.clone())).expect("opens");
        (store, disk)
    }

    pub(crate) async fn boot(&mut self, id: u64) {
        let (store, disk) = self.open(id);
        let state = Kept::default();
        let parts = Parts {
            store: store.clone(),
            state: Arc::new(state.clone()),
            transport: Arc::new(End { net: Arc::clone(&self.net), me: id, directory: self.directories[&id].clone() }),
            settings: Settings { seed: id, ..self.settings.clone() },
        };
        let mut kept = None;
        let seam = cp_driver::start(parts, crate::ENGINE, crate::WIRE_VERSIONS, |host| {
            let engine = RaftRs::start(host);
            kept = engine.as_ref().ok().cloned();
            std::future::ready(engine)
        });
        let seam = seam.await.expect("starts");
        let engine = kept.expect("it was built");
        self.nodes.insert(id, Node { seam, engine, store, state, disk });
    }

    /// Power loss: what is not synced is gone.
    pub(crate) async fn kill(&mut self, id: u64) {
        let survivor = self.directories[&id].crash();
        self.directories.insert(id, survivor);
        if let Some(node) = self.nodes.remove(&id) {
            node.store.abandon();
            node.engine.stop().await;
            self.net.forget(id);
        }
    }

    pub(crate) async fn restart(&mut self, id: u64) {
        self.kill(id).await;
        self.boot(id).await;
    }

    /// Waits until `done` holds, for up to 20 election timeouts.
    pub(crate) async fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(self.settings.election_timeout / 100).await;
        }
        let status: Vec<_> = self.nodes.values().map(|n| n.seam.watch().current()).collect();
        panic!("{what} did not come about: {status:#?}");
    }

    /// The one that serves, once there is one.
    pub(crate) async fn leader(&self) -> u64 {
        self.until("a leader", |c| c.nodes.values().any(|n| n.seam.is_leader())).await;
        self.nodes.iter().find(|(_, n)| n.seam.is_leader()).map(|(id, _)| *id).expect("just seen")
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        &self.nodes[&id]
    }

    /// Proposes at whoever leads, until it is committed.
    pub(crate) async fn commit(&self, entry: ControlPlaneEntry) -> LogPosition {
        for _ in 0..50 {
            let leader = self.leader().await;
            let wait = self.settings.election_timeout * 2;
            match self.node(leader).seam.propose_committed(entry.clone(), wait).await {
                Ok(position) => return position,
                Err(SettleError::Propose(_) | SettleError::Superseded { .. } | SettleError::Unknown { .. }) => {}
            }
        }
        panic!("nothing is committed");
    }

    pub(crate) async fn write(&self, texts: std::ops::Range<u32>) {
        for n in texts {
            self.commit(entry(&n.to_string())).await;
        }
    }

    /// Asks for a quorum, and waits until it is the committed configuration.
    pub(crate) async fn want(&self, quorum: &str) {
        let payload = ControlPlanePayload::new(quorum.to_owned()).expect("short");
        self.commit(ControlPlaneEntry::MembershipChange(payload)).await;
        self.until(quorum, |c| c.nodes.values().any(|n| n.seam.is_leader() && n.seam.watch().current().settled)).await;
    }

    /// Waits until all running nodes have applied the same.
    pub(crate) async fn agree(&self) {
        self.until("agreement", |c| {
            let most = c.nodes.values().map(|n| n.state.lines().len()).max();
            c.nodes.values().all(|n| Some(n.state.lines().len()) == most)
        })
        .await;
        let all: Vec<_> = self.nodes.values().map(|n| n.state.lines()).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    }

    pub(crate) fn newest(&self, id: u64) -> (LogPosition, Configuration) {
        self.node(id).store.configurations().pop().expect("never empty")
    }
}
