//! What it costs to make a batch durable, by how much it holds: on the disk that this is built on, with
//! every fsync, in wall time; and in memory, which is the store's own part, in time on a core.
//!
//! `cargo bench -p cp-store --bench commit`
#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark fails loudly and times")]

#[path = "../../cp-driver/benches/bed/clock.rs"]
mod clock;
#[path = "../../cp-driver/benches/bed/memory.rs"]
mod memory;

use clock::on_core;
use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LastVote,
    LogPosition, MemberId, MemberKind, QuorumMember, StateDigest, Term,
};
use cp_store::{
    Batch, Configuration, Directory, DiskDirectory, Expected, Founding, Identity, LogRecord, RecordBody, SnapshotMeta,
    Store, TermRuns, Writer,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use memory::{Memory, NoTime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// As long as a handoff.
const ENTRY_BYTES: usize = 200;
const ENTRIES: [u64; 4] = [1, 8, 64, 512];

fn new(dir: Arc<dyn Directory>, writer: Writer) -> Store {
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
        engine: "none".to_owned(),
    };
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: Configuration { voters: vec![member], ..Configuration::default() },
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: StateDigest::default(),
    };
    Store::create(dir.as_ref(), &identity, Founding { meta, chunks: vec!["genesis".into()] }).expect("created");
    Store::open(dir, &Expected::default(), writer).expect("opened")
}

fn on_disk() -> (TempDir, Store) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let store = new(Arc::new(DiskDirectory::new(dir.path())), Writer::Thread);
    (dir, store)
}

/// Appends `count` records to the log.
fn append(store: &Store, count: u64) -> Batch {
    static BYTES: [u8; ENTRY_BYTES] = [7; ENTRY_BYTES];
    let first = store.last().index.0 + 1;
    let record = |index| {
        let payload = ControlPlanePayload::new(BYTES.as_slice()).expect("short");
        LogRecord {
            position: LogPosition::new(Term(1), ControlPlaneLogIndex(index)),
            body: RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(payload)),
        }
    };
    Batch { append: (first..first + count).map(record).collect(), ..Batch::default() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Batches one after another, each once the one before it is durable.
async fn run(store: &Store, count: u64, batch: impl Fn(u64) -> Batch) {
    for number in 0..count {
        store.submit(batch(number)).expect("taken").await.expect("durable");
    }
}

fn timed(store: &Store, count: u64, batch: impl Fn(u64) -> Batch) -> Duration {
    let begun = Instant::now();
    runtime().block_on(run(store, count, batch));
    begun.elapsed()
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    for entries in ENTRIES {
        group.bench_function(BenchmarkId::new("append on the disk", entries), |bencher| {
            let (_dir, store) = on_disk();
            bencher.iter_custom(|count| timed(&store, count, |_| append(&store, entries)));
        });
    }
    group.bench_function("vote on the disk", |bencher| {
        let (_dir, store) = on_disk();
        bencher.iter_custom(|count| {
            let held = store.vote().term.0;
            let vote = |number| LastVote { term: Term(held + 1 + number), ..LastVote::default() };
            timed(&store, count, |number| Batch { vote: Some(vote(number)), ..Batch::default() })
        });
    });
    group.bench_function("committed index on the disk", |bencher| {
        let (_dir, store) = on_disk();
        bencher.iter_custom(|count| {
            let held = store.last().index.0;
            timed(&store, 1, |_| append(&store, count));
            let index = |number| ControlPlaneLogIndex(held + 1 + number);
            timed(&store, count, |number| Batch { committed: Some(index(number)), ..Batch::default() })
        });
    });
    for entries in ENTRIES {
        group.bench_function(BenchmarkId::new("append in memory", entries), |bencher| {
            let runtime = runtime();
            let writer = Writer::Task(Arc::new(NoTime));
            let store = runtime.block_on(async { new(Arc::new(Memory::default()), writer) });
            bencher.iter_custom(|count| {
                let begun = on_core();
                runtime.block_on(run(&store, count, |_| append(&store, entries)));
                on_core() - begun
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
