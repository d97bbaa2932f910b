//! What a proposal costs on an engine alone and behind the seam: one voter, nothing sent, a log in
//! memory, a state machine that counts. Each adapter's `benches/seam.rs` brings its engine.
//!
//! The engine alone appends, commits, applies and answers. Behind the seam there is, besides, what
//! the seam promises: a committed index that is durable before anything is applied (a second write
//! for each proposal), records that are checked and absorbed into a database, outcomes by the history
//! of terms, snapshots. `one thread` is all the work in one place and in turns, in time on a core, which
//! shows what is done whoever else wants the core; `threads` is as in production, with the store's writer
//! on a thread of its own, in wall time.

mod clock;
mod memory;
mod state;

use clock::on_core;
use cp_driver::{Parts, Settings};
use cp_seam::{
    ClusterId, ControlPlaneConsensus, ControlPlaneEntry, ControlPlanePayload, Generation, Incarnation, Lane,
    LogPosition, MemberId, MemberKind, Outcome, PeerReceiver, PeerTransport, QuorumMember, SendRefusal,
};
use cp_store::{Configuration, Expected, Founding, Identity, SnapshotMeta, Store, TermRuns, Writer};
use criterion::{BenchmarkId, Criterion, Throughput};
use memory::{Memory, NoTime};
use state::Count;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// As long as a handoff.
const ENTRY_BYTES: usize = 200;
const WRITERS: [u64; 2] = [1, 64];
/// How many proposals are timed at once; to start and stop the clock costs as much as a few.
const AT_LEAST: u64 = 1000;

/// Something that entries can be put to.
pub(crate) trait Target: Clone + Send + Sync + 'static {
    /// Resolves once `entry` is applied.
    fn put(&self, entry: ControlPlaneEntry) -> impl Future<Output = ()> + Send;
}

/// What is put; a copy shares the bytes.
pub(crate) fn entry() -> ControlPlaneEntry {
    static BYTES: [u8; ENTRY_BYTES] = [7; ENTRY_BYTES];
    ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(BYTES.as_slice()).expect("short"))
}

#[derive(Debug, Clone)]
struct Seam(Arc<dyn ControlPlaneConsensus>);

impl Target for Seam {
    async fn put(&self, entry: ControlPlaneEntry) {
        let position = self.0.propose(entry).await.expect("it leads");
        assert_eq!(self.0.outcome(position, Duration::from_secs(10)).await, Outcome::Committed);
    }
}

/// Who works where.
#[derive(Debug, Clone, Copy)]
enum Hands {
    One,
    Many,
}

impl Hands {
    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::One => Builder::new_current_thread(),
            Self::Many => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    }

    /// Since some point that stays.
    fn clock(self) -> Duration {
        match self {
            Self::One => on_core(),
            Self::Many => {
                static BEGUN: OnceLock<Instant> = OnceLock::new();
                BEGUN.get_or_init(Instant::now).elapsed()
            }
        }
    }

    fn writer(self) -> Writer {
        match self {
            Self::One => Writer::Task(Arc::new(NoTime)),
            Self::Many => Writer::Thread,
        }
    }
}

/// Puts the engine alone and the adapter side by side.
pub(crate) fn compare<B, Bare, Adapter>(
    criterion: &mut Criterion,
    engine: &str,
    bare: impl Fn() -> Bare,
    adapter: impl Fn(Parts) -> Adapter,
) where
    B: Target,
    Bare: Future<Output = B>,
    Adapter: Future<Output = Arc<dyn ControlPlaneConsensus>>,
{
    let mut group = criterion.benchmark_group(format!("seam on {engine}"));
    group.throughput(Throughput::Elements(1));
    for (hands, place) in [(Hands::One, "one thread"), (Hands::Many, "threads")] {
        for writers in WRITERS {
            group.bench_function(BenchmarkId::new(format!("engine alone, {place}"), writers), |bencher| {
                let runtime = hands.runtime();
                let target = runtime.block_on(bare());
                bencher.iter_custom(|count| runtime.block_on(drive(hands, &target, writers, count)));
            });
            group.bench_function(BenchmarkId::new(format!("adapter, {place}"), writers), |bencher| {
                let runtime = hands.runtime();
                let target = runtime.block_on(async {
                    let node = adapter(parts(hands.writer())).await;
                    let mut watch = node.watch();
                    while !node.is_leader() {
                        watch.changed().await.expect("it runs");
                    }
                    Seam(node)
                });
                bencher.iter_custom(|count| runtime.block_on(drive(hands, &target, writers, count)));
                runtime.block_on(target.0.shutdown()).expect("closed");
            });
        }
    }
    group.finish();
}

async fn drive(hands: Hands, target: &impl Target, writers: u64, count: u64) -> Duration {
    let each = count.max(AT_LEAST).div_ceil(writers);
    let begun = hands.clock();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let target = target.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    target.put(entry()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("every proposal is applied");
    }
    (hands.clock() - begun).mul_f64(count as f64 / (each * writers) as f64)
}

/// One voter on a store in memory, as it is in production otherwise.
fn parts(writer: Writer) -> Parts {
    let member = QuorumMember {
        incarnation: Incarnation(1),
        id: MemberId::new("n1").expect("legal"),
        kind: MemberKind::Data,
        address: "n1:7000".to_owned(),
    };
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation::default(),
        member: member.id.clone(),
        incarnation: member.incarnation,
        engine: "any".to_owned(),
    };
    let state = Count::new(member.clone());
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: Configuration { voters: vec![member], ..Configuration::default() },
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: state::digest(0),
    };
    let dir = Memory::default();
    Store::create(&dir, &identity, Founding { meta, chunks: vec![state::image(0)] }).expect("created");
    let store = Store::open(Arc::new(dir), &Expected::default(), writer).expect("opened");
    Parts { store, state: Arc::new(state), transport: Arc::new(Nowhere), settings: Settings::default() }
}

/// There is nobody to send to.
#[derive(Debug)]
struct Nowhere;

impl PeerTransport for Nowhere {
    fn attach(&self, _receiver: Arc<dyn PeerReceiver>) {}

    fn detach(&self) {}

    fn serve(&self, _peers: Vec<QuorumMember>) {}

    fn send(&self, _to: Incarnation, _lane: Lane, _frame: bytes::Bytes) -> Result<(), SendRefusal> {
        Ok(())
    }
}
