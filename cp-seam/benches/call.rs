//! What the seam itself costs: a proposal and its outcome through `Arc<dyn ControlPlaneConsensus>`,
//! two calls by table and two futures on the heap, next to the same calls on the type.
//!
//! `cargo bench -p cp-seam --bench call`
#![allow(missing_docs, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

use async_trait::async_trait;
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, ControlPlaneRole,
    ControlPlaneWatch, LogPosition, MemberId, MemberProgress, Outcome, ProposeError, ReadError, ReadPoint,
    ShutdownError, Term, TransferError,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Answers at once.
#[derive(Debug, Default)]
struct Ready(AtomicU64);

impl Ready {
    async fn put(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
        black_box(&entry);
        Ok(LogPosition::new(Term(1), ControlPlaneLogIndex(self.0.fetch_add(1, Ordering::Relaxed))))
    }

    async fn ask(&self, position: LogPosition, wait: Duration) -> Outcome {
        black_box((position, wait));
        Outcome::Committed
    }
}

#[async_trait]
impl ControlPlaneConsensus for Ready {
    fn role(&self) -> ControlPlaneRole {
        ControlPlaneRole::Leader
    }

    fn term(&self) -> Term {
        Term(1)
    }

    fn leader(&self) -> Option<MemberId> {
        None
    }

    fn is_leader(&self) -> bool {
        true
    }

    fn committed_index(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(self.0.load(Ordering::Relaxed))
    }

    async fn propose(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
        self.put(entry).await
    }

    async fn outcome(&self, position: LogPosition, wait: Duration) -> Outcome {
        self.ask(position, wait).await
    }

    async fn read_barrier(&self) -> Result<ReadPoint, ReadError> {
        Err(ReadError::NoQuorum)
    }

    fn progress(&self) -> Vec<MemberProgress> {
        Vec::new()
    }

    fn watch(&self) -> Box<dyn ControlPlaneWatch> {
        panic!("nobody watches")
    }

    async fn transfer_leadership(&self, to: &MemberId) -> Result<(), TransferError> {
        Err(TransferError::NotAVoter { to: to.clone() })
    }

    async fn shutdown(&self) -> Result<(), ShutdownError> {
        Ok(())
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it answers at once"),
    }
}

fn call(criterion: &mut Criterion) {
    const WAIT: Duration = Duration::from_secs(1);
    let entry = ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(vec![7; 200]).expect("short"));
    let mut group = criterion.benchmark_group("seam");
    group.throughput(Throughput::Elements(1));
    let plain = Arc::new(Ready::default());
    group.bench_function("propose and outcome, the type", |bencher| {
        bencher.iter(|| {
            let node = black_box(&plain);
            now(async {
                let position = node.put(entry.clone()).await.expect("taken");
                node.ask(position, WAIT).await
            })
        });
    });
    let seam: Arc<dyn ControlPlaneConsensus> = Arc::new(Ready::default());
    group.bench_function("propose and outcome, the seam", |bencher| {
        bencher.iter(|| {
            let node = black_box(&seam);
            now(async {
                let position = node.propose(entry.clone()).await.expect("taken");
                node.outcome(position, WAIT).await
            })
        });
    });
    group.finish();
}

criterion_group!(benches, call);
criterion_main!(benches);
