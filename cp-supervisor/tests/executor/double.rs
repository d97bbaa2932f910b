//! An embedder's members in memory, under a state that is the real one.
//!
//! After every call users write to every range whose gate is open, so that replicas always
//! lag; what must never be is noted in `wrong`. A fuse kills the run before or after the
//! effect of any call.

mod planes;

use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, MemberId, Term};
use cp_supervisor::executor::{CopyOrder, Fault, Goal, Report, Settings, run};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A call of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    State,
    Range,
    Submit,
    Members,
    Ranges,
    Copy,
    Close,
    Orphans,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

#[derive(Debug, Default)]
struct Site {
    /// The state as far as the member has followed it.
    view: BTreeMap<RangeKey, RangeStanding>,
    copies: BTreeMap<RangeKey, DataPosition>,
    /// Durable.
    gates: BTreeMap<RangeKey, ClosedGate>,
    dead: bool,
}

type Meddler = fn(&mut Inner);

#[derive(Debug)]
pub(crate) struct Inner {
    machine: CatalogMachine,
    sites: BTreeMap<MemberId, Site>,
    watermarks: BTreeMap<RangeKey, DataPosition>,
    /// How many whole copies each range is never to fall below.
    wanted: BTreeMap<RangeKey, usize>,
    /// What the run read of a range last.
    read: BTreeMap<RangeKey, Fence>,
    ops: Vec<Op>,
    fuse: Option<(usize, Side)>,
    meddler: Option<(usize, Meddler)>,
    /// The calls that fail, before their effect or after it.
    pub(crate) failing: Option<(Op, Side)>,
    /// Copies stay where they are, and are said to be so.
    pub(crate) stuck: bool,
    pub(crate) wrong: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct World {
    inner: Mutex<Inner>,
    killed: Notify,
}

impl World {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let sites = catalog.members().map(|member| (member.id.clone(), Site::default())).collect();
        let (watermarks, wanted, read) = Default::default();
        let machine = CatalogMachine::new(catalog, ControlPlaneLogIndex(0));
        let (ops, fuse, meddler, failing, stuck, wrong) = Default::default();
        let inner = Inner { machine, sites, watermarks, wanted, read, ops, fuse, meddler, failing, stuck, wrong };
        Self { inner: Mutex::new(inner), killed: Notify::new() }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn done(&self, command: impl Into<Command>) {
        let verdict = self.inner().submit(command.into());
        assert!(verdict.is_done(), "{verdict}");
    }

    pub(crate) fn catalog(&self) -> Catalog {
        self.inner().machine.read(Catalog::clone)
    }

    /// Every member has its copies, and users write.
    pub(crate) fn begin(&self) {
        let mut inner = self.inner();
        for (key, range) in inner.all() {
            let built = |member: &&MemberId| range.moving.as_ref().is_none_or(|moving| moving.target != **member);
            let hot: Vec<_> = [&range.owner].into_iter().chain(&range.replicas).filter(built).cloned().collect();
            for member in hot.iter().chain(&range.archives) {
                inner.sites.get_mut(member).unwrap().copies.insert(key.clone(), DataPosition::default());
            }
            let factor = usize::try_from(range.placement.replication_factor).unwrap();
            inner.wanted.insert(key, factor.min(hot.len()));
        }
        inner.follow(true);
        inner.tick();
    }

    pub(crate) fn kill_at(&self, at: usize, side: Side) {
        let mut inner = self.inner();
        inner.ops.clear();
        inner.fuse = Some((at, side));
    }

    pub(crate) fn meddle_at(&self, at: usize, meddler: Meddler) {
        self.inner().meddler = Some((at, meddler));
    }

    /// The calls made, in order; forgets them, the fuse and the meddler.
    pub(crate) fn take_ops(&self) -> Vec<Op> {
        let mut inner = self.inner();
        (inner.fuse, inner.meddler) = (None, None);
        std::mem::take(&mut inner.ops)
    }

    /// Runs to the end; `None` if it was killed.
    pub(crate) async fn run(&self, goal: &Goal, settings: Settings) -> Option<Report> {
        tokio::select! {
            report = run(self, self, goal, settings) => Some(report.unwrap()),
            () = self.killed.notified() => None,
        }
    }

    pub(crate) fn kill_member(&self, member: &MemberId) {
        self.inner().sites.get_mut(member).unwrap().dead = true;
    }

    /// Nothing is made to fail any more; nothing was wrong until now.
    pub(crate) fn mend(&self) {
        let mut inner = self.inner();
        assert_eq!(inner.wrong, Vec::<String>::new());
        (inner.failing, inner.stuck) = (None, false);
    }

    /// What is wrong at the end of a run that has reached its goal.
    pub(crate) fn verify(&self) {
        let mut inner = self.inner();
        inner.replicate();
        inner.follow(true);
        inner.tick();
        assert_eq!(inner.wrong, Vec::<String>::new());
        for (key, range) in inner.all() {
            assert_eq!(range.moving, None, "{key}");
            assert_eq!(inner.writers(&key), std::slice::from_ref(&range.owner), "{key} can be written, at its owner");
            let role = |member: &MemberId| range.role(member).is_some();
            for (member, site) in inner.sites.iter().filter(|(_, site)| !site.dead) {
                assert_eq!(
                    site.copies.contains_key(&key),
                    role(member),
                    "{member} has a copy of {key} and a role, or none"
                );
            }
        }
        assert_eq!(inner.machine.read(Catalog::violations), []);
    }

    async fn op<T>(&self, op: Op, effect: impl FnOnce(&mut Inner) -> Result<T, Fault>) -> Result<T, Fault> {
        // Others go on first, so that the courses of ranges interleave.
        tokio::task::yield_now().await;
        let (at, fuse, failing) = {
            let mut inner = self.inner();
            inner.ops.push(op);
            (inner.ops.len() - 1, inner.fuse, inner.failing.filter(|(failing, _)| *failing == op))
        };
        if fuse == Some((at, Side::Before)) {
            self.die().await;
        }
        if failing == Some((op, Side::Before)) {
            return Err(format!("{op:?} was made to fail").into());
        }
        let result = {
            let mut inner = self.inner();
            if let Some((_, meddler)) = inner.meddler.filter(|(when, _)| *when == at) {
                meddler(&mut inner);
            }
            let result = effect(&mut inner);
            inner.tick();
            result
        };
        if fuse == Some((at, Side::After)) {
            self.die().await;
        }
        if failing == Some((op, Side::After)) {
            return Err(format!("{op:?} was made to fail after its effect").into());
        }
        result
    }

    async fn die(&self) {
        self.killed.notify_one();
        std::future::pending::<()>().await;
    }
}

impl Inner {
    pub(crate) fn all(&self) -> BTreeMap<RangeKey, Range> {
        let of = |catalog: &Catalog| {
            let ranges = catalog.collections().flat_map(|spec| {
                let name = spec.name.clone();
                catalog.ranges(&spec.name).map(move |range| (RangeKey::new(name.clone(), range.id), range.clone()))
            });
            ranges.collect()
        };
        self.machine.read(of)
    }

    fn range(&self, key: &RangeKey) -> Option<Range> {
        self.machine.read(|catalog| catalog.range(key).cloned())
    }

    pub(crate) fn submit(&mut self, command: Command) -> Verdict {
        let entry = Request::new(None, command).to_entry().unwrap();
        let index = self.machine.applied().next();
        self.machine.apply(LogPosition::new(Term(1), index), &entry).unwrap();
        self.machine.verdict(index).unwrap()
    }

    /// Every range is edited, as by somebody else.
    pub(crate) fn edit_everything(&mut self) {
        for (range, now) in self.all() {
            let placement = Placement::clone(&now.placement);
            let command = OwnershipCommand::SetPlacement { range, fence: now.fence(), placement };
            assert!(self.submit(command.into()).is_done());
        }
    }

    /// Somebody else hands on every range that has a hot copy elsewhere, as it is to be done.
    pub(crate) fn hand_on_everything(&mut self) {
        for (key, now) in self.all() {
            let able = |member: &&MemberId| {
                let eligible = |catalog: &Catalog| catalog.member(member).is_some_and(|m| m.eligibility().is_ok());
                self.sites[*member].copies.contains_key(&key) && self.machine.read(eligible)
            };
            let Some(to) = now.replicas.iter().find(able).cloned() else { continue };
            let Ok(gate) = self.close(&key, &now.owner, now.epoch) else { continue };
            self.sites.get_mut(&to).unwrap().copies.insert(key.clone(), gate.last);
            let (from, fence, closed_gate) = (now.owner.clone(), now.fence(), Some(gate));
            let evidence = Evidence { candidate: to.clone(), applied: gate.last, watermark: gate.last, closed_gate };
            let transfer = Transfer { range: key, from, fence, to, evidence: Some(evidence) };
            assert!(self.submit(OwnershipCommand::Handoff(transfer).into()).is_done());
        }
    }

    /// Members hear of the state: some of them, or all. A new owner always does.
    fn follow(&mut self, all: bool) {
        let ranges = self.all();
        let turn = self.ops.len();
        for (number, (member, site)) in self.sites.iter_mut().enumerate() {
            for (key, range) in &ranges {
                if all || (turn + number).is_multiple_of(3) || range.owner == *member {
                    site.view.insert(key.clone(), range.standing());
                }
            }
        }
    }

    /// Who admits writes to a range.
    fn writers(&self, key: &RangeKey) -> Vec<MemberId> {
        let open = |(member, site): &(&MemberId, &Site)| {
            let Some(known) = site.view.get(key).filter(|known| known.owner == **member) else { return false };
            !site.dead && site.gates.get(key).is_none_or(|gate| gate.epoch < known.epoch)
        };
        self.sites.iter().filter(open).map(|(member, _)| member.clone()).collect()
    }

    /// Members follow, users write, replicas lag; then what must never be is looked for.
    fn tick(&mut self) {
        self.follow(false);
        for (key, range) in self.all() {
            let writers = self.writers(&key);
            if writers.len() > 1 {
                self.wrong.push(format!("{writers:?} have open gates for {key}"));
            }
            for writer in &writers {
                let epoch = self.sites[writer].view[&key].epoch.0;
                let watermark = self.watermarks.entry(key.clone()).or_default();
                let copy = self.sites.get_mut(writer).unwrap().copies.entry(key.clone()).or_default();
                if !copy.covers(*watermark) {
                    self.wrong.push(format!("{writer} writes {key} at {copy}, without all up to {watermark}"));
                }
                *copy = DataPosition { term: epoch, lsn: copy.lsn + 1 };
                *watermark = *copy;
            }
            let last = self.sites[&range.owner].copies.get(&key).copied();
            let hot = [&range.owner].into_iter().chain(&range.replicas);
            let mut whole = 0;
            for member in hot {
                let copy = self.sites.get_mut(member).unwrap().copies.get_mut(&key);
                whole += usize::from(copy.is_some());
                let follows = self.ops.len().is_multiple_of(2) && !self.stuck;
                if let (Some(copy), Some(last), true) = (copy, last, follows) {
                    *copy = last.max(*copy);
                }
            }
            let wanted = self.wanted.get(&key).copied().unwrap_or_default();
            if whole < wanted {
                self.wrong.push(format!("{key} has {whole} whole copies, and had {wanted}"));
            }
        }
    }

    /// Who was enlisted makes its copy by itself, in its time.
    fn replicate(&mut self) {
        for (key, range) in self.all() {
            let last = self.sites[&range.owner].copies[&key];
            for member in range.replicas.iter().chain(&range.archives) {
                self.sites.get_mut(member).unwrap().copies.entry(key.clone()).or_insert(last);
            }
        }
    }

    fn close(&mut self, key: &RangeKey, owner: &MemberId, epoch: Epoch) -> Result<ClosedGate, Fault> {
        let now = self.range(key).ok_or("no such range")?;
        let site = self.sites.get_mut(owner).ok_or("no such member")?;
        if site.dead {
            return Err(format!("{owner} does not answer").into());
        }
        if now.owner != *owner || now.epoch != epoch {
            return Err(format!("{owner} is not the owner under {epoch}").into());
        }
        if let Some(gate) = site.gates.get(key).filter(|gate| gate.epoch == epoch) {
            return Ok(*gate);
        }
        let last = site.copies.get(key).copied().ok_or("it has no copy")?;
        let gate = ClosedGate { epoch, last };
        site.gates.insert(key.clone(), gate);
        Ok(gate)
    }

    fn copy(&mut self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        let now = self.range(&order.range).ok_or("no such range")?;
        if [&now.owner, &order.member].iter().any(|member| self.sites[*member].dead) {
            return Err(format!("{} or {} does not answer", now.owner, order.member).into());
        }
        let source = self.sites[&now.owner].copies.get(&order.range).copied().ok_or("the owner has no copy")?;
        let copy = self.sites.get_mut(&order.member).unwrap().copies.entry(order.range.clone()).or_default();
        if !self.stuck {
            *copy = source.max(*copy);
        }
        Ok(*copy)
    }
}

impl World {
    /// Every replica has all that was acknowledged.
    pub(crate) fn settle(&self) {
        let mut inner = self.inner();
        for (key, range) in inner.all() {
            let last = inner.watermarks[&key];
            for member in &range.replicas {
                inner.sites.get_mut(member).unwrap().copies.insert(key.clone(), last);
            }
        }
    }

    /// `member` lacks the last write of a range.
    pub(crate) fn lag(&self, member: &MemberId, key: &RangeKey) {
        let mut inner = self.inner();
        inner.stuck = true;
        inner.sites.get_mut(member).unwrap().copies.get_mut(key).unwrap().lsn -= 1;
    }
}
