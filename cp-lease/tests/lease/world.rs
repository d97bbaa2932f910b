//! Three members, each with a clock, gates, perhaps a book, and a log between them.
//!
//! One member leads at a time, but one that was replaced does not notice, and goes on
//! answering. Clocks run at rates of their own, messages take as long as they like.

use crate::common::*;
use crate::phase::{Action, Fault, Phase};
use cp_catalog::*;
use cp_lease::{Grants, Holder, Margin, Monotonic, RenewError, Renewal};
use cp_seam::{ControlPlaneEntry, ControlPlaneStateMachine, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

struct Member {
    life: MemberLife,
    machine: CatalogMachine,
    clock: Monotonic,
    holder: Holder,
    /// What it has made durable of the gates that it closed.
    disk: BTreeMap<RangeKey, ClosedGate>,
    process: u64,
    book: Option<Book>,
}

struct Book {
    grants: Grants,
    led_at: Monotonic,
}

#[derive(Clone)]
enum Message {
    Ask { from: usize, process: u64, sent_at: Monotonic },
    Answer { process: u64, sent_at: Monotonic, renewal: Renewal },
    Closed { by: usize, gate: ClosedGate },
}

/// The authority that was seen admitting: range, epoch, owner.
pub(crate) type Seen = BTreeSet<(RangeKey, Epoch, usize)>;

pub(crate) struct World {
    fault: Fault,
    now: u64,
    term: u64,
    leader: usize,
    log: Vec<ControlPlaneEntry>,
    /// All of the log applied.
    truth: CatalogMachine,
    members: Vec<Member>,
    /// Due, to whom, what.
    wire: Vec<(u64, usize, Message)>,
    /// Gates that their owners said were closed.
    words: BTreeMap<RangeKey, ClosedGate>,
    next_id: u64,
    pub(crate) seen: Seen,
    /// How many writes a member admitted in a term in which nobody had settled yet.
    pub(crate) unsettled: u64,
}

impl World {
    pub(crate) fn new(fault: Fault) -> Self {
        let margin = if fault == Fault::GateWithoutMargin { Margin::new(Duration::ZERO) } else { policy().margin() };
        let member = |name| {
            let machine = library();
            let life = life(&machine, name);
            let holder = machine.read_at(|at, catalog| Holder::new(life.clone(), margin, at, catalog, []));
            Member { life, machine, clock: at(1000), holder, disk: BTreeMap::new(), process: 0, book: None }
        };
        let mut world = Self {
            fault,
            now: 0,
            term: 0,
            leader: 0,
            log: Vec::new(),
            truth: library(),
            members: NAMES.map(member).into(),
            wire: Vec::new(),
            words: BTreeMap::new(),
            next_id: 2,
            seen: Seen::new(),
            unsettled: 0,
        };
        world.elect(2);
        world
    }

    /// Goes through a phase; says who wrote where another wrote too, if that happened.
    pub(crate) fn run(&mut self, phase: &Phase) -> Result<(), String> {
        self.act(phase);
        for _ in 0..phase.ticks {
            self.now += 1;
            for (member, rate) in self.members.iter_mut().zip(phase.rates) {
                member.clock = member.clock.saturating_add(Duration::from_nanos(rate));
            }
            self.tick(phase);
            self.check()?;
        }
        Ok(())
    }

    fn tick(&mut self, phase: &Phase) {
        for (n, member) in self.members.iter_mut().enumerate() {
            if !phase.stalled[n] {
                member.apply_all(&self.log);
            }
            if let Some(book) = &mut member.book {
                book.follow(&member.machine);
                if n == self.leader && !phase.cut {
                    book.led_at = member.clock;
                }
            }
        }
        for from in 0..3 {
            if !phase.silent[from] {
                let (process, sent_at) = (self.members[from].process, self.members[from].clock);
                self.tell_leaders(from, phase, &Message::Ask { from, process, sent_at });
            }
        }
        let (due, later) = std::mem::take(&mut self.wire).into_iter().partition(|(due, ..)| *due <= self.now);
        self.wire = later;
        // Questions first, so that what takes no time is answered within the tick.
        let due: Vec<(u64, usize, Message)> = due;
        due.into_iter().for_each(|(_, to, message)| self.deliver(to, message, phase));
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.wire).into_iter().partition(|(d, ..)| *d <= self.now);
        self.wire = later;
        due.into_iter().for_each(|(_, to, message)| self.deliver(to, message, phase));
    }

    fn tell_leaders(&mut self, from: usize, phase: &Phase, message: &Message) {
        for to in (0..3).filter(|to| self.members[*to].book.is_some()).collect::<Vec<_>>() {
            self.wire.push((self.now + phase.delays[from], to, message.clone()));
        }
    }

    fn deliver(&mut self, to: usize, message: Message, phase: &Phase) {
        let fault = self.fault;
        match message {
            Message::Ask { from, process, sent_at } => {
                let life = self.members[from].life.clone();
                let member = &mut self.members[to];
                let Some(book) = &mut member.book else { return };
                let led_at = if fault == Fault::LeadershipUnconfirmed { member.clock } else { book.led_at };
                if let Ok(renewal) = book.grants.grant(&life, led_at, member.clock) {
                    let due = self.now + phase.delays[from];
                    self.wire.push((due, from, Message::Answer { process, sent_at, renewal }));
                }
            }
            Message::Answer { process, sent_at, renewal } => {
                let member = &mut self.members[to];
                if process != member.process && fault != Fault::AnswersOfAnEarlierProcess {
                    return;
                }
                let counted = if fault == Fault::CountedFromTheReply { member.clock } else { sent_at };
                if let Err(RenewError::Behind { .. }) = member.holder.renew(&renewal, counted) {
                    self.wire.push((self.now + 1, to, Message::Answer { process, sent_at, renewal }));
                }
            }
            Message::Closed { by, gate } => {
                let life = self.members[by].life.clone();
                if let Some(book) = &mut self.members[to].book {
                    book.grants.closed(&life, &gate);
                }
            }
        }
    }

    fn act(&mut self, phase: &Phase) {
        match phase.action {
            Action::Nothing => {}
            Action::Elect(node) => self.elect(node),
            Action::Promote { pick, to } => {
                let Some(range) = self.pick(pick) else { return };
                let command = self.truth.read(|catalog| transfer(catalog, &range, NAMES[to], None));
                let (epoch, by) = (self::range(&self.truth, &range).epoch, self.owner(&range));
                self.propose(command);
                if self.fault == Fault::PromotionDoesNotWait {
                    let leader = self.leader;
                    let message = Message::Closed { by, gate: ClosedGate { range, epoch, last: LAST } };
                    self.wire.push((self.now + 1, leader, message));
                }
            }
            Action::Handoff { pick, to } => {
                let Some(range) = self.pick(pick) else { return };
                let record = self::range(&self.truth, &range);
                let owner = self.owner(&range);
                let word = self.words.get(&range).filter(|gate| gate.epoch == record.epoch).cloned();
                let closed = match self.fault {
                    Fault::HandoffWithoutClosing => {
                        Some(ClosedGate { range: range.clone(), epoch: record.epoch, last: LAST })
                    }
                    _ => word.or_else(|| self.members[owner].close(&range)),
                };
                if let Some(gate) = closed {
                    let command = self.truth.read(|catalog| transfer(catalog, &range, NAMES[to], Some(gate)));
                    self.propose(command);
                }
            }
            Action::Close { node, pick, tell } => {
                let Some(range) = self.pick(pick) else { return };
                let Some(gate) = self.members[node].close(&range) else { return };
                self.words.insert(range, gate.clone());
                if tell {
                    self.tell_leaders(node, phase, &Message::Closed { by: node, gate });
                }
            }
            Action::CloseAndRestart { pick } => {
                let Some(range) = self.pick(pick) else { return };
                let owner = self.owner(&range);
                if let Some(gate) = self.members[owner].close(&range) {
                    self.words.insert(range, gate);
                    self.members[owner].restart(self.fault);
                }
            }
            Action::Split { pick, at } => {
                let Some(range) = self.pick(pick) else { return };
                let fence = self::range(&self.truth, &range).fence();
                let (at, new_id) = (Key::new([b"g", b"m", b"t"][at]).unwrap(), RangeId(self.next_id));
                self.next_id += 1;
                self.propose(OwnershipCommand::Split { range, fence, at, new_id });
            }
            Action::Merge { pick } => {
                let ranges: Vec<_> = self.truth.read(|catalog| catalog.ranges(&books()).cloned().collect());
                let Some(pair) = ranges.windows(2).nth(pick % ranges.len()) else { return };
                let (survivor, fence) = (rk(pair[0].id.0), pair[0].fence());
                let (retired, retired_fence) = (pair[1].id, pair[1].fence());
                self.propose(OwnershipCommand::Merge { survivor, fence, retired, retired_fence });
            }
            Action::Restart(node) => self.members[node].restart(self.fault),
        }
    }

    fn elect(&mut self, node: usize) {
        (self.term, self.leader) = (self.term + 1, node);
        let member = &mut self.members[node];
        member.apply_all(&self.log);
        let mut policy = policy();
        if self.fault == Fault::GranterWithoutMargin {
            policy = cp_lease::Policy::new(policy.length(), Margin::new(Duration::ZERO)).unwrap();
        }
        let begun = match self.fault {
            Fault::NewLeaderDoesNotWait => at(member.clock.as_nanos() - 60),
            _ => member.clock,
        };
        let (index, catalog) = member.machine.read_at(|at, catalog| (at, catalog.clone()));
        let grants = Grants::begin(Term(self.term), index, catalog, policy, begun);
        member.book = Some(Book { grants, led_at: member.clock });
    }

    fn pick(&self, pick: usize) -> Option<RangeKey> {
        let ranges: Vec<_> = self.truth.read(|catalog| catalog.ranges(&books()).map(|range| range.id).collect());
        ranges.get(pick % ranges.len()).map(|id| rk(id.0))
    }

    fn owner(&self, range: &RangeKey) -> usize {
        let owner = self::range(&self.truth, range).owner;
        NAMES.iter().position(|name| id(name) == owner).unwrap()
    }

    fn propose(&mut self, command: OwnershipCommand) {
        let entry = entry(command);
        apply(&self.truth, &entry);
        self.log.push(entry);
    }

    /// No two members admit writes to one key.
    fn check(&mut self) -> Result<(), String> {
        let mut writers: Vec<(usize, Bounds, String)> = Vec::new();
        for (n, member) in self.members.iter().enumerate() {
            for (key, gate) in member.holder.gates() {
                let epoch = gate.standing().epoch;
                if gate.admit(epoch, member.clock).is_err() {
                    continue;
                }
                let bounds = range(&member.machine, key).bounds;
                let what = format!("{} admits {key} under {epoch}", NAMES[n]);
                if let Some((_, _, other)) = writers.iter().find(|(m, b, _)| *m != n && b.overlaps(&bounds)) {
                    return Err(format!("at {}: {other} while {what}", self.now));
                }
                writers.push((n, bounds, what));
                self.seen.insert((key.clone(), epoch, n));
                let leader = &self.members[self.leader];
                let settled = leader.book.as_ref().is_some_and(|book| leader.clock >= book.grants.settles_at());
                self.unsettled += u64::from(!settled);
            }
        }
        Ok(())
    }
}

impl Book {
    fn follow(&mut self, machine: &CatalogMachine) {
        let (at, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
        self.grants.follow(at, catalog, &machine.changes_from(self.grants.next(), usize::MAX)).unwrap();
    }
}

impl Member {
    fn apply_all(&mut self, log: &[ControlPlaneEntry]) {
        // The first two entries made the library.
        let from = self.machine.applied().0 as usize - 2;
        log[from..].iter().for_each(|entry| drop(apply(&self.machine, entry)));
        self.holder.follow(&self.machine.changes_from(self.holder.next(), usize::MAX)).unwrap();
    }

    fn close(&mut self, range: &RangeKey) -> Option<ClosedGate> {
        let gate = self.holder.close(range, LAST).ok()?;
        self.disk.insert(range.clone(), gate.clone());
        Some(gate)
    }

    fn restart(&mut self, fault: Fault) {
        let closed = if fault == Fault::ClosuresForgotten { Vec::new() } else { self.disk.values().cloned().collect() };
        let margin = if fault == Fault::GateWithoutMargin { Margin::new(Duration::ZERO) } else { policy().margin() };
        self.holder = self.machine.read_at(|at, catalog| Holder::new(self.life.clone(), margin, at, catalog, closed));
        self.process += 1;
        self.book = None;
        // Another process's clock has another origin.
        self.clock = at(500 + self.clock.as_nanos() % 97);
    }
}
