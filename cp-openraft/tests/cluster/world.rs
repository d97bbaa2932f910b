//! Nodes in one process: real driver, real engine, real store; frames and bytes
//! in memory, time paused.

use crate::state::{Texts, quorum};
use bytes::Bytes;
use cp_driver::wire::{Body, Envelope, PositionMessage};
use cp_driver::{Parts, Settings, founding};
use cp_seam::{
    ClusterId, ControlPlaneConsensus, ControlPlaneConsensusExt, ControlPlaneEntry, ControlPlaneRole, Generation,
    Incarnation, Lane, LogPosition, MemberId, PeerReceiver, PeerTransport, QuorumMember, SendRefusal, SettleError,
    Term,
};
use cp_store::{
    Expected, Founding, Identity, MemoryDirectory, Pace, SnapshotMeta, Store, TermRuns, Writer, WriterWork,
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const T: Duration = Duration::from_millis(500);

/// Runs `test` on a runtime whose order of tasks is `seed`'s.
pub(crate) fn run<F: Future<Output = R>, R>(seed: u8, test: F) -> R {
    let seed = tokio::runtime::RngSeed::from_bytes(&[seed]);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).rng_seed(seed).build().expect("a runtime");
    runtime.block_on(test)
}

/// Who can be reached, and which links are cut.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    nodes: Mutex<BTreeMap<u64, Arc<dyn PeerReceiver>>>,
    cut: Mutex<BTreeSet<(u64, u64)>>,
    /// What was delivered, and when.
    trace: Mutex<Vec<(u128, u64, u64, Bytes)>>,
    began: OnceLock<Instant>,
}

#[derive(Debug)]
struct Port {
    hub: Arc<Hub>,
    me: u64,
    served: Mutex<BTreeSet<u64>>,
}

impl PeerTransport for Port {
    fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.hub.nodes.lock().expect("unpoisoned").insert(self.me, receiver);
    }

    fn detach(&self) {
        self.hub.nodes.lock().expect("unpoisoned").remove(&self.me);
    }

    fn serve(&self, peers: Vec<QuorumMember>) {
        *self.served.lock().expect("unpoisoned") = peers.iter().map(|m| m.incarnation.0).collect();
    }

    fn send(&self, to: Incarnation, _lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        if !self.served.lock().expect("unpoisoned").contains(&to.0) {
            return Err(SendRefusal::UnknownPeer(to));
        }
        let (hub, from, to) = (Arc::clone(&self.hub), self.me, to.0);
        tokio::spawn(async move {
            sleep(Duration::from_millis(2)).await;
            if hub.cut.lock().expect("unpoisoned").contains(&(from, to)) {
                return;
            }
            let (sender, receiver) = {
                let nodes = hub.nodes.lock().expect("unpoisoned");
                (nodes.get(&from).cloned(), nodes.get(&to).cloned())
            };
            let (Some(sender), Some(receiver)) = (sender, receiver) else { return };
            if receiver.admit(&sender.hello()).is_err() || sender.admit(&receiver.hello()).is_err() {
                return;
            }
            let at = hub.began.get_or_init(Instant::now).elapsed().as_nanos();
            hub.trace.lock().expect("unpoisoned").push((at, from, to, frame.clone()));
            receiver.receive(Incarnation(from), frame);
        });
        Ok(())
    }
}

/// A disk that takes a millisecond.
#[derive(Debug)]
struct Steady;

impl Pace for Steady {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(sleep(Duration::from_millis(1)))
    }
}

pub(crate) struct Node {
    dir: MemoryDirectory,
    store: Option<Store>,
    pub(crate) state: Texts,
    running: Option<Arc<dyn ControlPlaneConsensus>>,
}

pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) settings: Settings,
}

impl World {
    /// Founds members 1 to `voters`, all data members unless `quorum` says otherwise.
    pub(crate) async fn found(quorum: &str, settings: Settings) -> Self {
        let mut world = Self { hub: Arc::default(), nodes: BTreeMap::new(), settings };
        let (image, digest) = Texts::founding(quorum);
        let members = crate::state::quorum(quorum);
        for member in &members.voters {
            let meta = SnapshotMeta {
                position: LogPosition::GENESIS,
                configuration: members.clone().into(),
                configuration_at: LogPosition::GENESIS,
                terms: TermRuns::default(),
                digest,
            };
            world.make(member.incarnation.0, Founding { meta, chunks: vec![image.clone()] });
            world.start(member.incarnation.0).await;
        }
        world
    }

    pub(crate) fn make(&mut self, id: u64, founding: Founding) {
        let dir = MemoryDirectory::new();
        let identity = Identity {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member: MemberId::new(&format!("m{id}")).expect("legal"),
            incarnation: Incarnation(id),
            engine: cp_openraft::ENGINE.to_owned(),
        };
        Store::create(&dir, &identity, founding).expect("created");
        self.nodes.insert(id, Node { dir, store: None, state: Texts::default(), running: None });
    }

    pub(crate) async fn start(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("known");
        let writer = Writer::Task(Arc::new(Steady));
        let store = Store::open(Arc::new(node.dir.clone()), &Expected::default(), writer).expect("opened");
        node.store = Some(store.clone());
        node.state = Texts::default();
        let parts = Parts {
            store,
            state: Arc::new(node.state.clone()),
            transport: Arc::new(Port { hub: Arc::clone(&self.hub), me: id, served: Mutex::default() }),
            settings: Settings { seed: self.settings.seed + id, ..self.settings.clone() },
        };
        node.running = Some(cp_openraft::start(parts).await.expect("started"));
    }

    /// What was founded on `from`'s present state, as a join reply would say it.
    pub(crate) fn join_reply(&self, from: u64) -> Founding {
        let node = &self.nodes[&from];
        founding(node.store.as_ref().expect("running"), &node.state).expect("captured")
    }

    /// Power loss: what was not synced is gone.
    pub(crate) fn crash(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("known");
        self.hub.nodes.lock().expect("unpoisoned").remove(&id);
        node.store.take().expect("running").abandon();
        node.dir = node.dir.crash();
        node.running = None;
    }

    pub(crate) fn node(&self, id: u64) -> &Arc<dyn ControlPlaneConsensus> {
        self.nodes[&id].running.as_ref().expect("running")
    }

    pub(crate) fn store(&self, id: u64) -> &Store {
        self.nodes[&id].store.as_ref().expect("running")
    }

    pub(crate) fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, n)| n.running.is_some()).map(|(id, _)| *id).collect()
    }

    /// Cuts `id` off from everybody, or heals it.
    pub(crate) fn isolate(&self, id: u64, cut: bool) {
        for other in self.nodes.keys().filter(|other| **other != id) {
            self.link(id, *other, cut);
        }
    }

    /// Cuts both ways between two nodes, or heals them.
    pub(crate) fn link(&self, a: u64, b: u64, cut: bool) {
        let mut cuts = self.hub.cut.lock().expect("unpoisoned");
        for pair in [(a, b), (b, a)] {
            if cut {
                cuts.insert(pair);
            } else {
                cuts.remove(&pair);
            }
        }
    }

    pub(crate) fn serving(&self, among: &[u64]) -> Option<u64> {
        among.iter().copied().find(|id| self.node(*id).is_leader())
    }

    pub(crate) async fn leader(&self) -> u64 {
        self.leader_among(&self.running()).await
    }

    pub(crate) async fn leader_among(&self, among: &[u64]) -> u64 {
        self.until("a leader serves", 6 * T, || self.serving(among)).await
    }

    pub(crate) async fn until<R>(&self, what: &str, patience: Duration, mut check: impl FnMut() -> Option<R>) -> R {
        let poll = async {
            loop {
                if let Some(result) = check() {
                    return result;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(patience, poll).await {
            Ok(result) => result,
            Err(_) => panic!("not within {patience:?}: {what}; {}", self.describe()),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let one = |id: &u64| {
            let node = self.node(*id);
            format!(
                "{id}: {:?} term {} leader {:?} committed {} applied {:?} {:?}",
                node.role(),
                node.term(),
                node.leader(),
                node.committed_index(),
                node.watch().current().applied,
                node.watch().current().stopped,
            )
        };
        self.running().iter().map(one).collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn commit(&self, id: u64, entry: ControlPlaneEntry) -> Result<LogPosition, SettleError> {
        self.node(id).propose_committed(entry, 4 * T).await
    }

    /// All running nodes have applied what `id` has, and agree.
    pub(crate) async fn agree(&self) {
        let all = self.running();
        self.until("all nodes agree", 20 * T, || {
            let texts: BTreeSet<_> = all.iter().map(|id| self.nodes[id].state.all()).collect();
            let applied: BTreeSet<_> = all.iter().map(|id| self.node(*id).watch().current().applied).collect();
            (texts.len() == 1 && applied.len() == 1).then_some(())
        })
        .await;
    }

    pub(crate) async fn settled(&self, wanted: &str) {
        let wanted = quorum(wanted);
        self.until("the wanted quorum is the engine's", 20 * T, || {
            let leader = self.serving(&self.running())?;
            let newest = self.store(leader).configurations().pop()?.1;
            (self.node(leader).watch().current().settled && newest.is(&wanted)).then_some(())
        })
        .await;
    }

    /// What the terms and roles say now: never two leaders in a term (CP-S1).
    pub(crate) fn leaders(&self) -> BTreeMap<Term, Vec<u64>> {
        let mut leaders = BTreeMap::<_, Vec<_>>::new();
        for id in self.running() {
            if self.node(id).role() == ControlPlaneRole::Leader {
                leaders.entry(self.node(id).term()).or_default().push(id);
            }
        }
        leaders
    }
}

/// An append without records by the leader of `term`, as the engine writes it; positions are (term, index).
pub(crate) fn append(term: u64, after: Option<(u64, u64)>, committed: Option<(u64, u64)>) -> Vec<u8> {
    let position = |(term, index)| PositionMessage { term, index };
    let append = Append { term, after: after.map(position), committed: committed.map(position) };
    Asking { id: 1, append: Some(append) }.encode_to_vec()
}

#[derive(Clone, PartialEq, prost::Message)]
struct Asking {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    append: Option<Append>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Append {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(message, optional, tag = "2")]
    after: Option<PositionMessage>,
    #[prost(message, optional, tag = "4")]
    committed: Option<PositionMessage>,
}

/// As much of the engine's message as tells a question from an answer.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", optional, tag = "2")]
    append: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    campaign: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    transfer: Option<Bytes>,
}

impl Hub {
    /// Delivers everything that was ever delivered once more, in order, without the handshake's leave.
    pub(crate) async fn replay(&self) {
        let frames = self.trace.lock().expect("unpoisoned").clone();
        for (_, from, to, frame) in frames {
            let receiver = self.nodes.lock().expect("unpoisoned").get(&to).cloned();
            if let Some(receiver) = receiver {
                receiver.receive(Incarnation(from), frame);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Who asked under which id, in all requests that were delivered.
    pub(crate) fn questions(&self) -> Vec<(u64, u64)> {
        let asked = |(_, from, _, frame): &(u128, u64, u64, Bytes)| {
            let question = Question::decode(Envelope::engine_message(frame.clone())?).expect("a message");
            let asks = question.append.or(question.campaign).or(question.transfer).is_some();
            asks.then_some((*from, question.id))
        };
        self.trace.lock().expect("unpoisoned").iter().filter_map(asked).collect()
    }

    /// Delivers `message` as if an engine had sent it.
    pub(crate) fn forge(&self, from: u64, to: u64, message: Vec<u8>) {
        let envelope = Envelope {
            version: Envelope::VERSION,
            applied: 0,
            digest: Bytes::new(),
            body: Some(Body::Engine(message.into())),
        };
        let receiver = self.nodes.lock().expect("unpoisoned").get(&to).cloned().expect("attached");
        receiver.receive(Incarnation(from), envelope.encode_to_vec().into());
    }

    /// A fingerprint of everything that was delivered, in order.
    pub(crate) fn fingerprint(&self) -> (usize, u64) {
        let trace = self.trace.lock().expect("unpoisoned");
        let mut sum = 0_u64;
        for (at, from, to, frame) in trace.iter() {
            for byte in at.to_be_bytes().iter().chain([*from as u8, *to as u8].iter()).chain(frame.iter()) {
                sum = sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
            }
        }
        (trace.len(), sum)
    }
}
