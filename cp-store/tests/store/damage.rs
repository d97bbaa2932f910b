//! Bits flip. What was acknowledged is repaired or the damage is reported; it is
//! never quietly forgotten (CP-D4, CP-S3).

use crate::common::*;
use crate::crash::{layout, steps};
use crate::image::{Image, Op, Rng};
use crate::model::Model;
use crate::recorder::Recorder;
use cp_store::{Batch, Expected, OpenError, Store, Writer};
use std::sync::Arc;

/// Runs the first `count` steps, and stops cleanly or as by SIGKILL.
async fn image_after(count: usize, clean: bool) -> (Image, Model) {
    image_by(instant, count, clean).await
}

/// Absorbing at once, and as late as can be.
fn writers() -> [fn() -> Writer; 2] {
    [instant, reluctant]
}

async fn image_by(writer: fn() -> Writer, count: usize, clean: bool) -> (Image, Model) {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let store = Store::open(Arc::new(disk.clone()), &Expected::default(), writer()).expect("opens");
    let mut model = Model::new();
    for step in steps().iter().take(count) {
        model.apply(step).expect("legal");
        store.submit(step.batch(&store).await).expect("accepted").await.expect("durable");
    }
    if clean {
        store.close().await.expect("closes")
    } else {
        store.abandon()
    }
    (disk.image(), model)
}

fn open(disk: &Recorder) -> Result<Store, OpenError> {
    Store::open(Arc::new(disk.clone()), &Expected::default(), instant())
}

#[derive(Debug, Default)]
struct Tally {
    whole: usize,
    damaged: usize,
    newer: usize,
}

/// Opens the damaged image: everything must be there, or the damage be reported.
fn judge(image: Image, model: &Model, tally: &mut Tally, what: &str) {
    let disk = Recorder::holding(image);
    let inspected = Store::inspect(&disk);
    match open(&disk) {
        Ok(store) => {
            model.assert_is(&store);
            assert!(model.is(&inspected.unwrap_or_else(|e| panic!("{what}: opens, but: {e:?}"))), "{what}");
            store.abandon();
            tally.whole += 1;
        }
        Err(OpenError::Damaged { .. }) => tally.damaged += 1,
        Err(OpenError::Newer { .. }) => tally.newer += 1,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

fn flip(image: &mut Image, name: &str, bit: u64) {
    let content = image.file(name);
    let mut byte = [0];
    content.read(bit / 8, &mut byte).expect("within the file");
    content.write(bit / 8, &[byte[0] ^ (1 << (bit % 8))]);
}

#[tokio::test]
async fn a_flipped_bit_is_never_silent() {
    // The panics that redb may meet in a damaged file are caught, and not worth printing.
    std::panic::set_hook(Box::new(|panic| {
        if !panic.location().is_some_and(|at| at.file().contains("redb")) {
            eprintln!("{panic}");
        }
    }));
    let mut rng = Rng::new(7);
    for clean in [true, false] {
        for count in [5, steps().len()] {
            let (image, model) = image_after(count, clean).await;
            for name in image.names.keys() {
                let mut tally = Tally::default();
                for bit in bits(&image, name, &mut rng) {
                    let mut image = image.clone();
                    flip(&mut image, name, bit);
                    judge(image, &model, &mut tally, &format!("bit {bit} of {name}, clean {clean}, {count} steps"));
                }
                eprintln!("{name}, {count} steps, clean {clean}: {tally:?}");
                let must_notice = name == "identity" || name.starts_with("snapshot");
                assert!(!must_notice || tally.whole == 0, "{name}: {tally:?}");
            }
        }
    }
}

/// All bits of small files; of large ones, some of each page that holds anything.
fn bits(image: &Image, name: &str, rng: &mut Rng) -> Vec<u64> {
    let content = image.clone().file(name).clone();
    if content.len() < 300 {
        return (0..content.len() * 8).collect();
    }
    let mut bits = Vec::new();
    for start in (0..content.len()).step_by(4096) {
        let mut page = vec![0; 4096.min((content.len() - start) as usize)];
        content.read(start, &mut page).expect("within the file");
        let used: Vec<_> = (0..page.len()).filter(|at| page[*at] != 0).collect();
        for _ in 0..if used.is_empty() { 0 } else { 12 } {
            let at = used[rng.below(used.len())] as u64;
            bits.push((start + at) * 8 + rng.next() % 8);
        }
    }
    bits
}

/// The last frame is the only one that nothing follows: a vote, an entry or a
/// commit in it must survive the loss of any one page.
#[tokio::test]
async fn a_lost_page_does_not_forget_the_last_frame() {
    let mut repaired = 0;
    for (writer, count) in writers().into_iter().flat_map(|writer| (1..=steps().len()).map(move |n| (writer, n))) {
        let (image, model) = image_by(writer, count, false).await;
        for name in ["wal-0", "wal-1"] {
            for page in 0..image.clone().file(name).len() / 4096 {
                for junk in [0_u8, 0xff] {
                    let mut image = image.clone();
                    image.file(name).write(page * 4096, &[junk; 4096]);
                    let mut tally = Tally::default();
                    judge(image, &model, &mut tally, &format!("page {page} of {name} lost, {count} steps"));
                    repaired += tally.whole;
                }
            }
        }
    }
    assert!(repaired > 100, "{repaired}");
}

/// Both copies of a frame are beyond repair; what follows shows that it was there.
#[tokio::test]
async fn a_lost_frame_is_not_taken_for_the_end() {
    let mut noticed = 0;
    for (writer, count) in writers().into_iter().flat_map(|writer| (2..=steps().len()).map(move |n| (writer, n))) {
        let (image, model) = image_by(writer, count, false).await;
        let newest = ["wal-0", "wal-1"].iter().flat_map(|name| laps(&image, name)).max().expect("a frame");
        for name in ["wal-0", "wal-1"] {
            // The last frame of the lap is the one that cannot be told.
            let end = laps(&image, name).rposition(|lap| lap == newest).unwrap_or(0) as u64;
            for block in 2..end.saturating_sub(2) {
                let mut image = image.clone();
                image.file(name).write(block * 4096, &[0; 2 * 4096]);
                let mut tally = Tally::default();
                judge(image, &model, &mut tally, &format!("blocks {block} and next of {name} lost, {count} steps"));
                noticed += tally.damaged;
            }
        }
    }
    assert!(noticed > 20, "{noticed}");
}

/// The lap of the frame in each block; 0 where there is none.
fn laps(image: &Image, name: &str) -> std::vec::IntoIter<u64> {
    let content = image.clone().file(name).clone();
    let lap = |block| {
        let mut head = [0; 16];
        content.read(block * 4096, &mut head).expect("within the file");
        if head.starts_with(b"cpwf") { u64::from_le_bytes(head[8..].try_into().expect("eight")) } else { 0 }
    };
    (0..content.len() / 4096).map(lap).collect::<Vec<_>>().into_iter()
}

/// A write of an earlier life that was lost, and that a disk brings out again
/// when its place has come round, is not a write of this life.
#[tokio::test]
async fn a_lost_write_does_not_come_back_to_life() {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let mut before = Recorder::holding(disk.image());
    // Openings do nothing but begin laps; a write is lost after one of them.
    let store = open(&before).expect("opens");
    let image = before.image();
    store
        .submit(crate::model::Step { vote: Some(vote(1, 1)), ..Default::default() }.batch(&store).await)
        .expect("accepted")
        .await
        .expect("durable");
    let lost: Vec<Op> = before.ops().into_iter().rev().filter(|op| matches!(op, Op::Write { .. })).take(1).collect();
    store.abandon();
    before = Recorder::holding(image);
    for life in 0..4 {
        let store = open(&before).expect("opens");
        store.abandon();
        let mut image = before.image();
        lost.iter().for_each(|op| image.apply(op));
        let disk = Recorder::holding(image);
        match open(&disk) {
            Ok(store) => assert_eq!(store.vote(), Default::default(), "life {life}"),
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("life {life}: {other:?}"),
        }
    }
}

/// A database that lost commits is found out by the segments, whichever they were.
#[tokio::test]
async fn a_database_that_is_rolled_back_is_noticed() {
    for writer in writers() {
        let mut images = Vec::new();
        for count in 0..=steps().len() {
            images.push(image_by(writer, count, false).await);
        }
        let mut tally = Tally::default();
        for (now, (image, model)) in images.iter().enumerate() {
            for (then, (older, _)) in images.iter().enumerate().take(now) {
                let mut image = image.clone();
                *image.file("state.redb") = older.clone().file("state.redb").clone();
                judge(image, model, &mut tally, &format!("the database of {then} steps with the segments of {now}"));
            }
        }
        assert!(tally.damaged > 50, "{tally:?}");
    }
}

/// A snapshot that goes bad under an open store is not handed on.
#[tokio::test]
async fn a_bad_chunk_stops_the_store() {
    let (mut image, _) = image_after(0, true).await;
    let disk = Recorder::holding(image.clone());
    let store = open(&disk).expect("opens");
    let body = store.open_snapshot().expect("opens");
    body.chunk(7).expect_err("there is no such chunk");
    body.chunk(0).expect("readable");
    flip(&mut image, "snapshot-0-0", 3);
    let bad = image.file("snapshot-0-0").clone();
    disk.tamper(|live| *live.file("snapshot-0-0") = bad);
    body.chunk(0).expect_err("damaged");
    store.submit(Batch::default()).expect_err("stopped");
}

#[tokio::test]
async fn lost_segments_and_rolled_back_files_are_noticed() {
    let mut noticed = 0;
    for (writer, name) in writers().into_iter().flat_map(|of| ["wal-0", "wal-1", "state.redb"].map(|name| (of, name))) {
        let (image, model) = image_by(writer, 13, false).await;
        let (older, _) = image_by(writer, 7, false).await;
        for zeroed in [true, false] {
            let mut image = image.clone();
            let len = image.file(name).len();
            if zeroed {
                image.file(name).write(0, &vec![0; len as usize]);
            } else {
                *image.file(name) = older.clone().file(name).clone();
            }
            let mut tally = Tally::default();
            judge(image, &model, &mut tally, &format!("{name} zeroed {zeroed}"));
            noticed += tally.damaged;
        }
    }
    assert!(noticed >= 8, "{noticed}");
}

#[test]
fn a_newer_format_is_named_as_such() {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let mut image = disk.image();
    image.file("identity").write(1, &[2]);
    let refused = open(&Recorder::holding(image)).expect_err("newer");
    assert!(matches!(&refused, OpenError::Newer { file, found: 2, known: 1 } if file == "identity"), "{refused:?}");
}
