//! Every crash point of a workload, enumerated: nothing acknowledged is lost, and
//! nothing else appears (CP-S2, CP-S3, CP-D1 to CP-D3).

use crate::common::*;
use crate::image::{Image, Loss, Op, Replay, Rng};
use crate::model::{Model, Step};
use crate::recorder::Recorder;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex as Index, ControlPlanePayload};
use cp_store::{Expected, Inspection, Layout, LogRecord, OpenError, RecordBody, Store, Writer};
use std::sync::Arc;

/// What was said at which point of the recording.
#[derive(Debug, Default)]
struct Said {
    /// (operations done, number of steps submitted)
    submitted: Vec<(usize, usize)>,
    /// (operations done, number of steps acknowledged)
    acknowledged: Vec<(usize, usize)>,
    /// (operations done, boot count returned by an opening)
    boots: Vec<(usize, u64)>,
}

impl Recording {
    pub(crate) fn inode(&self, name: &str) -> u64 {
        self.start.names[name]
    }
}

fn latest<T: Copy + Default>(said: &[(usize, T)], at: usize) -> T {
    said.iter().take_while(|(ops, _)| *ops <= at).last().map_or_else(T::default, |(_, what)| *what)
}

pub(crate) fn layout() -> Layout {
    // Room for three small frames besides what a lap begins or ends with: laps turn often.
    Layout { segment_bytes: 40 << 10 }
}

pub(crate) fn large(term: u64, index: u64) -> LogRecord {
    let payload = ControlPlanePayload::new(vec![index as u8; 20 << 10]).expect("short enough");
    let body = RecordBody::Entry(ControlPlaneEntry::MembershipChange(payload));
    LogRecord { position: position(term, index), body }
}

fn joint(term: u64, index: u64) -> LogRecord {
    let outgoing = members(1..=3);
    let joint = cp_store::Configuration { outgoing, ..configuration(2..=4) };
    LogRecord { position: position(term, index), body: RecordBody::Configuration(joint) }
}

/// All that a batch can do, in an order that meets full segments, groups that do
/// not fit one, a kept log, a dropped log, and truncation after absorption.
pub(crate) fn steps() -> Vec<Step> {
    let mut model = Model::new();
    let mut steps = Vec::new();
    let mut push = |make: &dyn Fn(&Model) -> Step| {
        let step = make(&model);
        model.apply(&step).expect("the workload is legal");
        steps.push(step);
    };
    push(&|_| Step { vote: Some(vote(1, 1)), ..Step::default() });
    push(&|_| Step { append: records(1, 1..=3), ..Step::default() });
    push(&|_| Step { append: vec![joint(1, 4)], committed: Some(2), ..Step::default() });
    push(&|_| Step { append: records(1, 5..=6), ..Step::default() });
    push(&|_| Step { vote: Some(vote(2, 3)), ..Step::default() });
    push(&|_| Step { truncate_from: Some(5), append: records(2, 5..=5), committed: Some(4), ..Step::default() });
    push(&|_| Step { append: vec![large(2, 6)], ..Step::default() });
    push(&|_| Step { truncate_from: Some(6), append: records(2, 6..=8), ..Step::default() });
    push(&|m| Step { committed: Some(7), snapshot: Some(m.snapshot_at(5, 0, 2)), ..Step::default() });
    push(&|_| Step { compact_to: Some(4), vote: Some(vote(3, 2)), ..Step::default() });
    push(&|_| Step { append: records(3, 9..=9), ..Step::default() });
    push(&|m| Step { snapshot: Some(m.snapshot_at(20, 3, 1)), ..Step::default() });
    push(&|_| Step { append: records(3, 21..=22), committed: Some(21), ..Step::default() });
    push(&|_| Step { vote: Some(vote(4, 1)), ..Step::default() });
    push(&|_| Step { append: records(3, 23..=26), ..Step::default() });
    push(&|_| Step { vote: Some(vote(5, 1)), ..Step::default() });
    push(&|_| Step { vote: Some(vote(6, 1)), ..Step::default() });
    // Another leader's snapshot in the middle of what is in the log, and absorbed.
    push(&|m| Step { snapshot: Some(m.foreign_snapshot_at(24, 1)), ..Step::default() });
    push(&|_| Step { append: records(5, 25..=25), ..Step::default() });
    steps
}

pub(crate) struct Recording {
    start: Image,
    pub(crate) ops: Vec<Op>,
    said: Said,
    states: Vec<Model>,
}

/// Runs the workload, some steps alone and some together, with a clean stop, a
/// crash of the process and a change of engine in between.
pub(crate) async fn record(writer: fn() -> Writer, steps: &[Step]) -> Recording {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let start = disk.image();
    let disk = Recorder::holding(start.clone());
    let mut said = Said::default();
    let mut states = vec![Model::new()];
    let open = |said: &mut Said| {
        let store = Store::open(Arc::new(disk.clone()), &Expected::default(), writer()).expect("opens");
        said.boots.push((disk.op_count(), store.boot()));
        store
    };
    let mut store = open(&mut said);
    let mut pending = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let mut model = states[n].clone();
        model.apply(step).expect("legal");
        states.push(model);
        said.submitted.push((disk.op_count(), n + 1));
        let batch = step.batch(&store).await;
        pending.push(store.submit(batch).expect("accepted"));
        if n % 3 == 1 {
            continue;
        }
        for ticket in pending.drain(..) {
            ticket.await.expect("durable");
        }
        states[n + 1].assert_is(&store);
        said.acknowledged.push((disk.op_count(), n + 1));
        match n {
            4 => store.close().await.expect("closes"),
            8 => store.remember_engine("other").expect("remembers"),
            10 => store.abandon(),
            _ => continue,
        }
        if n != 8 {
            store = open(&mut said);
        }
    }
    store.close().await.expect("closes");
    Recording { start, ops: disk.ops(), said, states }
}

/// The state that `image` holds must be one between what was acknowledged and what was submitted.
fn assert_allowed(recording: &Recording, at: usize, image: &Inspection) -> usize {
    let acknowledged = latest(&recording.said.acknowledged, at);
    let submitted = latest(&recording.said.submitted, at);
    let found = (acknowledged..=submitted).find(|n| recording.states[*n].is(image));
    let Some(found) = found else {
        panic!("crash after {at} operations: neither of steps {acknowledged}..={submitted}: {image:#?}");
    };
    assert!(image.boot >= latest(&recording.said.boots, at), "the boot count fell");
    found
}

/// After a crash in recovery the image is read each time, and every so often opened and compared in full too.
const REOPENED_EVERY: usize = 8;

/// How much was tried.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) images: usize,
    pub(crate) in_recovery: usize,
    pub(crate) reopened: usize,
}

impl std::ops::Add for Tried {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            in_recovery: self.in_recovery + other.in_recovery,
            reopened: self.reopened + other.reopened,
        }
    }
}

/// Every point, in every mode; and from each of these images every point of the
/// recovery from it.
#[tokio::test]
async fn every_crash_point_of_a_workload() {
    let recording = record(instant, &steps()).await;
    let Tried { images, in_recovery, reopened } = crash_everywhere(&recording, true);
    assert!(images > 2_000 && in_recovery > 100_000 && reopened > 5_000, "the workload has become small");
}

/// Crashes at every point, `thorough` or with each kind of loss once.
pub(crate) fn crash_everywhere(recording: &Recording, thorough: bool) -> Tried {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let tried = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || crash_at(recording, thorough, |at| at % workers == worker)))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("holds")).fold(Tried::default(), |all, one| all + one)
    });
    eprintln!("{} operations, {tried:?}", recording.ops.len());
    tried
}

fn crash_at(recording: &Recording, thorough: bool, mine: impl Fn(usize) -> bool) -> Tried {
    let mut replay = Replay::from(recording.start.clone());
    let mut tried = Tried::default();
    for at in 0..=recording.ops.len() {
        at.checked_sub(1).into_iter().for_each(|last| replay.step(&recording.ops[last]));
        if !mine(at) {
            continue;
        }
        // Writers are tasks; with the runtime goes what they hold.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _entered = runtime.enter();
        for loss in Loss::ALL {
            // What is left to chance is tried more than once.
            for round in 0..if thorough && loss.is_random() { 3 } else { 1 } {
                let mut rng = Rng::new((at as u64 * 8 + loss as u64) * 8 + round);
                let image = replay.crash(loss, &mut rng);
                recover(recording, at, &image, thorough && round == 0, &mut rng, &mut tried);
                tried.images += 1;
            }
        }
    }
    tried
}

/// Recovers the image, then cuts that recovery short at each of its points: in
/// every mode if `thorough`, else in one that changes from point to point.
fn recover(recording: &Recording, at: usize, image: &Image, thorough: bool, rng: &mut Rng, tried: &mut Tried) {
    let open = |image: Image, when: &dyn Fn() -> String| {
        let disk = Recorder::holding(image);
        let store = Store::open(Arc::new(disk.clone()), &Expected::default(), instant())
            .unwrap_or_else(|e| panic!("{}: {e:?}", when()));
        (disk, store)
    };
    let when = || format!("crash after {at} operations");
    let seen = Store::inspect(&Recorder::holding(image.clone())).unwrap_or_else(|e| panic!("{}: {e:?}", when()));
    let found = &recording.states[assert_allowed(recording, at, &seen)];
    let (disk, store) = open(image.clone(), &when);
    found.assert_is(&store);
    assert_eq!(store.boot(), seen.boot + 1);
    store.abandon();
    let ops = disk.ops();

    let mut replay = Replay::from(image.clone());
    for cut in 0..=ops.len() {
        let previous = cut.checked_sub(1).map(|last| &ops[last]);
        previous.into_iter().for_each(|op| replay.step(op));
        // What must be found is the same at every point, so a sync only narrows what can be.
        let modes = Loss::ALL.into_iter().filter(|loss| previous.is_none_or(|op| loss.sees(op)));
        let in_turn = |n: usize| n == cut % 6 || previous.is_some_and(|op| Loss::SyncedOnly.sees(op));
        for (n, loss) in modes.enumerate().filter(|(n, _)| thorough || in_turn(*n)) {
            let when = || format!("{}, again {cut} into recovery, {loss:?}", when());
            let again = replay.crash(loss, rng);
            let seen =
                Store::inspect(&Recorder::holding(again.clone())).unwrap_or_else(|e| panic!("{}: {e:?}", when()));
            assert!(found.is(&seen), "{}: {seen:#?}", when());
            tried.in_recovery += 1;
            if in_turn(n) && (at + cut).is_multiple_of(REOPENED_EVERY) {
                let (_, store) = open(again, &when);
                found.assert_is(&store);
                assert_eq!(store.boot(), seen.boot + 1);
                store.abandon();
                tried.reopened += 1;
            }
        }
    }
    // What an opened store has shown is durable.
    let shown = Store::inspect(&Recorder::holding(replay.crash(Loss::SyncedOnly, rng))).expect("readable");
    assert!(found.is(&shown) && shown.boot == seen.boot + 1);
}

#[test]
fn every_crash_point_of_a_creation() {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let ops = disk.ops();
    let mut replay = Replay::from(Image::default());
    let (mut absent, mut present) = (0, 0);
    for at in 0..=ops.len() {
        at.checked_sub(1).into_iter().for_each(|last| replay.step(&ops[last]));
        for loss in Loss::ALL {
            let mut rng = Rng::new(at as u64 * 8 + loss as u64);
            let disk = Recorder::holding(replay.crash(loss, &mut rng));
            match Store::inspect(&disk) {
                Ok(image) => {
                    assert!(Model::new().is(&image));
                    present += 1;
                }
                Err(OpenError::Absent { .. }) => {
                    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates again");
                    assert!(Model::new().is(&Store::inspect(&disk).expect("readable")));
                    absent += 1;
                }
                Err(other) => panic!("crash after {at} of {} operations, {loss:?}: {other:?}", ops.len()),
            }
        }
    }
    assert!(absent > 100 && present > 5, "{absent} absent, {present} present");
}

#[tokio::test]
async fn every_crash_point_of_a_change_of_engine() {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), layout()).expect("creates");
    let store = Store::open(Arc::new(disk.clone()), &Expected::default(), instant()).expect("opens");
    let start = disk.image();
    let before = disk.op_count();
    store.remember_engine("other").expect("remembers");
    let ops = disk.ops();
    let mut replay = Replay::from(start);
    for at in before..=ops.len() {
        ops.get(at.wrapping_sub(1)).filter(|_| at > before).into_iter().for_each(|op| replay.step(op));
        for loss in Loss::ALL {
            let image = replay.crash(loss, &mut Rng::new(at as u64));
            let engine = Store::inspect(&Recorder::holding(image)).expect("readable").identity.engine;
            let expected = if at == ops.len() { &["other"][..] } else { &["none", "other"] };
            assert!(expected.contains(&engine.as_str()), "{engine}");
        }
    }
    assert_eq!(store.last().index, Index(0));
}
