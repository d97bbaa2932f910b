//! Bits flip. What was acknowledged is repaired or the damage is reported; it is
//! never quietly forgotten (CP-D4, CP-S3).

use crate::common::*;
use crate::crash::{layout, steps};
use crate::model::Model;
use crate::recorder::{Image, Recorder, Rng};
use cp_store::{Expected, OpenError, Store};
use std::sync::Arc;

/// Runs the first `count` steps, and stops cleanly or as by SIGKILL.
async fn image_after(count: usize, clean: bool) -> (Image, Model) {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let store = open(&disk).expect("opens");
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
        for count in [5, 11, steps().len()] {
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
    for count in 1..=steps().len() {
        let (image, model) = image_after(count, false).await;
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

#[tokio::test]
async fn lost_segments_and_rolled_back_files_are_noticed() {
    // 13 steps: the last lap holds acknowledged frames.
    let (image, model) = image_after(13, false).await;
    let (older, _) = image_after(7, false).await;
    let mut noticed = 0;
    for name in ["wal-0", "wal-1", "state.redb"] {
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
    assert!(noticed >= 4, "{noticed}");
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
