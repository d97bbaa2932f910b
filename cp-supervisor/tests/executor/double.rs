//! An embedder's members in memory, under a state that is the real one.
//!
//! After every call users write to every range whose gate is open, so that replicas always
//! lag; what must never be is noted in `wrong`. A fuse kills the run before or after the
//! effect of any call.

mod members;
mod planes;

use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, MemberId, Term};
use cp_supervisor::executor::{CopyOrder, Fault, Goal, Report, Settings, run};
use members::Known;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The state as far as the member has followed it or was told; durable.
    view: BTreeMap<RangeKey, Known>,
    copies: BTreeMap<RangeKey, DataPosition>,
    /// Durable.
    gates: BTreeMap<RangeKey, ClosedGate>,
    dead: bool,
    /// It hears nothing of the state, and answers.
    deaf: bool,
    /// Nobody takes anything from it as an owner any more.
    fenced: bool,
}

type Meddler = fn(&mut Inner);

/// What was split: which range, what came of it, and its version then.
type Cut = (RangeKey, RangeKey, Version);

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
    splits: Vec<Cut>,
    /// What copies were ordered.
    pub(crate) orders: Vec<CopyOrder>,
    /// Whom no copy reaches.
    pub(crate) cut_off: BTreeSet<MemberId>,
    /// One call that fails.
    pub(crate) fails_at: Option<(usize, Side)>,
    /// The calls that fail, before their effect or after it.
    pub(crate) failing: Option<(Op, Side)>,
    /// Replicas copy only when it is ordered.
    idle: bool,
    /// Copies stay where they are, and are said to be so.
    pub(crate) stuck: bool,
    /// What is said of a gate instead of how it was closed.
    pub(crate) forged: Option<fn(ClosedGate) -> ClosedGate>,
    /// The ranges that others changed since the state was last read.
    unplanned: BTreeSet<RangeKey>,
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
        let (ops, fuse, meddler, failing, stuck, forged, unplanned, wrong) = Default::default();
        let (splits, orders, cut_off, fails_at, idle) = Default::default();
        let inner = Inner {
            machine,
            sites,
            watermarks,
            wanted,
            read,
            ops,
            fuse,
            meddler,
            splits,
            orders,
            cut_off,
            fails_at,
            idle,
            failing,
            stuck,
            forged,
            unplanned,
            wrong,
        };
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
            let at = inner.ops.len() - 1;
            let once = inner.fails_at.filter(|(when, _)| *when == at).map(|(_, side)| (op, side));
            (at, inner.fuse, once.or(inner.failing.filter(|(failing, _)| *failing == op)))
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
                let before: BTreeMap<_, _> = inner.all().into_iter().map(|(key, range)| (key, range.fence())).collect();
                meddler(&mut inner);
                let now = inner.all().into_iter();
                let changed = now.filter(|(key, range)| before.get(key) != Some(&range.fence()));
                inner.unplanned = changed.map(|(key, _)| key).collect();
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
        let verdict = self.machine.verdict(index).unwrap();
        if let Verdict::Done(Effect::Split { lower, lower_now, upper, .. }) = &verdict {
            self.splits.push((lower.clone(), upper.clone(), lower_now.version));
            let last = self.watermarks.get(lower).copied().unwrap_or_default();
            self.watermarks.insert(upper.clone(), last);
        }
        verdict
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
            let Ok(gate) = self.close(&key, &now.standing()) else { continue };
            self.sites.get_mut(&to).unwrap().copies.insert(key.clone(), gate.last);
            let (from, fence, last) = (now.owner.clone(), now.fence(), gate.last);
            let evidence = Evidence { candidate: to.clone(), applied: last, watermark: last, closed_gate: Some(gate) };
            let transfer = Transfer { range: key, from, fence, to, evidence: Some(evidence) };
            assert!(self.submit(OwnershipCommand::Handoff(transfer).into()).is_done());
        }
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

    /// `member` keeps a copy of `key` from a role that it has no more, and hears of nothing.
    pub(crate) fn leave_over(&self, member: &MemberId, key: &RangeKey) {
        let mut inner = self.inner();
        let last = inner.watermarks[key];
        let site = inner.sites.get_mut(member).unwrap();
        site.copies.insert(key.clone(), last);
        site.deaf = true;
    }

    /// `member` is so many writes behind with a range, and from here on copies only by order.
    pub(crate) fn hold_back(&self, member: &MemberId, key: &RangeKey, lsn: u64) {
        let mut inner = self.inner();
        inner.idle = true;
        let last = inner.watermarks[key];
        let copies = &mut inner.sites.get_mut(member).unwrap().copies;
        copies.insert(key.clone(), DataPosition { lsn: last.lsn.saturating_sub(lsn), ..last });
    }

    pub(crate) fn has_copy(&self, member: &MemberId, key: &RangeKey) -> bool {
        self.inner().sites[member].copies.contains_key(key)
    }

    /// The watermark that is seen is one write behind.
    pub(crate) fn see_less(&self, key: &RangeKey) {
        self.inner().watermarks.get_mut(key).unwrap().lsn -= 1;
    }
}
