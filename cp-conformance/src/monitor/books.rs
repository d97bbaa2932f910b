//! What the monitor has written down.

use super::recovery::{Recovered, Recovery};
use super::tally::{Aim, Moment, Tally};
use crate::backend::{Observed, Sign};
use crate::checks::applied::Applied;
use crate::checks::audit::{Claim, last};
use crate::checks::committed::Committed;
use crate::checks::digests::Digests;
use crate::checks::fencing::Fencing;
use crate::checks::gates::Gates;
use crate::checks::leaders::Leaders;
use crate::checks::ledger::Ledger;
use crate::checks::matching::Matching;
use crate::checks::monotonic::Monotonic;
use crate::checks::outcomes::Outcomes;
use crate::checks::register::{Register, Since};
use crate::checks::replay::Replay;
use crate::checks::transitions::Transitions;
use crate::checks::{Broken, Fingerprint, completeness, quorum};
use crate::disk::Disk;
use crate::life::Life;
use crate::promise::Promise;
use cp_driver::wire::Body;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Outcome, Term};
use cp_store::Inspection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Of claims that the last recovered image already covers, one in so many is
/// checked against a newly recovered one.
const SAMPLE_EVERY: u64 = 16;

#[derive(Debug)]
struct Book {
    incarnation: Incarnation,
    recovery: Recovery,
    monotonic: Monotonic,
    /// Snapshots offered to this node: by whom, under which transfer.
    offered: BTreeMap<(Incarnation, u64), LogPosition>,
    /// What leaders asked this node to hold: who, under which number.
    asked: BTreeMap<(Incarnation, u64), (Term, ControlPlaneLogIndex)>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    slots: BTreeMap<usize, Book>,
    /// Incarnations whose disk was emptied. One that comes back is an impostor with an
    /// empty memory: what it sends is judged, and what it learns is not a grant.
    wiped: BTreeSet<Incarnation>,
    pub(super) chunk_bytes: BTreeMap<Incarnation, u64>,
    pub(super) leaders: Leaders,
    pub(super) ledger: Ledger,
    pub(super) committed: Committed,
    pub(super) matching: Matching,
    pub(super) digests: Digests,
    pub(super) fencing: Fencing,
    pub(super) gates: Gates,
    pub(super) outcomes: Outcomes,
    pub(super) register: Register,
    pub(super) replay: Replay,
    pub(super) applied: Applied,
    pub(super) known: Transitions,
    pub(super) aims: Vec<Aim>,
    pub(super) counts: Tally,
    highest_reported: ControlPlaneLogIndex,
    last_said: BTreeMap<(usize, Incarnation), String>,
}

/// How many records at the beginning of `image` have been judged with `before`:
/// they are the same, and were committed then.
fn judged(before: &Inspection, image: &Inspection) -> usize {
    let Some(first) = image.log.first().map(|record| record.position.index) else { return 0 };
    let kept = before.log.iter().skip_while(|record| record.position.index < first);
    kept.zip(&image.log).take_while(|(then, now)| then == now && then.position.index <= before.committed).count()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Books {
    pub(super) fn enroll(&mut self, slot: usize, incarnation: Incarnation, disk: Disk) {
        let book = Book {
            incarnation,
            recovery: Recovery::of(slot, incarnation, disk),
            monotonic: Monotonic::default(),
            offered: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        self.slots.insert(slot, book);
    }

    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(book) = self.slots.remove(&slot) {
            self.wiped.insert(book.incarnation);
        }
    }

    /// Whether this is what `slot` told `to` the last time, heartbeats mostly.
    pub(super) fn said_before(&mut self, slot: usize, to: Incarnation, what: &str) -> bool {
        let last = self.last_said.entry((slot, to)).or_default();
        let again = last == what;
        what.clone_into(last);
        again
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            elections: count(self.leaders.count()),
            commits: count(self.committed.count()),
            acknowledged: count(self.register.count()),
            transitions: count(self.fencing.count()),
            grants: count(self.ledger.count()),
            writes_admitted: self.gates.admitted(),
            takeovers: self.gates.takeovers(),
            ..self.counts
        }
    }

    /// Recovers the disk of `slot` from what is synced, unless nothing was synced
    /// since, and lets every checker of images see it.
    pub(super) fn refresh(&mut self, slot: usize) -> Result<(), Broken> {
        self.recover(slot, false)
    }

    /// As `refresh`, and whatever was synced: the whole disk is read.
    pub(super) fn reread(&mut self, slot: usize) -> Result<(), Broken> {
        self.recover(slot, true)
    }

    fn recover(&mut self, slot: usize, whole: bool) -> Result<(), Broken> {
        let Some(book) = self.slots.get_mut(&slot) else { return Ok(()) };
        if book.recovery.disk().broke_its_word() {
            // What was audited on it no longer holds; what the node says of it still counts.
            return Ok(());
        }
        let (image, before) = match book.recovery.recover(whole)? {
            Recovered::AsBefore => return Ok(()),
            Recovered::Now(image, before) => (image, before),
            Recovered::Refused(error) => {
                self.counts.inspections += 1;
                let effects = book.recovery.disk().effects();
                // A disk that was made to fail may be damaged; that it is refused is the promise kept (CP-D4).
                if effects.failed_operations + effects.flipped_bits > 0 {
                    return Ok(());
                }
                let what = format!("a power loss now would leave n{slot} with a store that does not open: {error}");
                return Err(Broken::new("restart", Promise::D2, what));
            }
        };
        self.counts.inspections += 1;
        if !self.wiped.contains(&book.incarnation) {
            self.ledger.holds(book.incarnation, &image.vote)?;
        }
        book.monotonic.image(&image)?;
        let who = format!("n{slot}'s disk");
        let judged = before.map_or(0, |before| judged(&before, &image));
        for (position, body) in self.matching.image(&image, judged)? {
            self.outcomes.logged(position, body)?;
            if position.index <= image.committed {
                self.committed.is(position, Some(body), &who)?;
                self.outcomes.committed(position)?;
            }
        }
        Ok(())
    }

    fn image(&self, slot: usize) -> Option<Arc<Inspection>> {
        let book = self.slots.get(&slot).filter(|book| !book.recovery.disk().broke_its_word())?;
        book.recovery.image().map(Arc::clone)
    }

    pub(super) fn incarnation(&self, slot: usize) -> Incarnation {
        self.slots.get(&slot).map(|book| book.incarnation).unwrap_or_default()
    }

    /// A node that stops by itself has a failed disk, or there is a bug.
    pub(super) fn stopped(&self, life: &Life, why: &str) -> Result<(), Broken> {
        let excused = |book: &Book| {
            let disk = book.recovery.disk();
            disk.effects().failed_operations > 0 || disk.broke_its_word()
        };
        if life.may_stop() || self.slots.get(&life.slot()).is_some_and(excused) {
            return Ok(());
        }
        Err(Broken::new("unexpected stop", Promise::L1, format!("n{} stopped: {why}", life.slot())))
    }

    /// Audits `claim` of the node in `slot`.
    pub(super) fn claim(&mut self, slot: usize, claim: Claim) -> Result<(), Broken> {
        let Some(me) = self.slots.get(&slot).map(|book| book.incarnation) else { return Ok(()) };
        self.counts.claims += 1;
        let held = self.image(slot).is_some_and(|image| claim.is_held_by(me, &image));
        if held && !self.counts.claims.is_multiple_of(SAMPLE_EVERY) {
            return Ok(());
        }
        self.refresh(slot)?;
        match self.image(slot) {
            Some(image) => claim.check(me, &image),
            None => Ok(()),
        }
    }

    pub(super) fn observed(&mut self, slot: usize, to: Incarnation, observed: &Observed) -> Result<(), Broken> {
        let Some(me) = self.slots.get(&slot).map(|book| book.incarnation) else { return Ok(()) };
        match *observed {
            Observed::Grant { term, candidate } => {
                self.ledger.grants(me, term, candidate)?;
                self.claim(slot, Claim::Granted { term, candidate })
            }
            Observed::Candidacy { term } => {
                self.ledger.grants(me, term, me)?;
                self.claim(slot, Claim::Granted { term, candidate: me })
            }
            Observed::Leads { term } => {
                self.leads(slot, term)?;
                self.claim(slot, Claim::Leads { term })
            }
            Observed::AppendAck { term, up_to } => {
                self.counts.append_acks += 1;
                self.claim(slot, Claim::Holds { term, up_to })
            }
            Observed::Asks { request, term, up_to } => {
                if let Some(book) = self.slots.values_mut().find(|book| book.incarnation == to) {
                    book.asked.insert((me, request), (term, up_to));
                }
                Ok(())
            }
            Observed::Done { request } => {
                let asked = self.slots.get(&slot).and_then(|book| book.asked.get(&(to, request)).copied());
                match asked {
                    Some((term, up_to)) => self.observed(slot, to, &Observed::AppendAck { term, up_to }),
                    None => {
                        let what = format!("{me} answers a request {request} of {to} that was never made");
                        Err(Broken::new("restart", Promise::D2, what))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn leads(&mut self, slot: usize, term: Term) -> Result<(), Broken> {
        let Some(me) = self.slots.get(&slot).map(|book| book.incarnation) else { return Ok(()) };
        if !self.leaders.leads(term, me)? {
            return Ok(());
        }
        self.committed.led(term);
        self.refresh(slot)?;
        let Some(image) = self.image(slot) else { return Ok(()) };
        completeness::begins(me, term, &image, self.committed.before(term, image.snapshot.position.index))
    }

    /// The node in `slot` lets others know that all up to `up_to` is committed.
    pub(super) fn reports_committed(&mut self, slot: usize, up_to: ControlPlaneLogIndex) -> Result<(), Broken> {
        self.claim(slot, Claim::Committed { up_to })?;
        if up_to > self.highest_reported {
            self.highest_reported = up_to;
            self.durable_on_a_quorum(slot, up_to)?;
        }
        Ok(())
    }

    pub(super) fn applies(
        &mut self,
        life: &Life,
        position: LogPosition,
        body: Option<Fingerprint>,
    ) -> Result<(), Broken> {
        let slot = life.slot();
        self.register.fed((slot, life.number()), position.index)?;
        self.reports_committed(slot, position.index)?;
        self.committed.is(position, body, &format!("n{slot}"))?;
        self.outcomes.committed(position)?;
        body.map_or(Ok(()), |body| self.outcomes.logged(position, body))
    }

    pub(super) fn told(
        &mut self,
        slot: usize,
        position: LogPosition,
        outcome: Outcome,
        since: Option<Since>,
    ) -> Result<(), Broken> {
        if outcome == Outcome::Committed {
            self.reports_committed(slot, position.index)?;
        }
        self.outcomes.told(position, outcome, self.committed.term_at(position.index))?;
        match (outcome, since) {
            (Outcome::Committed, Some(since)) => self.register.acknowledged(since, position),
            (Outcome::Unknown, _) => {
                self.counts.unknown += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Committed implies durable on a quorum (CP-S2), whoever the leader counted.
    fn durable_on_a_quorum(&mut self, slot: usize, index: ControlPlaneLogIndex) -> Result<(), Broken> {
        let Some(image) = self.image(slot) else { return Ok(()) };
        let Some(record) = image.log.iter().find(|record| record.position.index == index) else { return Ok(()) };
        let position = record.position;
        let slots: Vec<(usize, Incarnation)> = self.slots.iter().map(|(slot, b)| (*slot, b.incarnation)).collect();
        let mut holders = Vec::new();
        for (slot, incarnation) in slots {
            let holds = |image: &Inspection| {
                image.snapshot.position.index >= position.index
                    || image.log.iter().any(|record| record.position == position)
            };
            if !self.image(slot).is_some_and(|image| holds(&image)) {
                self.refresh(slot)?;
            }
            // Nobody can know of a disk that broke its word.
            let believed = self.slots.get(&slot).is_some_and(|book| book.recovery.disk().broke_its_word());
            if believed || self.image(slot).is_some_and(|image| holds(&image)) {
                holders.push(incarnation);
            }
        }
        quorum::reports(&format!("n{slot}"), &image, position, &holders)
    }

    /// A snapshot transfer that is reported done must have left the snapshot on the disk.
    pub(super) fn snapshot_frames(&mut self, slot: usize, to: Incarnation, body: Option<&Body>) -> Result<(), Broken> {
        match body {
            Some(Body::Offer(offer)) => {
                let Some(from) = self.slots.get(&slot).map(|book| book.incarnation) else { return Ok(()) };
                let position = offer.meta.as_ref().and_then(|meta| meta.position).map(LogPosition::from);
                if let (Some(position), Some(book)) = (position, self.slots.values_mut().find(|b| b.incarnation == to))
                {
                    book.offered.insert((from, offer.transfer), position);
                }
                Ok(())
            }
            Some(Body::Ended(ended)) if ended.failure.is_empty() => {
                let offered = self.slots.get(&slot).and_then(|book| book.offered.get(&(to, ended.transfer)).copied());
                match offered {
                    Some(position) => self.claim(slot, Claim::Installed { position }),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether an aim strikes the node in `slot`, which sends `observed`.
    pub(super) fn takes_aim(&mut self, slot: usize, observed: &[Observed], moment: Moment) -> bool {
        let mut strikes = false;
        self.aims.retain_mut(|aim| {
            let meant = aim.moment == moment
                && aim.slot.is_none_or(|of| of == slot)
                && observed.iter().any(|o| Sign::of(o) == Some(aim.sign));
            if strikes || !meant {
                return true;
            }
            if let Some(fewer) = aim.skip.checked_sub(1) {
                aim.skip = fewer;
                return true;
            }
            strikes = true;
            false
        });
        self.counts.aimed += u64::from(strikes);
        strikes
    }

    /// Every acknowledged position that `slot`'s disk does not hold.
    pub(super) fn missing(&mut self, slot: usize) -> Result<Option<LogPosition>, Broken> {
        self.refresh(slot)?;
        let Some(image) = self.image(slot) else { return Ok(None) };
        let end = last(&image).index.min(image.committed);
        let held = |position: &LogPosition| {
            let index = position.index;
            index <= end
                && match image.log.iter().find(|record| record.position.index == index) {
                    Some(record) => record.position == *position,
                    None => image.snapshot.terms.term_at(index) == Some(position.term),
                }
        };
        Ok(self.register.all().find(|position| !held(position)))
    }
}
