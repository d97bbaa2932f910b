//! The store at its simplest: what is written is there, also after a crash.

use crate::common::*;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex as Index, LastVote, LastVoteStore, LogPosition, Term};
use cp_store::{
    Batch, Directory, Expected, LogRecord, MemoryDirectory, Pace, RecordBody, SnapshotMeta, Store, TermRun, TermRuns,
    Writer, WriterWork,
};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn open(dir: &MemoryDirectory) -> Store {
    Store::open(Arc::new(dir.clone()), &Expected::default(), Writer::Thread).expect("opens")
}

#[tokio::test]
async fn acknowledged_writes_survive_power_loss() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    assert_eq!((store.boot(), store.last(), store.purged()), (1, LogPosition::GENESIS, LogPosition::GENESIS));
    let batch = Batch { vote: Some(vote(1, 7)), append: records(1, 1..=3), ..Batch::default() };
    let ticket = store.submit(batch).expect("accepted");
    assert_eq!(store.last(), position(1, 3));
    ticket.await.expect("durable");
    let ticket = store.submit(Batch { committed: Some(Index(2)), ..Batch::default() }).expect("accepted");
    ticket.await.expect("durable");

    let image = Store::inspect(&dir.crash()).expect("readable");
    assert_eq!((image.vote, image.committed, image.boot), (vote(1, 7), Index(2), 1));
    assert_eq!(image.log, records(1, 1..=3));

    store.abandon();
    let store = open(&dir.crash());
    assert_eq!((store.boot(), store.vote(), store.committed()), (2, vote(1, 7), Index(2)));
    assert_eq!(store.read(Index(1)..Index(9), usize::MAX).expect("read"), records(1, 1..=3));
    store.close().await.expect("closes");
}

#[tokio::test]
async fn a_snapshot_ahead_of_the_log_replaces_it() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    store.submit(Batch { append: records(1, 1..=3), ..Batch::default() }).expect("accepted").await.expect("durable");
    let mut stage = store.stage();
    stage.push(Bytes::from_static(b"one")).await.expect("written");
    stage.push(Bytes::from_static(b"two")).await.expect("written");
    let terms = TermRuns(vec![TermRun { term: Term(1), first: Index(1) }, TermRun { term: Term(2), first: Index(5) }]);
    let meta = SnapshotMeta { position: position(2, 9), terms, ..genesis().meta };
    let staged = stage.seal(meta.clone()).await.expect("sealed");
    store.submit(Batch { snapshot: Some(staged), ..Batch::default() }).expect("accepted").await.expect("durable");
    for store in [store.clone(), open(&dir.crash())] {
        assert_eq!((store.last(), store.purged(), store.committed()), (position(2, 9), position(2, 9), Index(9)));
        assert_eq!((store.term_at(Index(4)), store.term_at(Index(10))), (Some(Term(1)), None));
        let body = store.open_snapshot().expect("opens");
        assert_eq!((body.meta(), body.chunk_count()), (&meta, 2));
        assert_eq!(body.chunk(1).expect("reads"), "two");
        store.close().await.expect("closes");
    }
}

#[tokio::test]
async fn the_newest_configuration_and_the_terms_up_to_it_are_known() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    assert_eq!(store.newest_configuration_at(), LogPosition::GENESIS);
    let joint = LogRecord { position: position(2, 3), body: RecordBody::Configuration(configuration(1..=5)) };
    let append = [records(1, 1..=2), vec![joint], records(2, 4..=4)].concat();
    store.submit(Batch { append, ..Batch::default() }).expect("accepted").await.expect("durable");
    assert_eq!(store.newest_configuration_at(), position(2, 3));
    let runs = [TermRun { term: Term(1), first: Index(1) }, TermRun { term: Term(2), first: Index(3) }];
    for (index, count) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)] {
        assert_eq!(store.terms_to(Index(index)).0, runs[..count], "to {index}");
    }
    store.close().await.expect("closes");
}

#[tokio::test]
async fn a_snapshot_that_is_not_wanted_leaves_no_file() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    let meta = |index| SnapshotMeta { position: position(1, index), ..at_term_1(genesis().meta) };
    let mut unfinished = store.stage();
    unfinished.push(Bytes::from_static(b"begun")).await.expect("written");
    drop(unfinished);
    let mut stage = store.stage();
    stage.push(Bytes::from_static(b"unused")).await.expect("written");
    let unused = stage.seal(meta(4)).await.expect("sealed");
    let mut stage = store.stage();
    stage.push(Bytes::from_static(b"used")).await.expect("written");
    let used = stage.seal(meta(5)).await.expect("sealed");
    let snapshots = || {
        let files = dir.list().expect("lists");
        files.into_iter().filter(|name| name.starts_with("snapshot-")).count()
    };
    assert_eq!(snapshots(), 3, "the current one, and two that may be installed");
    drop(unused);
    store.submit(Batch { snapshot: Some(used), ..Batch::default() }).expect("accepted").await.expect("durable");
    store.close().await.expect("closes");
    assert_eq!(snapshots(), 1);
}

fn at_term_1(meta: SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta { terms: TermRuns(vec![TermRun { term: Term(1), first: Index(1) }]), ..meta }
}

#[tokio::test]
async fn a_vote_is_read_back() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = Store::open(Arc::new(dir.clone()), &Expected::default(), instant()).expect("opens");
    assert_eq!(store.load().expect("reads"), LastVote::default());
    store.persist(vote(3, 2)).expect("durable");
    assert_eq!(store.load().expect("reads"), vote(3, 2));
    let again = open(&dir.crash());
    assert_eq!(again.load().expect("reads"), vote(3, 2));
    again.close().await.expect("closes");
    store.close().await.expect("closes");
}

#[tokio::test]
async fn closing_twice_is_closing() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    let (one, other) = tokio::join!(store.close(), store.close());
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[derive(Debug)]
struct Slow;

impl Pace for Slow {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(Duration::from_millis(5)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_can_drive_the_writer() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let open = |dir: &MemoryDirectory| {
        Store::open(Arc::new(dir.clone()), &Expected::default(), Writer::Task(Arc::new(Slow))).expect("opens")
    };
    let store = open(&dir);
    let begun = Instant::now();
    let first = store.submit(Batch { append: records(1, 1..=1), ..Batch::default() }).expect("accepted");
    assert_eq!(store.oldest_unfinished(), Some(begun));
    first.await.expect("durable");
    assert_eq!((begun.elapsed(), store.oldest_unfinished()), (Duration::from_millis(5), None));
    let queued = store.submit(Batch { append: records(1, 2..=2), ..Batch::default() }).expect("accepted");
    store.persist(vote(2, 1)).expect("persisted inline, after what was queued");
    queued.await.expect("durable");
    let lost = store.submit(Batch { append: records(2, 3..=3), ..Batch::default() }).expect("accepted");
    store.abandon();
    lost.await.expect_err("a crash came first");
    let store = open(&dir.crash());
    assert_eq!((store.last(), store.vote()), (position(1, 2), vote(2, 1)));
    store.close().await.expect("closes");
}

#[tokio::test]
async fn readers_see_every_record_while_it_is_absorbed() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    let reader = store.clone();
    let reading = std::thread::spawn(move || {
        let mut seen = 0;
        while reader.last().index < Index(3_000) {
            let last = reader.last().index;
            let first = Index(last.0.saturating_sub(40).max(1));
            let read = reader.read(first..last.next(), usize::MAX).expect("readable");
            let expected = if last.0 == 0 { Vec::new() } else { records(1, first.0..=last.0) };
            assert_eq!(read, expected);
            seen += read.len();
        }
        seen
    });
    let mut durable = Vec::new();
    for index in 1..=3_000 {
        let batch = Batch { append: records(1, index..=index), ..Batch::default() };
        durable.push(store.submit(batch).expect("accepted"));
        if index % 7 == 0 {
            durable.pop().expect("just pushed").await.expect("durable");
        }
    }
    assert!(reading.join().expect("reads") > 0);
    store.close().await.expect("closes");
    for ticket in durable {
        ticket.await.expect("closing finishes what is queued");
    }
    assert_eq!(Store::inspect(&dir.crash()).expect("readable").log, records(1, 1..=3_000));
}

/// What was persisted is what is loaded next, however soon (CP-S3).
#[tokio::test]
async fn a_vote_that_was_acknowledged_is_loaded() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = open(&dir);
    for term in 1..=500 {
        let next = vote(term, term % 3);
        LastVoteStore::persist(&store, next).expect("durable");
        assert_eq!(LastVoteStore::load(&store).expect("loads"), next);
    }
    let later = store.submit(Batch { vote: Some(vote(501, 9)), ..Batch::default() }).expect("accepted");
    later.await.expect("durable");
    store.durable().wait_for(|durable| durable.vote == vote(501, 9)).await.expect("published");
    assert_eq!(LastVoteStore::load(&store).expect("loads"), vote(501, 9));
    store.close().await.expect("closes");
}
