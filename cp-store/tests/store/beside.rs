//! A full segment is absorbed beside the groups that follow: what is acknowledged
//! meanwhile is there whatever happens to either, and readers see no difference.

use crate::common::*;
use crate::crash::{Recording, Tried, crash_everywhere, layout, record, steps};
use crate::image::{Image, Loss, Op, Replay, Rng};
use crate::model::{Model, Step};
use crate::recorder::{Fail, Recorder, Stuck};
use cp_store::{Batch, Expected, OpenError, Store, Writer};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const BLOCK: u64 = 4096;
/// Where the first frame of a lap begins.
const FIRST: u64 = 2 * BLOCK;

/// Where a crash can fall while a lap that was left is absorbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    NewHeader,
    Mark,
    FirstFrame,
    LaterFrame,
    AmidTheCommit,
    Committed,
    /// Further frames, the commit being through.
    FrameAfterCommit,
}

/// Where the recorded operations lead, one after the other.
fn places(recording: &Recording) -> BTreeSet<Place> {
    let base = recording.inode("state.redb");
    let segments = [recording.inode("wal-0"), recording.inode("wal-1")];
    let empty = |bytes: &[u8]| bytes[28..32] == 6_u32.to_le_bytes();
    let mut seen = BTreeSet::new();
    let mut now = None;
    let mut header_in = None;
    for (n, op) in recording.ops.iter().enumerate() {
        now = match op {
            Op::Write { inode, offset: 0, .. } if segments.contains(inode) => {
                header_in = Some(*inode);
                Some(Place::NewHeader)
            }
            Op::Write { inode, offset, bytes } if segments.contains(inode) => match now {
                Some(Place::NewHeader) if empty(bytes) && header_in != Some(*inode) => Some(Place::Mark),
                Some(Place::Mark) if *offset == FIRST => Some(Place::FirstFrame),
                Some(Place::FirstFrame | Place::LaterFrame) => Some(Place::LaterFrame),
                Some(Place::Committed | Place::FrameAfterCommit) => Some(Place::FrameAfterCommit),
                _ => None,
            },
            _ if op.file() == Some(base) => match now {
                Some(Place::FirstFrame | Place::LaterFrame | Place::AmidTheCommit) => {
                    let last = recording.ops.get(n + 1).and_then(Op::file) != Some(base);
                    Some(if last { Place::Committed } else { Place::AmidTheCommit })
                }
                _ => None,
            },
            _ => now,
        };
        seen.extend(now);
    }
    seen
}

/// What fits a segment, many times: the database is only reached by laps that are full.
fn small_steps() -> Vec<Step> {
    let mut model = Model::new();
    let mut step = |n: u64| {
        let (last, committed) = (model.last().index.0, model.committed);
        let step = match n % 5 {
            0 => Step { vote: Some(vote(n + 1, 1)), ..Step::default() },
            1 => Step { append: records(n, last + 1..=last + 3), ..Step::default() },
            2 => Step { committed: Some(committed + 1), ..Step::default() },
            3 => Step { truncate_from: Some(last), append: records(n, last..=last + 1), ..Step::default() },
            _ => Step { committed: Some(last - 1), append: records(n, last + 1..=last + 1), ..Step::default() },
        };
        model.apply(&step).expect("legal");
        step
    };
    (0..26).map(&mut step).collect()
}

fn assert_many(tried: Tried) {
    let Tried { images, in_recovery, reopened } = tried;
    assert!(images > 1_000 && in_recovery > 20_000 && reopened > 1_000, "the workload has become small: {tried:?}");
}

async fn crash_in_both(writer: fn() -> Writer, wanted: &[Place]) {
    let recording = record(writer, &small_steps()).await;
    let seen = places(&recording);
    assert!(wanted.iter().all(|place| seen.contains(place)), "no crash falls where it should: {seen:?}");
    assert_many(crash_everywhere(&recording, false));
    assert_many(crash_everywhere(&record(writer, &steps()).await, false));
}

#[tokio::test]
async fn every_crash_point_while_a_lap_is_absorbed() {
    use Place::*;
    let wanted = [NewHeader, Mark, FirstFrame, LaterFrame, AmidTheCommit, Committed, FrameAfterCommit];
    crash_in_both(unhurried, &wanted).await;
}

#[tokio::test]
async fn every_crash_point_while_absorption_waits_for_want_of_room() {
    use Place::*;
    crash_in_both(reluctant, &[NewHeader, Mark, FirstFrame, LaterFrame, AmidTheCommit, Committed]).await;
}

fn made() -> Recorder {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    Recorder::holding(disk.image())
}

fn open(disk: &Recorder, writer: Writer) -> Store {
    Store::open(Arc::new(disk.clone()), &Expected::default(), writer).expect("opens")
}

/// One small group, durable.
async fn write(store: &Store, model: &mut Model, step: Step) {
    model.apply(&step).expect("legal");
    store.submit(step.batch(store).await).expect("accepted").await.expect("durable");
}

/// A store that goes on in its next lap, the one before being stuck on its way
/// into the database: three entries in the one, two frames in the other.
async fn gone_over(disk: &Recorder) -> (Store, Model) {
    let store = open(disk, Writer::Thread);
    disk.stick(Some(Stuck::Of(disk.inode("state.redb"))));
    let mut model = Model::new();
    // With the frame that a lap begins with, two fill it.
    write(&store, &mut model, Step { append: records(1, 1..=4), ..Step::default() }).await;
    write(&store, &mut model, Step { committed: Some(2), vote: Some(vote(2, 1)), ..Step::default() }).await;
    write(&store, &mut model, Step { truncate_from: Some(4), append: records(2, 4..=6), ..Step::default() }).await;
    model.assert_is(&store);
    write(&store, &mut model, Step { committed: Some(3), vote: Some(vote(3, 1)), ..Step::default() }).await;
    model.assert_is(&store);
    disk.until_stuck();
    (store, model)
}

/// The point of it all, and that the segment is not used again before its lap is absorbed.
#[tokio::test]
async fn groups_go_on_while_the_database_is_slow() {
    let disk = made();
    let start = disk.image();
    let (store, mut model) = gone_over(&disk).await;
    write(&store, &mut model, Step { vote: Some(vote(4, 1)), ..Step::default() }).await;
    // It shows before anybody waits for it.
    assert!(store.absorbing_since().is_some());
    // A ticket resolves a moment before the writer has done with its group.
    let idle = async {
        while store.oldest_unfinished().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), idle).await.expect("nothing else is in hand");
    let before = disk.op_count();
    let more = Step { vote: Some(vote(5, 1)), ..Step::default() };
    let waits = store.submit(more.batch(&store).await).expect("accepted");
    disk.stick(None);
    waits.await.expect("durable");
    model.apply(&more).expect("legal");
    model.assert_is(&store);
    let base = disk.inode("state.redb");
    let header = |op: &Op| matches!(op, Op::Write { inode, offset: 0, .. } if *inode != base);
    let ops = disk.ops();
    let between: Vec<_> = ops[before..].iter().take_while(|op| !header(op)).collect();
    let syncs = between.iter().filter(|op| matches!(op, Op::Sync { inode } if *inode == base)).count();
    assert!(syncs >= 2, "the segment was used again before the database was through: {between:?}");
    // Whatever reached the disk in which order.
    store.close().await.expect("closes");
    assert_eq!(store.absorbing_since(), None);
    let mut replay = Replay::from(start);
    for (n, op) in disk.ops().iter().enumerate() {
        replay.step(op);
        for loss in Loss::ALL {
            let image = replay.crash(loss, &mut Rng::new(n as u64));
            let seen = Store::inspect(&Recorder::holding(image)).unwrap_or_else(|e| panic!("{n}, {loss:?}: {e:?}"));
            assert!(n < before || seen.vote.term.0 >= 4, "{n}, {loss:?}: {seen:?}");
        }
    }
    assert!(model.is(&Store::inspect(&disk).expect("readable")));
}

/// Snapshots, closing and groups that do not fit wait for the lap before.
#[tokio::test]
async fn what_is_absorbed_at_once_comes_after_what_is_absorbed_beside() {
    for large in [true, false] {
        let disk = made();
        let (store, mut model) = gone_over(&disk).await;
        let step = match large {
            true => Step { append: records(3, 7..=2_000), ..Step::default() },
            false => Step { snapshot: Some(model.snapshot_at(5, 2, 1)), compact_to: Some(4), ..Step::default() },
        };
        let waits = store.submit(step.batch(&store).await).expect("accepted");
        disk.stick(None);
        waits.await.expect("durable");
        model.apply(&step).expect("legal");
        model.assert_is(&store);
        store.close().await.expect("closes");
        assert!(model.is(&Store::inspect(&disk).expect("readable")), "large {large}");
    }
}

/// CP-D4: nobody asks for the absorption, and its failure ends the store all the same.
#[tokio::test]
async fn a_failed_absorption_stops_the_store() {
    for panics in [false, true] {
        let disk = made();
        let (store, model) = gone_over(&disk).await;
        let base = disk.inode("state.redb");
        disk.fail(if panics { Fail::PanicOf(base) } else { Fail::Of(base) });
        disk.stick(None);
        let mut durable = store.durable();
        let stopped = durable.wait_for(|durable| durable.failed.is_some());
        drop(tokio::time::timeout(Duration::from_secs(10), stopped).await.expect("it stops").expect("said"));
        store.submit(Batch::default()).expect_err("stopped");
        store.close().await.expect_err("stopped");
        let store = open(&Recorder::holding(disk.image()), instant());
        model.assert_is(&store);
    }
}

/// Answers a few seconds late at most, when nothing that is slow is waited for.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it waits for the absorption")
}

/// The directory is not free while anything is written, and nobody waits for that but who opens it next.
#[tokio::test]
async fn the_directory_is_free_after_the_absorption_and_the_store_ends_before() {
    for (fails, panics) in [(false, false), (true, false), (true, true)] {
        let disk = made();
        let (store, model) = gone_over(&disk).await;
        let ours = disk.inode("wal-0");
        let mut durable = store.durable();
        let batch = || Batch { vote: Some(vote(9, 1)), ..Batch::default() };
        if fails {
            disk.fail(if panics { Fail::PanicOf(ours) } else { Fail::Of(ours) });
            let [first, second] = [(); 2].map(|()| store.submit(batch()).expect("accepted"));
            soon(first).await.expect_err("its write failed");
            soon(second).await.expect_err("stopped");
        } else {
            store.abandon();
        }
        drop(soon(durable.wait_for(|durable| durable.failed.is_some())).await.expect("said"));
        store.submit(batch()).expect_err("stopped");
        soon(store.close()).await.expect_err("stopped");
        let busy = Store::open(Arc::new(disk.clone()), &Expected::default(), instant()).expect_err("in use");
        assert!(matches!(busy, OpenError::Busy { .. }), "{busy:?}");
        disk.stick(None);
        disk.until_free();
        drop(store);
        let found = Store::inspect(&disk).expect("readable");
        assert!(model.is(&found), "{fails} {panics}: {found:?}");
    }
}

/// The image after `count` groups behind those of `gone_over`, and what it holds.
async fn left(count: u64) -> (Image, Model) {
    let disk = made();
    let store = open(&disk, reluctant());
    let mut model = Model::new();
    for term in 1..=2 + count {
        write(&store, &mut model, Step { vote: Some(vote(term, 1)), ..Step::default() }).await;
    }
    store.abandon();
    (disk.image(), model)
}

/// What an opening makes of the image without some blocks of a segment: `None` if it is refused as damaged.
fn without(image: &Image, segment: &str, blocks: std::ops::Range<u64>) -> Option<u64> {
    let mut image = image.clone();
    let nothing = vec![0; ((blocks.end - blocks.start) * BLOCK) as usize];
    image.file(segment).write(blocks.start * BLOCK, &nothing);
    let disk = Recorder::holding(image);
    let seen = Store::inspect(&disk);
    match Store::open(Arc::new(disk), &Expected::default(), instant()) {
        Ok(store) => {
            assert_eq!(store.vote(), seen.expect("readable").vote);
            Some(store.vote().term.0)
        }
        Err(OpenError::Damaged { .. }) => {
            seen.expect_err("refused alike");
            None
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A lap that was left is behind nothing that may be missing. Of its segment: the
/// empty frame at block 2, votes 1 and 2 at 4 and 6, the mark at 8; votes 3 and 4
/// are at 2 and 4 of the other.
#[tokio::test]
async fn nothing_may_be_missing_before_what_was_acknowledged() {
    // An opening has begun lap 1.
    let (full, next) = ("wal-1", "wal-0");
    let (image, model) = left(2).await;
    assert_eq!(model.vote.term.0, 4);
    for block in 0..10 {
        assert_eq!(without(&image, full, block..block + 1), Some(4), "there are two copies of block {block}");
    }
    for frame in [0, 2, 4, 6, 8] {
        assert_eq!(without(&image, full, frame..frame + 2), None, "block {frame} of the lap that was left");
    }
    for frame in [0, 2] {
        assert_eq!(without(&image, next, frame..frame + 2), None, "block {frame} of the next lap");
    }
    assert_eq!(without(&image, next, 0..10), None, "a whole segment");
    assert_eq!(without(&image, full, 0..10), None, "a whole segment");
    // The last frame of all is the one that cannot be told, as ever.
    assert_eq!(without(&image, next, 4..6), Some(3));
}

/// A mark that was not finished, and one that nothing follows yet.
#[tokio::test]
async fn a_crash_around_the_mark_is_a_torn_tail() {
    let disk = made();
    let start = disk.image();
    let store = open(&disk, reluctant());
    let mut model = Model::new();
    for term in 1..=2 {
        write(&store, &mut model, Step { vote: Some(vote(term, 1)), ..Step::default() }).await;
    }
    let at = disk.op_count();
    store.submit(Batch { vote: Some(vote(3, 1)), ..Batch::default() }).expect("accepted").await.expect("durable");
    store.abandon();
    let ops = disk.ops();
    // Header, mark and vote, each with its sync.
    assert_eq!(ops.len(), at + 6);
    let mut replay = Replay::from(start);
    ops[..at + 4].iter().for_each(|op| replay.step(op));
    let marked = replay.crash(Loss::SyncedOnly, &mut Rng::new(0));
    assert_eq!(without(&marked, "wal-1", 8..8), Some(2));
    assert_eq!(without(&marked, "wal-1", 8..10), Some(2), "nothing follows the mark");
    assert_eq!(without(&marked, "wal-1", 6..8), None, "the mark follows the vote");
    assert_eq!(without(&marked, "wal-0", 0..2), None, "the mark says that there is a next lap");
}
