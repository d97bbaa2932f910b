//! A failed write or fsync ends the store for good (CP-D4), and every opening
//! error says which.

use crate::common::*;
use crate::crash::{layout, steps};
use crate::image::{Loss, Op, Replay, Rng};
use crate::model::Model;
use crate::recorder::{Fail, Recorder};
use cp_seam::{ClusterId, LastVoteStore, MemberId, VoteStoreError};
use cp_store::{Batch, CreateError, Directory, DiskDirectory, Expected, OpenError, Rejected, Store, Writer};
use std::sync::{Arc, Mutex};

fn made() -> Recorder {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    Recorder::holding(disk.image())
}

fn open(disk: &Recorder) -> Result<Store, OpenError> {
    Store::open(Arc::new(disk.clone()), &Expected::default(), instant())
}

/// Runs the workload until it fails. Returns the states acknowledged and submitted by then.
async fn run_until_failure(store: &Store) -> (usize, Vec<Model>) {
    let mut states = vec![Model::new()];
    for (n, step) in steps().iter().enumerate() {
        let mut model = states[n].clone();
        model.apply(step).expect("legal");
        let mut batch = Batch { snapshot: None, ..Batch::default() };
        if let Some(founding) = &step.snapshot {
            let mut stage = store.stage();
            for chunk in &founding.chunks {
                // What a failed chunk says, the seal says again.
                drop(stage.push(chunk.clone()).await);
            }
            match stage.seal(founding.meta.clone()).await {
                Ok(staged) => batch.snapshot = Some(staged),
                Err(_) => return (n, states),
            }
        }
        let plain = crate::model::Step { snapshot: None, ..step.clone() };
        let batch = Batch { snapshot: batch.snapshot, ..plain.batch(store).await };
        states.push(model);
        let Ok(ticket) = store.submit(batch) else { return (n, states) };
        if ticket.await.is_err() {
            return (n, states);
        }
    }
    (steps().len(), states)
}

#[tokio::test]
async fn the_first_failed_operation_is_the_last_one() {
    let disk = made();
    let store = open(&disk).expect("opens");
    disk.fail(Fail::Never);
    let (done, _) = run_until_failure(&store).await;
    store.close().await.expect("closes");
    let (attempts, _) = disk.attempts();
    assert_eq!(done, steps().len());
    assert!(attempts > 40, "{attempts}");

    for at in 0..attempts {
        let start = made().image();
        let disk = Recorder::holding(start.clone());
        let store = open(&disk).expect("opens");
        disk.fail(Fail::Once(at));
        let (acknowledged, states) = run_until_failure(&store).await;
        if disk.attempts().1.is_empty() {
            store.close().await.expect_err("the failure was in closing");
        }
        let (attempts, failed) = disk.attempts();
        assert_eq!(failed.into_iter().collect::<Vec<_>>(), [at], "operation {at} never came");
        assert_eq!(attempts, at + 1, "something was done after operation {at} failed");

        // It stays failed, for everyone.
        assert!(matches!(store.submit(Batch::default()), Err(Rejected::Failed(_))));
        assert!(matches!(store.persist(vote(9, 1)), Err(VoteStoreError::Failed(_))));
        assert!(store.load().is_err() && store.durable().borrow().failed.is_some());
        assert_eq!(store.oldest_unfinished(), None);
        store.remember_engine("other").expect_err("refused");
        store.close().await.expect_err("refused");
        drop(store);
        tokio::task::yield_now().await;
        assert_eq!(disk.attempts().0, at + 1, "something was written when the store was dropped");

        // Nothing acknowledged is lost, whatever became of the dirty pages.
        let mut replay = Replay::from(start);
        disk.ops().iter().for_each(|op| replay.step(op));
        for loss in [Loss::SyncedOnly, Loss::Nothing, Loss::Torn512] {
            let image =
                Store::inspect(&Recorder::holding(replay.crash(loss, &mut Rng::new(at as u64)))).expect("reads");
            assert!(states[acknowledged..].iter().any(|model| model.is(&image)), "{loss:?} after operation {at}");
        }
    }
}

/// The process starts again on the page cache that the failed fsync left, serves,
/// and only then the power fails: what was acknowledged since is there.
#[tokio::test]
async fn a_failed_sync_and_a_restart_on_the_same_page_cache() {
    let disk = made();
    let store = open(&disk).expect("opens");
    disk.fail(Fail::Never);
    run_until_failure(&store).await;
    store.close().await.expect("closes");
    let (attempts, _) = disk.attempts();
    let mut failed_syncs = 0;
    for at in 0..attempts {
        let start = made().image();
        let disk = Recorder::holding(start.clone());
        let store = open(&disk).expect("opens");
        disk.fail(Fail::Once(at));
        let (acknowledged, states) = run_until_failure(&store).await;
        drop(store.close().await);
        failed_syncs += usize::from(disk.ops().iter().any(|op| matches!(op, Op::FailedSync { .. })));

        disk.fail(Fail::Never);
        let store = open(&disk).unwrap_or_else(|e| panic!("restart after operation {at} failed: {e:?}"));
        let image = Store::inspect(&disk).expect("readable");
        let mut model = states[acknowledged..].iter().find(|model| model.is(&image)).expect("allowed").clone();
        for term in 20..23 {
            let step = crate::model::Step { vote: Some(vote(term, 1)), ..Default::default() };
            model.apply(&step).expect("legal");
            store.submit(step.batch(&store).await).expect("accepted").await.expect("durable");
        }
        let mut replay = Replay::from(start);
        disk.ops().iter().for_each(|op| replay.step(op));
        store.abandon();
        for loss in [Loss::SyncedOnly, Loss::Prefix, Loss::Subset] {
            let image = Store::inspect(&Recorder::holding(replay.crash(loss, &mut Rng::new(at as u64))))
                .unwrap_or_else(|e| panic!("{loss:?} after operation {at} failed: {e:?}"));
            assert!(model.is(&image), "{loss:?} after operation {at} failed: {image:#?}");
        }
    }
    assert!(failed_syncs > 20, "{failed_syncs}");
}

#[tokio::test]
async fn a_panic_of_the_writer_ends_the_store() {
    for at in 0..20 {
        let disk = made();
        let store = open(&disk).expect("opens");
        disk.fail(Fail::Panic(at));
        let (done, _) = run_until_failure(&store).await;
        assert!(done < steps().len(), "operation {at} never came");
        store.submit(Batch::default()).expect_err("stopped");
        assert!(store.durable().borrow().failed.is_some());
        drop(store);
        assert_eq!(disk.attempts().0, at + 1, "something was done after operation {at} panicked");
        Store::inspect(&disk).expect("readable");
    }
}

#[tokio::test]
async fn tickets_and_callbacks_fail_in_order() {
    let disk = made();
    let store = open(&disk).expect("opens");
    disk.fail(Fail::From(0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let tickets: Vec<_> = (1..=5)
        .map(|n| {
            let (order, batch) = (Arc::clone(&order), Batch { append: records(1, n..=n), ..Batch::default() });
            let done = move |result: Result<(), _>| order.lock().expect("ours").push((n, result.is_ok()));
            store.submit_then(batch, done).expect("accepted");
            store.submit(Batch::default()).expect("accepted")
        })
        .collect();
    let mut failures = Vec::new();
    for ticket in tickets {
        failures.push(ticket.await.expect_err("failed").to_string());
    }
    assert!(failures.iter().all(|failure| *failure == failures[0]), "{failures:?}");
    assert_eq!(*order.lock().expect("ours"), (1..=5).map(|n| (n, false)).collect::<Vec<_>>());
    assert_eq!(store.durable().borrow().last, position(0, 0));
}

#[tokio::test]
async fn the_watermark_comes_after_the_callbacks() {
    let disk = made();
    let store = open(&disk).expect("opens");
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 1..=3 {
        let (seen, durable) = (Arc::clone(&seen), store.durable());
        let batch = Batch { append: records(1, n..=n), ..Batch::default() };
        let done = move |_| seen.lock().expect("ours").push((n, durable.borrow().last.index.0));
        store.submit_then(batch, done).expect("accepted");
    }
    assert_eq!(store.durable().borrow().last.index.0, 0, "nothing is durable before the writer ran");
    let mut durable = store.durable();
    durable.changed().await.expect("open");
    assert_eq!(durable.borrow().last.index.0, 3);
    assert_eq!(*seen.lock().expect("ours"), [(1, 0), (2, 0), (3, 0)], "one group, in order");
    let syncs = disk.ops().iter().rev().take_while(|op| !matches!(op, Op::SyncDirectory)).count();
    assert!(syncs > 0);
}

#[test]
fn opening_says_what_is_wrong() {
    let empty = Recorder::new();
    let refused = open(&empty).expect_err("nothing there");
    assert!(matches!(&refused, OpenError::Absent { .. }), "{refused}");
    assert_eq!(empty.op_count(), 0, "a refused opening changes nothing");

    let disk = made();
    let wants =
        |expected: &Expected| Store::open(Arc::new(disk.clone()), expected, Writer::Thread).expect_err("refused");
    let cluster = Expected { cluster: Some(ClusterId([8; 16])), member: None };
    assert!(matches!(wants(&cluster), OpenError::WrongCluster { .. }));
    let member = Expected { cluster: None, member: Some(MemberId::new("n2").expect("legal")) };
    assert!(matches!(wants(&member), OpenError::WrongMember { .. }));
    let guard = disk.lock().expect("free");
    assert!(matches!(wants(&Expected::default()), OpenError::Busy { .. }));
    drop(guard);
    assert_eq!(disk.op_count(), 0, "a refused opening changes nothing");

    let exists = Store::create(&disk, &identity(), genesis()).expect_err("there is one");
    assert!(matches!(exists, CreateError::Exists { .. }));
    assert_eq!(disk.op_count(), 0, "a refused creation changes nothing");
}

#[test]
fn a_lost_file_is_never_replaced() {
    let files = made().list().expect("lists");
    assert_eq!(files, ["identity", "snapshot-0-0", "state.redb", "wal-0", "wal-1"]);
    for name in files.iter().filter(|name| *name != "identity") {
        for truncated in [false, true] {
            let mut image = made().image();
            if truncated {
                image.file(name).set_len(0);
            } else {
                image.names.remove(name);
            }
            let disk = Recorder::holding(image);
            let refused = open(&disk).expect_err("a file is lost");
            match &refused {
                OpenError::Lost { file, .. } if !truncated => assert_eq!(file, name),
                OpenError::Damaged { file, .. } if truncated => assert_eq!(file, name),
                other => panic!("{name}: {other:?}"),
            }
            assert!(refused.to_string().contains(name.as_str()), "{refused}");
            assert_eq!(disk.op_count(), 0, "{name}: a refused opening changes nothing");
        }
    }
}

#[test]
fn the_file_of_another_node_is_noticed() {
    let other = Recorder::new();
    let stranger = cp_store::Identity { incarnation: cp_seam::Incarnation(2), ..identity() };
    Store::create_with(&other, &stranger, genesis(), layout()).expect("creates");
    for name in ["identity", "state.redb", "wal-0"] {
        let mut image = made().image();
        *image.file(name) = other.image().file(name).clone();
        let refused = open(&Recorder::holding(image)).expect_err("swapped");
        assert!(matches!(refused, OpenError::Damaged { .. }), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn real_files_are_locked_reopened_and_kept() {
    let root = std::env::temp_dir().join(format!("cp-store-{}", std::process::id()));
    let dir = DiskDirectory::make(&root).expect("makes");
    create(&dir);
    let open = || Store::open(Arc::new(dir.clone()), &Expected::default(), Writer::Thread);
    let store = open().expect("opens");
    assert!(matches!(open().expect_err("open already"), OpenError::Busy { .. }));
    store.persist(vote(1, 1)).expect("durable");
    store.submit(Batch { append: records(1, 1..=200), ..Batch::default() }).expect("accepted").await.expect("durable");
    for index in 1..=200 {
        let batch = Batch { committed: Some(cp_seam::ControlPlaneLogIndex(index)), ..Batch::default() };
        store.submit(batch).expect("accepted").await.expect("durable");
    }
    store.close().await.expect("closes");
    let store = open().expect("opens again");
    assert_eq!((store.boot(), store.vote(), store.last()), (2, vote(1, 1), position(1, 200)));
    assert_eq!(store.committed().0, 200);
    store.close().await.expect("closes");
    std::fs::remove_dir_all(root).expect("cleans up");
}
