//! A node of the driver around a puppet: real store in memory, real driver, an
//! engine and a transport that do what a test says. Time is paused.

use crate::{Engine, EngineError, EngineView, Host, Parts, Settings};
use async_trait::async_trait;
use bytes::Bytes;
use cp_seam::{
    ClusterId, ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, ControlPlaneRole,
    ControlPlaneStateMachine, Generation, Halt, Incarnation, Lane, LogPosition, MemberId, MemberKind, PeerReceiver,
    PeerTransport, Quorum, QuorumMember, SendRefusal, SnapshotError, SnapshotReader, SnapshotWriter, StateDigest, Term,
};
use cp_store::{
    Batch, Configuration, Expected, Founding, Identity, LogRecord, MemoryDirectory, Pace, RecordBody, SnapshotMeta,
    Staged, Store, TermRuns, Writer, WriterWork,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::time::sleep;

pub(crate) const T: Duration = Duration::from_millis(500);

pub(crate) fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().expect("unpoisoned")
}

/// A member; 5 and 10 are witnesses.
pub(crate) fn member(incarnation: u64) -> QuorumMember {
    QuorumMember {
        incarnation: Incarnation(incarnation),
        id: MemberId::new(&format!("m{incarnation}")).expect("legal"),
        kind: if incarnation.is_multiple_of(5) { MemberKind::Witness } else { MemberKind::Data },
        address: format!("10.0.0.{incarnation}:7000"),
    }
}

pub(crate) fn uniform(voters: &[u64], learners: &[u64]) -> Configuration {
    let members = |numbers: &[u64]| numbers.iter().map(|n| member(*n)).collect();
    Configuration { voters: members(voters), outgoing: Vec::new(), learners: members(learners) }
}

/// An entry without effect on the quorum.
pub(crate) fn text(text: &str) -> ControlPlaneEntry {
    ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(text.to_owned()).expect("short"))
}

/// An entry that makes the state want these voters.
pub(crate) fn want(voters: &[u8]) -> ControlPlaneEntry {
    ControlPlaneEntry::MembershipChange(ControlPlanePayload::new(voters.to_vec()).expect("short"))
}

/// The voters wanted, and a count of entries that stands for a digest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<(u64, Vec<u8>)>>);

impl Tally {
    fn image(&self) -> (Bytes, StateDigest) {
        let voters = lock(&self.0).1.clone();
        let mut digest = [0; 32];
        digest[..voters.len()].copy_from_slice(&voters);
        (voters.into(), StateDigest(digest))
    }
}

impl ControlPlaneStateMachine for Tally {
    fn applied(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(lock(&self.0).0)
    }

    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt> {
        assert!(entry.payload().as_bytes().as_ref() != b"panic", "told to");
        self.skip(position)?;
        if let ControlPlaneEntry::MembershipChange(voters) = entry {
            lock(&self.0).1 = voters.as_bytes().to_vec();
        }
        Ok(())
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        let mut inner = lock(&self.0);
        assert_eq!(position.index.0, inner.0 + 1, "in order");
        inner.0 += 1;
        Ok(())
    }

    fn wanted_quorum(&self) -> Quorum {
        Quorum { voters: lock(&self.0).1.iter().map(|n| member((*n).into())).collect(), learners: Vec::new() }
    }

    fn digest(&self) -> StateDigest {
        self.image().1
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        let (image, digest) = self.image();
        Ok(Box::new(Capture { index: self.applied(), digest, image: Some(image) }))
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        Ok(Box::new(Restore { into: self.clone(), image: Vec::new() }))
    }
}

#[derive(Debug)]
struct Capture {
    index: ControlPlaneLogIndex,
    digest: StateDigest,
    image: Option<Bytes>,
}

impl SnapshotReader for Capture {
    fn index(&self) -> ControlPlaneLogIndex {
        self.index
    }

    fn digest(&self) -> StateDigest {
        self.digest
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt> {
        Ok(self.image.take())
    }
}

#[derive(Debug)]
struct Restore {
    into: Tally,
    image: Vec<u8>,
}

impl SnapshotWriter for Restore {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.image.extend(chunk);
        Ok(())
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, _digest: StateDigest) -> Result<(), SnapshotError> {
        *lock(&self.into.0) = (index.0, self.image);
        Ok(())
    }

    fn check(self: Box<Self>, digest: StateDigest) -> Result<(), SnapshotError> {
        let damaged = self.image.first() == Some(&BAD);
        if damaged { Err(SnapshotError::Digest { expected: digest, found: digest }) } else { Ok(()) }
    }
}

/// A state that begins with it does not restore.
pub(crate) const BAD: u8 = 0xff;

/// Keeps what was sent.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) receiver: Mutex<Option<Arc<dyn PeerReceiver>>>,
    pub(crate) served: Mutex<Vec<u64>>,
    pub(crate) sent: Mutex<Vec<(Incarnation, Bytes)>>,
}

impl PeerTransport for Wire {
    fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        *lock(&self.receiver) = Some(receiver);
    }

    fn detach(&self) {
        *lock(&self.receiver) = None;
    }

    fn serve(&self, peers: Vec<QuorumMember>) {
        *lock(&self.served) = peers.iter().map(|m| m.incarnation.0).collect();
    }

    fn send(&self, to: Incarnation, _lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        lock(&self.sent).push((to, frame));
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

/// An engine that writes what it is told to its store, and commits it at once.
#[derive(Debug, Default)]
pub(crate) struct Puppet {
    host: OnceLock<Arc<Host>>,
    /// What was asked, in words.
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) matched: Mutex<Vec<(Incarnation, ControlPlaneLogIndex)>>,
    /// Whether transfers and snapshots are left unanswered.
    pub(crate) hangs: AtomicBool,
    /// Whether what is appended stays uncommitted.
    pub(crate) withholds: AtomicBool,
    /// Where reads are made, unless at what is committed.
    pub(crate) reads_at: Mutex<Option<ControlPlaneLogIndex>>,
}

impl Puppet {
    pub(crate) fn host(&self) -> &Arc<Host> {
        self.host.get().expect("built")
    }

    fn note(&self, what: String) {
        lock(&self.asked).push(what);
    }

    pub(crate) fn write(&self, body: RecordBody) -> LogPosition {
        let (host, term) = (self.host(), self.host().view().term);
        let position = LogPosition::new(term, host.store().last().index.next());
        let committed = (!self.withholds.load(Ordering::SeqCst)).then_some(position.index);
        let append = vec![LogRecord { position, body }];
        host.store().submit(Batch { append, committed, ..Batch::default() }).expect("accepted");
        position
    }

    /// Puts another record, committed and of the present term, where the last one was.
    pub(crate) fn replace_last(&self) {
        let (host, term) = (self.host(), self.host().view().term);
        let position = LogPosition::new(term, host.store().last().index);
        let append = vec![LogRecord { position, body: RecordBody::Blank }];
        let (committed, truncate_from) = (Some(position.index), Some(position.index));
        host.store().submit(Batch { append, committed, truncate_from, ..Batch::default() }).expect("accepted");
    }

    async fn may_hang(&self) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Engine for Puppet {
    async fn append(&self, entry: ControlPlaneEntry) -> Result<LogPosition, EngineError> {
        Ok(self.write(RecordBody::Entry(entry)))
    }

    async fn reconfigure(&self, next: Configuration) -> Result<LogPosition, EngineError> {
        let list = |m: &[QuorumMember]| m.iter().map(|m| m.incarnation.to_string()).collect::<String>();
        self.note(format!("{}/{}/{}", list(&next.voters), list(&next.outgoing), list(&next.learners)));
        Ok(self.write(RecordBody::Configuration(next)))
    }

    async fn read_index(&self) -> Result<ControlPlaneLogIndex, EngineError> {
        Ok(lock(&self.reads_at).unwrap_or(self.host().store().committed()))
    }

    async fn transfer(&self, to: Incarnation) -> Result<(), EngineError> {
        self.note(format!("transfer to {to}"));
        self.may_hang().await;
        Ok(())
    }

    fn matched(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
        lock(&self.matched).clone()
    }

    fn receive(&self, _from: Incarnation, _message: Bytes) {}

    async fn install(&self, _from: Incarnation, _header: Bytes, staged: Staged) -> Result<(), EngineError> {
        self.note(format!("install {}", staged.meta().position));
        self.may_hang().await;
        Ok(())
    }

    async fn adopt(&self, staged: Staged, compact_to: ControlPlaneLogIndex) -> Result<(), EngineError> {
        self.note(format!("adopt {} and compact to {compact_to}", staged.meta().position));
        self.may_hang().await;
        let batch = Batch { snapshot: Some(staged), compact_to: Some(compact_to), ..Batch::default() };
        Ok(self.host().store().submit(batch).expect("accepted").await?)
    }

    async fn stop(&self) {
        self.note("stop".to_owned());
    }
}

/// A running node.
pub(crate) struct Rig {
    pub(crate) node: Arc<dyn ControlPlaneConsensus>,
    pub(crate) puppet: Arc<Puppet>,
    pub(crate) store: Store,
    pub(crate) wire: Arc<Wire>,
}

pub(crate) fn settings() -> Settings {
    Settings { election_timeout: T, heartbeat: T / 10, snapshot_every: 1 << 20, ..Settings::default() }
}

impl Rig {
    /// Starts member 1.
    pub(crate) async fn start(voters: &[u8], settings: Settings) -> Self {
        Self::start_as(1, voters, settings).await
    }

    pub(crate) async fn start_as(me: u64, voters: &[u8], settings: Settings) -> Self {
        let dir = MemoryDirectory::new();
        let identity = Identity {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member: member(me).id,
            incarnation: Incarnation(me),
            engine: "puppet".to_owned(),
        };
        let genesis = Tally(Arc::new(Mutex::new((0, voters.to_vec()))));
        let (image, digest) = genesis.image();
        let meta = SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: genesis.wanted_quorum().into(),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest,
        };
        Store::create(&dir, &identity, Founding { meta, chunks: vec![image] }).expect("created");
        let writer = Writer::Task(Arc::new(Steady));
        let store = Store::open(Arc::new(dir), &Expected::default(), writer).expect("opened");
        let (puppet, wire) = (Arc::new(Puppet::default()), Arc::new(Wire::default()));
        let parts = Parts {
            store: store.clone(),
            state: Arc::new(Tally::default()),
            transport: Arc::clone(&wire) as Arc<dyn PeerTransport>,
            settings,
        };
        let engine = Arc::clone(&puppet);
        let node = crate::start(parts, "puppet", cp_seam::WireVersions::only(1), |host| async move {
            engine.host.set(host).expect("once");
            Ok(engine as Arc<dyn Engine>)
        });
        Self { node: node.await.expect("started"), puppet, store, wire }
    }

    pub(crate) fn host(&self) -> &Host {
        self.puppet.host()
    }

    pub(crate) fn publish(&self, role: ControlPlaneRole, term: u64, leader: Option<u64>) {
        self.host().publish(EngineView { role, term: Term(term), leader: leader.map(Incarnation) });
    }

    /// Makes it the leader of `term`, with its first record committed.
    pub(crate) async fn lead(&self, term: u64) {
        self.publish(ControlPlaneRole::Leader, term, Some(self.host().me().0));
        self.puppet.write(RecordBody::Blank);
        self.until("it serves", || self.node.is_leader()).await;
    }

    /// These members answer, and hold the whole log.
    pub(crate) fn hear(&self, from: &[u64]) {
        let last = self.store.last();
        for from in from {
            let from = Incarnation(*from);
            self.host().acknowledged(from, self.host().view().term, last);
            let mut matched = lock(&self.puppet.matched);
            matched.retain(|(who, _)| *who != from);
            matched.push((from, last.index));
        }
    }

    pub(crate) async fn until(&self, what: &str, mut check: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if check() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("never: {what}; asked {:?}", lock(&self.puppet.asked));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.puppet.asked).clone()
    }
}
