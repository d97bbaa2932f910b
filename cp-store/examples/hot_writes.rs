//! What a durable write costs, by where it lives; the figures of ADR 1.
//!
//! `cargo run --release -p cp-store --example hot_writes [DIRECTORY [CANDIDATE]]`
//!
//! A step is one record of 200 bytes made durable. An entry is two steps, one
//! after the other, as a leader takes them: append, then raise the committed
//! index. Candidates take turns in short rounds, so that a busy disk is busy for
//! all of them; with three stores, three threads run the same candidate at once.
//! The candidates may be narrowed to those whose name holds `CANDIDATE`.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a measurement: it reads a clock and stops at the first error"
)]

use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LogPosition,
    MemberId, StateDigest, Term,
};
use cp_store::{
    Batch, Configuration, DiskDirectory, Expected, Founding, Identity, LogRecord, RecordBody, SnapshotMeta, Store,
    TermRuns, Writer,
};
use redb::{Database, Durability, TableDefinition};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

const RECORD_BYTES: usize = 200;
const ROUNDS: usize = 12;
const ENTRIES_PER_ROUND: usize = 100;
const SEGMENT_BYTES: u64 = 4 << 20;
const TABLE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");

/// A place for hot writes.
trait Candidate: Send {
    /// Makes a record durable.
    fn append(&mut self, record: &[u8]);
    /// Makes the committed index durable.
    fn commit(&mut self, index: u64);
}

struct Growing(File);

impl Candidate for Growing {
    fn append(&mut self, record: &[u8]) {
        self.0.write_all(record).expect("writes");
        self.0.sync_data().expect("syncs");
    }
    fn commit(&mut self, index: u64) {
        self.append(&index.to_le_bytes());
    }
}

/// A preallocated file; each write is `copies` times `align` bytes.
struct Preallocated {
    file: File,
    align: usize,
    copies: usize,
    next: u64,
}

impl Preallocated {
    fn new(path: &Path, align: usize, copies: usize) -> Self {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).expect("creates");
        for at in (0..SEGMENT_BYTES).step_by(1 << 16) {
            file.write_all_at(&[0; 1 << 16], at).expect("fills");
        }
        file.sync_all().expect("syncs");
        Self { file, align, copies, next: 0 }
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut frame = vec![0; bytes.len().next_multiple_of(self.align) * self.copies];
        let copy_len = frame.len() / self.copies;
        for copy in frame.chunks_mut(copy_len) {
            let crc = crc32c::crc32c(bytes);
            copy[..4].copy_from_slice(&crc.to_le_bytes());
            copy[4..bytes.len()].copy_from_slice(&bytes[4..]);
        }
        if self.next + frame.len() as u64 > SEGMENT_BYTES {
            self.next = 0;
        }
        self.file.write_all_at(&frame, self.next).expect("writes");
        self.file.sync_data().expect("syncs");
        self.next += frame.len() as u64;
    }
}

impl Candidate for Preallocated {
    fn append(&mut self, record: &[u8]) {
        self.write(record);
    }
    fn commit(&mut self, index: u64) {
        self.write(&index.to_le_bytes());
    }
}

struct Redb {
    db: Database,
    two_phase: bool,
    next: u64,
    /// Two slots for the committed index, if it does not live in redb.
    slots: Option<Preallocated>,
}

impl Redb {
    fn new(path: &Path, two_phase: bool, slots: Option<Preallocated>) -> Self {
        Self { db: Database::create(path).expect("creates"), two_phase, next: 1, slots }
    }
    fn put(&mut self, key: u64, value: &[u8]) {
        let mut write = self.db.begin_write().expect("begins");
        write.set_durability(Durability::Immediate).expect("sets");
        write.set_two_phase_commit(self.two_phase);
        write.open_table(TABLE).expect("opens").insert(key, value).expect("inserts");
        write.commit().expect("commits");
    }
}

impl Candidate for Redb {
    fn append(&mut self, record: &[u8]) {
        self.next += 1;
        self.put(self.next, record);
    }
    fn commit(&mut self, index: u64) {
        match &mut self.slots {
            Some(slots) => {
                slots.next = index % 2 * 4096;
                slots.write(&index.to_le_bytes());
            }
            None => self.put(0, &index.to_le_bytes()),
        }
    }
}

/// The store as it is, its writer thread and its absorption included.
struct Whole {
    store: Store,
    next: u64,
    /// How many records a step appends, as under load.
    records: u64,
}

impl Whole {
    fn new(path: &Path, records: u64) -> Self {
        let dir = DiskDirectory::make(path).expect("makes");
        let identity = Identity {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member: MemberId::new("n1").expect("legal"),
            incarnation: Incarnation(1),
            engine: String::new(),
        };
        let meta = SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: Configuration::default(),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: StateDigest::default(),
        };
        Store::create(&dir, &identity, Founding { meta, chunks: Vec::new() }).expect("creates");
        let store = Store::open(Arc::new(dir), &Expected::default(), Writer::Thread).expect("opens");
        Self { store, next: 0, records }
    }
    fn wait(&self, batch: Batch) {
        let (answer, asked) = mpsc::sync_channel(1);
        self.store.submit_then(batch, move |result| answer.send(result).expect("awaited")).expect("accepted");
        asked.recv().expect("answered").expect("durable");
    }
}

impl Candidate for Whole {
    fn append(&mut self, record: &[u8]) {
        let payload = ControlPlanePayload::new(record.to_vec()).expect("short");
        let body = RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(payload));
        let at = |index| LogPosition::new(Term(1), ControlPlaneLogIndex(index));
        let indexes = self.next + 1..=self.next + self.records;
        let append = indexes.map(|index| LogRecord { position: at(index), body: body.clone() }).collect();
        self.next += self.records;
        self.wait(Batch { append, ..Batch::default() });
    }
    fn commit(&mut self, _index: u64) {
        self.wait(Batch { committed: Some(ControlPlaneLogIndex(self.next)), ..Batch::default() });
    }
}

type Make = fn(&Path) -> Box<dyn Candidate>;

const CANDIDATES: &[(&str, Make)] = &[
    ("floor: preallocated file, fdatasync", |p| Box::new(Preallocated::new(p, 512, 1))),
    ("growing file, fdatasync", |p| Box::new(Growing(File::create_new(p).expect("creates")))),
    ("redb, one-phase", |p| Box::new(Redb::new(p, false, None))),
    ("redb, two-phase", |p| Box::new(Redb::new(p, true, None))),
    ("redb, two-phase + slot file", |p| {
        let slots = Preallocated::new(&p.with_extension("slots"), 512, 2);
        Box::new(Redb::new(p, true, Some(slots)))
    }),
    ("write-ahead, 2 copies of 512 B", |p| Box::new(Preallocated::new(p, 512, 2))),
    ("write-ahead, 2 copies of 4 KiB", |p| Box::new(Preallocated::new(p, 4096, 2))),
    ("cp-store as built", |p| Box::new(Whole::new(p, 1))),
    ("cp-store as built, 64 records a step", |p| Box::new(Whole::new(p, 64))),
];

#[derive(Default, Clone)]
struct Samples {
    step: Vec<Duration>,
    entry: Vec<Duration>,
}

fn round(candidate: &mut dyn Candidate, samples: &mut Samples) {
    let record = [0x5a; RECORD_BYTES];
    for index in 0..ENTRIES_PER_ROUND as u64 {
        let begun = Instant::now();
        candidate.append(&record);
        samples.step.push(begun.elapsed());
        candidate.commit(index);
        samples.entry.push(begun.elapsed());
    }
}

fn measure(root: &Path, stores: usize, candidates: &[&(&str, Make)]) -> Vec<Samples> {
    let mut total = vec![Samples::default(); candidates.len()];
    let mut places: Vec<Vec<Box<dyn Candidate>>> = Vec::new();
    for (which, (_, make)) in candidates.iter().enumerate() {
        places.push((0..stores).map(|s| make(&root.join(format!("{stores}-{which}-{s}")))).collect());
    }
    for _ in 0..ROUNDS {
        for (place, samples) in places.iter_mut().zip(&mut total) {
            let barrier = Barrier::new(stores);
            let parts: Vec<Samples> = std::thread::scope(|scope| {
                let run = |candidate: &'_ mut Box<dyn Candidate>| {
                    let mut part = Samples::default();
                    barrier.wait();
                    round(candidate.as_mut(), &mut part);
                    part
                };
                let threads: Vec<_> = place.iter_mut().map(|candidate| scope.spawn(move || run(candidate))).collect();
                threads.into_iter().map(|thread| thread.join().expect("runs")).collect()
            });
            for part in parts {
                samples.step.extend(part.step);
                samples.entry.extend(part.entry);
            }
        }
    }
    total
}

fn percentile(samples: &mut [Duration], per_mille: usize) -> u128 {
    samples.sort();
    samples[(samples.len() - 1) * per_mille / 1000].as_micros()
}

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("hot-writes");
    std::fs::create_dir_all(&root).expect("makes the directory");
    let wanted = std::env::args().nth(2).unwrap_or_default();
    let candidates: Vec<_> = CANDIDATES.iter().filter(|(name, _)| name.contains(&wanted)).collect();
    let mut out = std::io::stdout().lock();
    for stores in [1, 3] {
        let rows = measure(&root, stores, &candidates);
        writeln!(out, "\n{stores} store(s) on one disk, microseconds, {RECORD_BYTES} B records").expect("prints");
        let head = ["step p50", "p99", "entry p50", "p99", "p99.9", "longest"];
        writeln!(out, "{:<38}{}", "", head.map(|what| format!("{what:>10}")).concat()).expect("prints");
        for ((name, _), mut row) in candidates.iter().zip(rows) {
            let step = [500, 990].map(|p| percentile(&mut row.step, p));
            let entry = [500, 990, 999, 1000].map(|p| percentile(&mut row.entry, p));
            let figures: String = step.iter().chain(&entry).map(|figure| format!("{figure:>10}")).collect();
            writeln!(out, "{name:<38}{figures}").expect("prints");
        }
    }
    std::fs::remove_dir_all(&root).expect("cleans up");
}
