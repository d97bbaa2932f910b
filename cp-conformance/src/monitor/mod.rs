//! The one place where everything observed meets the checkers.
//!
//! It sees frames as they leave, statuses as they are published, entries as they
//! are applied, answers as callers get them, and it recovers disks as a power
//! loss would leave them. The first objection ends the run.

mod books;
mod gates;
mod recovery;
mod state;
mod tally;

pub(crate) use state::Watched;
pub use tally::{Aim, Moment, Tally};

use crate::backend::{Backend, Observed};
use crate::checks::audit::Claim;
use crate::checks::register::Since;
use crate::checks::transitions::{Known, Transitions};
use crate::checks::{Broken, Fingerprint};
use crate::disk::Disk;
use crate::life::Life;
use crate::network::Wiretap;
use crate::sync::locked;
use crate::trace::Trace;
use books::Books;
use bytes::Bytes;
use cp_catalog::{Effect, Fence, RangeEffect, RangeKey, RangeStanding};
use cp_driver::wire::{Body, Envelope};
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneStatus, Incarnation, LogPosition, Outcome,
    ReadPoint, StateDigest,
};
use cp_store::{Founding, RecordBody};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Watches one run.
#[derive(Debug)]
pub struct Monitor {
    backend: &'static dyn Backend,
    trace: Trace,
    books: Mutex<Books>,
    violated: watch::Sender<Option<Broken>>,
}

/// The fingerprint of an entry as its record will have it.
pub(crate) fn fingerprint(entry: &ControlPlaneEntry) -> Fingerprint {
    Fingerprint::of(&RecordBody::Entry(entry.clone()))
}

impl Monitor {
    /// A monitor with empty books.
    pub fn new(backend: &'static dyn Backend, trace: Trace) -> Arc<Self> {
        let violated = watch::Sender::new(None);
        Arc::new(Self { backend, trace, books: Mutex::new(Books::default()), violated })
    }

    /// The node in `slot` is this incarnation, on this disk, from now on.
    pub fn enroll(&self, slot: usize, incarnation: Incarnation, disk: Disk) {
        locked(&self.books).enroll(slot, incarnation, disk);
    }

    /// The disk of `slot` is gone; there is nothing to recover until it is enrolled anew.
    pub fn forget(&self, slot: usize) {
        locked(&self.books).forget(slot);
    }

    /// Ends a life at a frame: see [`Aim`].
    pub fn aim(&self, aim: Aim) {
        locked(&self.books).aims.push(aim);
    }

    /// Forgets every aim that has not been hit.
    pub fn hold_fire(&self) {
        locked(&self.books).aims.clear();
    }

    /// How many bytes of snapshots were sent to this incarnation so far.
    pub fn chunk_bytes(&self, to: Incarnation) -> u64 {
        locked(&self.books).chunk_bytes.get(&to).copied().unwrap_or_default()
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        locked(&self.books).tally()
    }

    /// The first objection, if there is one.
    pub fn objection(&self) -> Option<Broken> {
        self.violated.borrow().clone()
    }

    /// Resolves at the first objection.
    pub async fn objected(&self) -> Broken {
        let mut violated = self.violated.subscribe();
        loop {
            if let Some(broken) = violated.borrow_and_update().clone() {
                return broken;
            }
            if violated.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn judge(&self, verdict: Result<(), Broken>) {
        #[cfg(planted_bugs)]
        let verdict = verdict.or_else(|b| if crate::teeth::is_disabled(b.checker) { Ok(()) } else { Err(b) });
        if let Err(broken) = verdict {
            self.trace.note(&"!!", &broken);
            self.violated.send_if_modified(|first| {
                let news = first.is_none();
                first.get_or_insert(broken);
                news
            });
        }
    }

    /// Recovers the whole disk of `slot` as a power loss would leave it, and checks it.
    pub fn inspect(&self, slot: usize) {
        let verdict = locked(&self.books).reread(slot);
        self.judge(verdict);
    }

    /// The node of `life` published `status`.
    pub(crate) fn status(&self, life: &Life, status: &ControlPlaneStatus) {
        if !life.goes_on() {
            return;
        }
        self.trace.node(
            life.slot(),
            format_args!(
                "is {:?} in {}, leader {}, serving {}, committed {}, applied {}, settled {}{}",
                status.role,
                status.term,
                status.leader.as_ref().map_or("unknown", |l| l.as_str()),
                status.serving,
                status.committed,
                status.applied,
                status.settled,
                status.stopped.as_ref().map(|why| format!(", stopped: {why}")).unwrap_or_default()
            ),
        );
        let verdict = {
            let mut books = locked(&self.books);
            let stopped = status.stopped.as_ref().map_or(Ok(()), |why| books.stopped(life, why));
            let leads = if status.role == ControlPlaneRole::Leader && status.stopped.is_none() {
                books.leads(life.slot(), status.term)
            } else {
                Ok(())
            };
            let ordered = books.applied.says((life.slot(), life.number()), status.applied, status.committed);
            stopped.and(leads).and(ordered).and_then(|()| books.reports_committed(life.slot(), status.committed))
        };
        self.judge(verdict);
    }

    /// The node of `life` is about to apply what is at `position`.
    pub(crate) fn applies(&self, life: &Life, position: LogPosition, entry: Option<&ControlPlaneEntry>) {
        if !life.goes_on() {
            return;
        }
        let mut books = locked(&self.books);
        books.replay.applied(position, entry);
        let verdict = books.applies(life, position, entry.map(fingerprint));
        drop(books);
        self.judge(verdict);
    }

    /// Demands that the committed log up to `index`, replayed alone from `genesis`, has this digest.
    pub(crate) fn replays(
        &self,
        genesis: &Founding,
        index: ControlPlaneLogIndex,
        digest: StateDigest,
    ) -> Result<(), Broken> {
        locked(&self.books).replay.gives(genesis, index, digest)
    }

    /// What the node of `life` has applied at `index` had an effect, under these fences.
    pub(crate) fn accepted(&self, life: &Life, index: ControlPlaneLogIndex, fences: Vec<(RangeKey, Fence)>) {
        if life.goes_on() {
            let books = locked(&self.books);
            let verdict = fences.iter().try_for_each(|(range, fence)| books.fencing.accepted(index, range, *fence));
            drop(books);
            self.judge(verdict);
        }
    }

    /// What the node of `life` has applied at `index` did this.
    pub(crate) fn effect(&self, life: &Life, index: ControlPlaneLogIndex, effect: &Effect) {
        if life.goes_on() {
            let verdict = locked(&self.books).fencing.effect(index, effect);
            self.judge(verdict);
        }
    }

    /// A recovery at `index` led from one generation to another.
    pub(crate) fn begins(&self, index: ControlPlaneLogIndex, before: u16, generation: u16) {
        let verdict = locked(&self.books).fencing.begins(index, before, generation);
        self.judge(verdict);
    }

    /// A recovery has left `range` so at `index`; no entry did.
    pub(crate) fn stands(&self, index: ControlPlaneLogIndex, range: &RangeKey, now: &RangeStanding) {
        let verdict = locked(&self.books).fencing.stands(index, range, now);
        self.judge(verdict);
    }

    /// The node of `life` has this digest at `index`.
    pub(crate) fn digest(&self, life: &Life, index: ControlPlaneLogIndex, digest: StateDigest) {
        if !life.goes_on() {
            return;
        }
        let verdict = locked(&self.books).digests.has(index, digest, &format!("n{}", life.slot()));
        self.judge(verdict);
    }

    /// The node of `life` replaced its state by a snapshot at `index`.
    pub(crate) fn restored(&self, life: &Life, index: ControlPlaneLogIndex, digest: StateDigest, booting: bool) {
        self.trace.node(life.slot(), format_args!("restores the snapshot at {index}"));
        locked(&self.books).register.restored((life.slot(), life.number()), index);
        if !life.goes_on() {
            return;
        }
        locked(&self.books).counts.snapshot_installs += u64::from(!booting);
        self.digest(life, index, digest);
    }

    /// A call begins now.
    pub fn begin(&self) -> Since {
        locked(&self.books).register.begin()
    }

    /// What a request that begins now may rely on, of ranges.
    pub fn known(&self) -> Known {
        locked(&self.books).known.begin()
    }

    /// A caller whose request began with `since` is told that it had this effect.
    pub(crate) fn done(&self, since: &Known, effect: &Effect) {
        let mut books = locked(&self.books);
        let verdict = match effect.on_ranges() {
            Some(RangeEffect::At { range, now }) => books.known.done(since, range, now),
            Some(RangeEffect::Split { lower, lower_now, upper, upper_now }) => {
                books.known.done(since, lower, lower_now).and_then(|()| books.known.done(since, upper, upper_now))
            }
            Some(RangeEffect::Merged { survivor, now, .. }) => books.known.done(since, survivor, now),
            None => Ok(()),
        };
        drop(books);
        self.judge(verdict);
    }

    /// A read that began with `since` sees each range as `sees` says.
    pub(crate) fn looks(&self, since: &Known, sees: impl Fn(&RangeKey) -> Option<RangeStanding>) {
        let verdict = {
            let books = locked(&self.books);
            let there = since.keys().filter(|range| !books.fencing.is_retired(range));
            there.into_iter().try_for_each(|range| Transitions::read(since, range, sees(range).as_ref()))
        };
        self.judge(verdict);
    }

    /// A proposal was refused.
    pub fn refused(&self, entry: &ControlPlaneEntry) {
        let mut books = locked(&self.books);
        books.counts.refused += 1;
        let verdict = books.outcomes.refused(fingerprint(entry));
        drop(books);
        self.judge(verdict);
    }

    /// A proposal got no position and no refusal.
    pub fn unknown(&self) {
        locked(&self.books).counts.unknown += 1;
    }

    /// A proposal got `position`.
    pub fn placed(&self, position: LogPosition, entry: &ControlPlaneEntry) {
        let verdict = locked(&self.books).outcomes.placed(position, fingerprint(entry));
        self.judge(verdict);
    }

    /// The node of `life` answered `outcome` about `position`, to a caller whose
    /// proposal began at `since`, if it was that caller's.
    pub fn told(&self, life: &Life, position: LogPosition, outcome: Outcome, since: Option<Since>) {
        if !life.goes_on() {
            return;
        }
        let verdict = locked(&self.books).told(life.slot(), position, outcome, since);
        self.judge(verdict);
    }

    /// A read that began at `since` was served by the node of `life`, as of `point`.
    pub fn read(&self, life: &Life, since: Since, point: ReadPoint) {
        let mut books = locked(&self.books);
        books.counts.reads += 1;
        let led = if life.goes_on() { books.leads(life.slot(), point.term) } else { Ok(()) };
        let verdict = led.and_then(|()| books.register.read(since, point.applied));
        drop(books);
        self.judge(verdict);
    }

    /// Every position acknowledged to a caller.
    pub fn acknowledged(&self) -> Vec<LogPosition> {
        locked(&self.books).register.all().collect()
    }

    /// The highest position that any node was seen to have committed.
    pub fn committed(&self) -> LogPosition {
        locked(&self.books).committed.last().unwrap_or_default()
    }

    /// An acknowledged position that the disk of `slot` would not hold after a power loss.
    pub(crate) fn missing(&self, slot: usize) -> Result<Option<LogPosition>, Broken> {
        locked(&self.books).missing(slot)
    }

    /// What the frame lets its receiver rely on, and how to name it in a trace.
    fn read_frame(&self, from: &Life, to: Incarnation, frame: &Bytes) -> (Option<Body>, Vec<Observed>) {
        let body = Envelope::read(frame.clone()).ok().and_then(|envelope| envelope.body);
        let from = locked(&self.books).incarnation(from.slot());
        let observed = match &body {
            Some(Body::Engine(message)) => self.backend.explain(from, to, message),
            _ => Vec::new(),
        };
        (body, observed)
    }
}

fn name(body: Option<&Body>) -> String {
    match body {
        None => "garbage".to_owned(),
        Some(Body::Engine(_)) => "engine".to_owned(),
        Some(Body::Offer(offer)) => format!("offer {} of {} chunks", offer.transfer, offer.chunk_count),
        Some(Body::Pull(pull)) => format!("pull {}/{}", pull.transfer, pull.ordinal),
        Some(Body::Chunk(chunk)) => format!("chunk {}/{}", chunk.transfer, chunk.ordinal),
        Some(Body::Ended(ended)) => format!("ended {} {}", ended.transfer, ended.failure),
        Some(Body::Majority(majority)) => format!("majority digest at {}", majority.index),
    }
}

impl Wiretap for Monitor {
    fn leaving(&self, from: &Life, to: Incarnation, frame: &Bytes) {
        let (body, observed) = self.read_frame(from, to, frame);
        let hash = blake3::hash(frame);
        let [a, b, c, ..] = hash.as_bytes();
        let signs: Vec<String> = observed.iter().map(ToString::to_string).collect();
        let what = format!("-> {to} {} [{}] {} B", name(body.as_ref()), signs.join(", "), frame.len());
        let mut books = locked(&self.books);
        let again = books.said_before(from.slot(), to, &what);
        let line = format_args!("{what} {a:02x}{b:02x}{c:02x}");
        if again {
            self.trace.note_again(from.slot(), &line)
        } else {
            self.trace.node(from.slot(), line)
        }
        if let Some(Body::Chunk(chunk)) = &body {
            *books.chunk_bytes.entry(to).or_default() += chunk.bytes.len() as u64;
        }
        let mut verdict = books.snapshot_frames(from.slot(), to, body.as_ref());
        for sign in &observed {
            verdict = verdict.and_then(|()| books.observed(from.slot(), to, sign));
        }
        let ends = books.takes_aim(from.slot(), &observed, Moment::Before);
        drop(books);
        self.judge(verdict);
        self.end(from, ends, "before that frame leaves");
    }

    fn left(&self, from: &Life, to: Incarnation, frame: &Bytes) {
        if locked(&self.books).aims.is_empty() {
            return;
        }
        let (_, observed) = self.read_frame(from, to, frame);
        let ends = locked(&self.books).takes_aim(from.slot(), &observed, Moment::After);
        self.end(from, ends, "after that frame has left");
    }
}

impl Monitor {
    fn end(&self, life: &Life, ends: bool, when: &str) {
        if ends {
            self.trace.node(life.slot(), format_args!("loses power {when}"));
            life.finish();
        }
    }

    /// For self-tests: a claim as if a node had made it.
    pub fn claims(&self, slot: usize, claim: Claim) {
        let verdict = locked(&self.books).claim(slot, claim);
        self.judge(verdict);
    }
}
