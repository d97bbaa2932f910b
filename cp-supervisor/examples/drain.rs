//! A toy store whose member is drained while users write: what an embedder's `DataPlane`
//! owes. `cargo run -p cp-supervisor --example drain` tells the story.
//!
//! The control plane is a catalog in this process; in earnest it is a `Client`, or `Local`
//! at the leader. The members are in one process too, behind one lock; in earnest each
//! method of the data plane is a call to one of them.

use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, RangeObserved};
use cp_catalog::*;
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, ControlPlaneStateMachine, Generation, LogPosition, MemberId, MemberKind, Term,
};
use cp_supervisor::executor::{ControlPlane, CopyOrder, DataPlane, Fault, Goal, Settings, run};
use cp_supervisor::supervisor::Reading;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a member keeps of a range, all of it durable.
#[derive(Debug, Default, Clone)]
struct Copy {
    books: BTreeMap<String, String>,
    last: DataPosition,
    gate: Option<ClosedGate>,
    /// Where its member was told that the range stands, at the latest.
    known: Fence,
}

#[derive(Debug)]
struct Store {
    catalog: CatalogMachine,
    copies: Mutex<BTreeMap<(MemberId, RangeKey), Copy>>,
    unreachable: Mutex<Option<MemberId>>,
}

impl Store {
    fn copies(&self) -> MutexGuard<'_, BTreeMap<(MemberId, RangeKey), Copy>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_off(&self, member: Option<MemberId>) {
        *self.unreachable.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }

    fn reach(&self, member: &MemberId) -> Result<(), Fault> {
        let unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        if unreachable.as_ref() == Some(member) { Err(format!("{member} does not answer").into()) } else { Ok(()) }
    }

    fn commit(&self, command: impl Into<Command>) -> Result<Verdict, Fault> {
        let entry = Request::new(None, command).to_entry()?;
        let index = self.catalog.applied().next();
        self.catalog.apply(LogPosition::new(Term(1), index), &entry).map_err(|halt| halt.reason)?;
        Ok(self.catalog.verdict(index).ok_or("no verdict")?)
    }

    fn now(&self, key: &RangeKey) -> Result<cp_catalog::Range, Fault> {
        Ok(self.catalog.read(|catalog| catalog.range(key).cloned()).ok_or("no such range")?)
    }

    /// The write path: the owner's gate alone says yes or no, and nothing waits for the
    /// control plane (CP-S4). `cp_lease` has such gates, with leases.
    fn put(&self, title: &str, text: &str) -> Result<(), Fault> {
        let collection = CollectionName::new("books")?;
        let range = self.catalog.read(|catalog| catalog.locate(&collection, title.as_bytes()).cloned());
        let range = range.ok_or("no range covers the title")?;
        self.reach(&range.owner)?;
        let mut copies = self.copies();
        let copy = copies.entry((range.owner.clone(), RangeKey::new(collection, range.id))).or_default();
        if copy.gate.as_ref().is_some_and(|gate| gate.epoch == range.epoch) {
            return Err(format!("{} has closed its gate", range.owner).into());
        }
        copy.books.insert(title.to_owned(), text.to_owned());
        copy.last = DataPosition { term: range.epoch.0, lsn: copy.last.lsn + 1 };
        Ok(())
    }
}

#[async_trait]
impl ControlPlane for Store {
    async fn state(&self) -> Result<Reading, Fault> {
        let (applied, catalog) = self.catalog.read_at(|applied, catalog| (applied, catalog.clone()));
        Ok(Reading { catalog, applied, stale: false })
    }

    async fn range(&self, key: &RangeKey) -> Result<Option<cp_catalog::Range>, Fault> {
        Ok(self.catalog.read(|catalog| catalog.range(key).cloned()))
    }

    async fn submit(&self, command: Command) -> Result<Verdict, Fault> {
        self.commit(command)
    }
}

#[async_trait]
impl DataPlane for Store {
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn ranges(
        &self,
        ranges: &[RangeKey],
        lost: &BTreeSet<MemberId>,
    ) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault> {
        let copies = self.copies();
        let mut all = BTreeMap::new();
        for key in ranges {
            let now = self.now(key)?;
            let owned = copies.get(&(now.owner.clone(), key.clone()));
            let here = copies.iter().filter(|((member, of), _)| of == key && now.role(member).is_some());
            let seen = RangeObserved {
                epoch: Some(now.epoch),
                // Writes are acknowledged once the owner has them; nobody else can say up to where.
                watermark: owned.filter(|_| !lost.contains(&now.owner)).map(|copy| copy.last),
                closed_gate: owned.and_then(|copy| copy.gate.clone()),
                applied: here.map(|((member, _), copy)| (member.clone(), copy.last)).collect(),
                ..RangeObserved::default()
            };
            all.insert(key.clone(), seen);
        }
        Ok(all)
    }

    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault> {
        let source = self.now(&order.range)?.owner;
        self.reach(&source)?;
        self.reach(&order.member)?;
        let mut copies = self.copies();
        let whole = copies.get(&(source.clone(), order.range.clone())).cloned().unwrap_or_default();
        let last = whole.last;
        if order.member == source {
            return Ok(last);
        }
        let copy = copies.entry((order.member.clone(), order.range.clone())).or_default();
        // What is copied is data; a gate is its owner's own, and so is what its member knows.
        let known = copy.known.max(fence(&order.standing));
        *copy = Copy { gate: copy.gate.take(), known, ..whole };
        Ok(last)
    }

    async fn close(&self, range: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault> {
        let (owner, epoch) = (&standing.owner, standing.epoch);
        self.reach(owner)?;
        let now = self.now(range)?;
        if (&now.owner, now.epoch) != (owner, epoch) {
            return Err(format!("{owner} does not own range {range} under epoch {epoch}").into());
        }
        let mut copies = self.copies();
        let copy = copies.entry((owner.clone(), range.clone())).or_default();
        let before = copy.gate.take().filter(|gate| gate.epoch == epoch);
        let closed = before.unwrap_or_else(|| ClosedGate { range: range.clone(), epoch, last: copy.last });
        copy.gate = Some(closed.clone());
        copy.known = copy.known.max(fence(standing));
        Ok(closed)
    }

    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault> {
        let no_role =
            |(member, key): &&(MemberId, RangeKey)| self.now(key).is_ok_and(|range| range.role(member).is_none());
        Ok(self.copies().keys().filter(no_role).map(|(member, key)| (key.clone(), member.clone())).collect())
    }

    async fn delete(&self, range: &RangeKey, member: &MemberId, standing: &RangeStanding) -> Result<(), Fault> {
        let mut copies = self.copies();
        let at = (member.clone(), range.clone());
        if copies.get(&at).is_some_and(|copy| copy.known > fence(standing)) {
            return Err(format!("{member} knows that range {range} has gone on").into());
        }
        copies.remove(&at);
        Ok(())
    }
}

/// What is higher is later. (No range is split here, so that nothing is to be divided.)
fn fence(standing: &RangeStanding) -> Fence {
    Fence { epoch: standing.epoch, version: standing.version }
}

/// Data members a, b and c. a owns both ranges; b follows the first.
fn open() -> Result<Store, Fault> {
    let founder = |name: &str| -> Result<FoundingMember, Fault> {
        Ok(FoundingMember {
            id: MemberId::new(name)?,
            kind: MemberKind::Data,
            addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
            locality: Locality { domain: None, weight: 1 },
            features: Features::default(),
        })
    };
    let founding = ["a", "b", "c"].map(founder).into_iter().collect::<Result<Vec<_>, _>>()?;
    let genesis = Catalog::genesis(ClusterId([1; 16]), Generation::default(), founding)?;
    let catalog = CatalogMachine::new(genesis, ControlPlaneLogIndex(0));
    let store = Store { catalog, copies: Mutex::default(), unreachable: Mutex::default() };
    let (collection, mode) = (CollectionName::new("books")?, Mode::Ordered);
    let group = GroupName::new("shelf")?;
    store.commit(OwnershipCommand::CreateCollection { collection: collection.clone(), group, mode })?.into_result()?;
    let middle = Bound::at(b"m")?;
    let halves = [(Bound::Min, middle.clone(), vec![MemberId::new("b")?]), (middle, Bound::Max, Vec::new())];
    for (number, (lower, upper, replicas)) in (1..).zip(halves) {
        let placement = Placement { replication_factor: u32::try_from(replicas.len())? + 1, ..Placement::default() };
        store
            .commit(OwnershipCommand::CreateRange(NewRange {
                range: RangeKey::new(collection.clone(), RangeId(number)),
                mode,
                bounds: Bounds::new(lower, upper)?,
                owner: MemberId::new("a")?,
                replicas: replicas.into_iter().collect(),
                archives: Copies::default(),
                placement,
            }))?
            .into_result()?;
    }
    Ok(store)
}

/// The story.
pub(crate) async fn tell() -> Result<(), Fault> {
    let store = open()?;
    let title = |n: u32| format!("{}{n}", if n.is_multiple_of(2) { "a" } else { "z" });
    (0..1000).try_for_each(|n| store.put(&title(n), "by a"))?;

    let goal = Goal::Drain(MemberId::new("a")?);
    store.cut_off(Some(MemberId::new("b")?));
    let report = run(&store, &store, &goal, Settings::default()).await?;
    println!("while b is cut off:\n{report}");
    assert!(!report.finished && !report.blocked.is_empty());
    (0..1000).try_for_each(|n| store.put(&title(n), "by a, again"))?;

    store.cut_off(None);
    let report = run(&store, &store, &goal, Settings::default()).await?;
    println!("once it is back:\n{report}");
    assert!(report.finished);
    (0..1000).try_for_each(|n| store.put(&title(n), "by another"))?;

    let gone = MemberId::new("a")?;
    assert!(store.copies().keys().all(|(member, _)| *member != gone), "a keeps nothing");
    let (life, reachable) = store.catalog.read(|catalog| {
        (catalog.member(&gone).map(Member::life), catalog.members().map(|member| member.incarnation).collect())
    });
    let remove = MembershipCommand::Remove { member: life.ok_or("a is gone")?, reachable };
    println!("removed: {}", store.commit(remove)?.into_result()?);
    Ok(())
}

/// A copy to the owner itself does not open what was closed, nor does one to an earlier owner.
#[cfg(test)]
#[tokio::test]
async fn a_copy_opens_no_gate() -> Result<(), Fault> {
    let store = open()?;
    store.put("a", "by a")?;
    let (key, member) = (RangeKey::new(CollectionName::new("books")?, RangeId(1)), MemberId::new("a")?);
    let gate = store.close(&key, &store.now(&key)?.standing()).await?;
    let order = |to: &MemberId| -> Result<CopyOrder, Fault> {
        let (range, member, standing) = (key.clone(), to.clone(), store.now(&key)?.standing());
        Ok(CopyOrder { range, standing, member, role: Role::Replica, until: None })
    };
    store.copy(&order(&member)?).await?;
    assert!(store.put("a", "by a, which must not").is_err());
    let heir = MemberId::new("b")?;
    let applied = store.copy(&order(&heir)?).await?;
    let evidence =
        Some(Evidence { candidate: heir.clone(), applied, watermark: applied, closed_gate: Some(gate.clone()) });
    let (from, fence) = (member.clone(), store.now(&key)?.fence());
    let transfer = Transfer { range: key.clone(), from, fence, to: heir, evidence };
    store.commit(OwnershipCommand::Handoff(transfer))?.into_result()?;
    store.copy(&order(&member)?).await?;
    assert_eq!(store.copies().get(&(member, key)).and_then(|copy| copy.gate.clone()), Some(gate));
    Ok(())
}

#[allow(dead_code, reason = "a test tells the story itself")]
fn main() -> Result<(), Fault> {
    tokio::runtime::Builder::new_current_thread().build()?.block_on(tell())
}
