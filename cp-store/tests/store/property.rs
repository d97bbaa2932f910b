//! Random histories against the plain model, restarts and power losses included.

use crate::common::*;
use crate::image::{Image, Loss, Replay, Rng};
use crate::model::{Model, Step, rule};
use crate::recorder::Recorder;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex as Index, ControlPlanePayload, Incarnation, LastVote, Term};
use cp_store::{Expected, Inspector, Layout, LogRecord, RecordBody, Store, Ticket, Writer};
use proptest::prelude::*;
use std::sync::Arc;

/// Numbers that become a step once the state is known, so that they shrink well.
type Raw = (u8, u8, u8);

fn step(model: &Model, (kind, a, b): Raw) -> Step {
    let last = model.last();
    let next = last.index.0 + 1;
    let term = last.term.0.max(1) + u64::from(b % 4 == 0);
    let back = next - u64::from(a % 5).min(next - 1);
    let one_of = |n: u8| [None, Some(Incarnation(1)), Some(Incarnation(2))][usize::from(n % 3)];
    let vote = LastVote {
        term: Term((model.vote.term.0 + u64::from(a % 4)).saturating_sub(1)),
        granted_to: one_of(b),
        following: one_of(b / 3),
    };
    match kind {
        0..3 => Step { vote: Some(vote), ..Step::default() },
        3..7 => Step { append: records(term, next..=next + u64::from(a % 4)), ..Step::default() },
        7 => Step { append: records(term, next + u64::from(a % 2)..=next + 1), ..Step::default() },
        8 => Step { append: records(u64::from(a % 4), next..=next), ..Step::default() },
        9 => Step { truncate_from: Some(back), ..Step::default() },
        10..12 => Step { truncate_from: Some(back), append: records(term + 1, back..=back + 1), ..Step::default() },
        12..15 => Step { committed: Some(model.committed + u64::from(a % 4)), ..Step::default() },
        15 => {
            let index = (model.snapshot_index() + u64::from(a % 6)).saturating_sub(1).min(next + 2);
            let compact_to = (b % 2 == 0).then_some(index);
            let chunks = usize::from(b % 3);
            let snapshot = match b % 5 {
                0 => model.foreign_snapshot_at(index, chunks),
                _ => model.snapshot_at(index, term, chunks),
            };
            Step { snapshot: Some(snapshot), compact_to, ..Step::default() }
        }
        16 => Step { compact_to: Some(model.purged.index.0 + u64::from(a % 5)), ..Step::default() },
        17 => {
            let payload = ControlPlanePayload::new(vec![a; usize::from(b) * 100]).expect("short");
            let body = RecordBody::Entry(ControlPlaneEntry::MembershipChange(payload));
            Step { append: vec![LogRecord { position: position(term, next), body }], ..Step::default() }
        }
        18 => {
            let body = RecordBody::Configuration(configuration(1..=u64::from(a % 5) + 1));
            Step { append: vec![LogRecord { position: position(term, next), body }], ..Step::default() }
        }
        _ => Step {
            vote: Some(vote),
            append: records(term, next..=next + 1),
            committed: Some(model.committed + u64::from(a % 3)),
            ..Step::default()
        },
    }
}

struct Run {
    disk: Recorder,
    replayed: usize,
    replay: Replay,
    store: Store,
    writer: fn() -> Writer,
    model: Model,
    /// States that a power loss may fall back to: the acknowledged one first.
    since: Vec<Model>,
    tickets: Vec<Ticket>,
    rng: Rng,
    inspector: Inspector,
    inspected: Image,
}

impl Run {
    fn new(writer: fn() -> Writer) -> Self {
        let disk = Recorder::new();
        Store::create_with(&disk, &identity(), genesis(), Layout { segment_bytes: 40 << 10 }).expect("creates");
        let image = disk.image();
        let disk = Recorder::holding(image.clone());
        let store = Self::open(&disk, writer);
        let model = Model::new();
        let (since, tickets) = (vec![model.clone()], Vec::new());
        let (replay, rng) = (Replay::from(image), Rng::new(1));
        let (inspector, inspected) = (Inspector::default(), Image::default());
        Self { disk, replayed: 0, replay, store, writer, model, since, tickets, rng, inspector, inspected }
    }

    fn open(disk: &Recorder, writer: fn() -> Writer) -> Store {
        Store::open(Arc::new(disk.clone()), &Expected::default(), writer()).expect("opens")
    }

    async fn submit(&mut self, raw: Raw) {
        let step = step(&self.model, raw);
        let batch = step.batch(&self.store).await;
        let submitted = self.store.submit(batch);
        match (self.model.apply(&step), submitted) {
            (Ok(()), Ok(ticket)) => {
                self.tickets.push(ticket);
                self.since.push(self.model.clone());
            }
            (Err(expected), Err(rejected)) => assert_eq!(rule(&rejected), expected, "{step:?}"),
            (expected, found) => panic!("{step:?}: expected {expected:?}, found {found:?}"),
        }
    }

    async fn settle(&mut self) {
        for ticket in self.tickets.drain(..) {
            ticket.await.expect("durable");
        }
        self.since = vec![self.model.clone()];
    }

    /// The process dies, and the machine with it, or not.
    fn crash(&mut self, raw: Raw) {
        self.store.abandon();
        self.tickets.clear();
        let ops = self.disk.ops();
        ops.iter().skip(self.replayed).for_each(|op| self.replay.step(op));
        let loss = Loss::ALL[usize::from(raw.1) % Loss::ALL.len()];
        let image = self.replay.crash(loss, &mut self.rng);
        self.disk = Recorder::holding(image.clone());
        (self.replay, self.replayed) = (Replay::from(image), 0);
        let seen = Store::inspect(&self.disk).expect("readable");
        let found = self.since.iter().find(|model| model.is(&seen));
        self.model = found.unwrap_or_else(|| panic!("{loss:?}: {seen:#?}")).clone();
        self.since = vec![self.model.clone()];
        self.store = Self::open(&self.disk, self.writer);
    }

    /// An inspection of what is new finds what a whole one finds.
    fn inspect(&mut self) {
        let now = self.disk.image();
        let before = std::mem::replace(&mut self.inspected, now.clone());
        let frozen = Recorder::holding(now.clone());
        let found = self.inspector.inspect(&frozen, |name| now.differs_from(&before, name)).expect("readable");
        assert_eq!(*found, Store::inspect(&frozen).expect("readable"));
    }

    fn read_some(&self, (_, a, b): Raw) {
        let first = self.model.purged.index.0 + 1 + u64::from(a % 4);
        let end = first + u64::from(b % 8);
        let bytes_max = usize::from(b) * 4;
        let read = self.store.read(Index(first)..Index(end), bytes_max).expect("readable");
        let whole: Vec<_> = self.model.log.range(first..end).map(|(_, record)| record.clone()).collect();
        assert!(whole.starts_with(&read), "{read:?} is not the beginning of {whole:?}");
        assert_eq!(read.is_empty(), whole.is_empty());
    }
}

async fn run(writer: fn() -> Writer, history: Vec<Raw>) {
    let mut run = Run::new(writer);
    let thread = matches!(writer(), Writer::Thread);
    for raw in history {
        match raw.0 {
            0..22 => run.submit(raw).await,
            22..25 => run.settle().await,
            25 => run.read_some(raw),
            // A writer on a thread may still be in the middle of something; only a task can be cut off at once.
            26..28 if !thread => run.crash(raw),
            _ => {
                run.settle().await;
                run.store.close().await.expect("closes");
                run.store = Run::open(&run.disk, writer);
            }
        }
        if !thread {
            run.inspect();
        }
        if run.tickets.is_empty() {
            run.model.assert_is(&run.store);
        }
    }
    run.model.assert_is(&run.store);
    run.settle().await;
    run.store.close().await.expect("closes");
    assert!(run.model.is(&Store::inspect(&run.disk).expect("readable")));
}

fn history() -> impl Strategy<Value = Vec<Raw>> {
    proptest::collection::vec((0..29_u8, any::<u8>(), any::<u8>()), 1..60)
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_model_on_a_task(history in history()) {
        block_on(run(instant, history));
    }

    #[test]
    fn it_is_the_model_while_absorption_waits(history in history(), a_while: bool) {
        block_on(run(if a_while { unhurried } else { reluctant }, history));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_model_on_a_thread(history in history()) {
        block_on(run(|| Writer::Thread, history));
    }
}
