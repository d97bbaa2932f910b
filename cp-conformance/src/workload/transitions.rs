//! Steps in the lives of a few ranges: every transition that the catalog has. Forced are only
//! those of a data plane, where it shows what an owner that is not asked does.

use super::{Workload, create, member, name};
use crate::checks::Broken;
use crate::world::scenario;
use cp_catalog::{
    Bound, Bounds, Catalog, ClosedGate, CollectionName, Copies, CopyEdit, DataPosition, Evidence, Key, Mode, MovePhase,
    NewRange, OwnershipCommand, Placement, Range, RangeId, RangeKey, Transfer,
};
use cp_seam::MemberId;

/// The ranges that are made first, of one byte of keys each.
const FIRST: u64 = 3;
/// Above so many ranges none is cut any more.
const RANGES_MAX: usize = 12;
/// Where the user's data always is: the control plane's own rules are what is tried.
const POSITION: DataPosition = DataPosition { term: 1, lsn: 1 };

impl Workload {
    /// A transition of one of a few ranges, fenced by what `catalog` says of it, stale or
    /// not. What cannot be is proposed too now and then, and refused.
    pub(super) fn transition(&mut self, catalog: &Catalog) -> Result<OwnershipCommand, Broken> {
        let collection = name("ranges")?;
        if catalog.collection(&collection).is_none() {
            return create(collection);
        }
        let first = RangeKey::new(collection.clone(), RangeId(1 + self.rng.below(FIRST)));
        if !covered(catalog, &first)? {
            return self.made(first);
        }
        let ranges: Vec<&Range> = catalog.ranges(&collection).collect();
        if let Some((key, range)) = self.given_up(&collection, &ranges) {
            return self.owner_moves(key, range);
        }
        let Some(range) = self.rng.pick(&ranges).copied() else { return self.made(first) };
        let key = RangeKey::new(collection, range.id);
        if self.plane.is_some() && self.rng.per_mille(40) {
            let reason = format!("drill {} of {:?}", self.rng.bits(), self.client);
            return Ok(OwnershipCommand::Force { range: key, to: self.anybody(catalog)?, reason });
        }
        match self.rng.below(10) {
            0..3 => self.owner_moves(key, range),
            3..5 => self.copy_changes(catalog, key, range),
            5..7 => self.step_of_a_move(catalog, key, range),
            7 if ranges.len() < RANGES_MAX => self.cut(key, range),
            8 => joined(key, range, &ranges),
            _ => {
                let replication_factor = u32::try_from(self.rng.below(5)).unwrap_or_default();
                let placement = Placement { replication_factor, ..Placement::default() };
                Ok(OwnershipCommand::SetPlacement { range: key, fence: range.fence(), placement })
            }
        }
    }

    fn made(&mut self, key: RangeKey) -> Result<OwnershipCommand, Broken> {
        Ok(OwnershipCommand::CreateRange(NewRange {
            bounds: first_bounds(key.id)?,
            range: key,
            mode: Mode::Ordered,
            owner: member(self.rng.below(2))?,
            replicas: Copies::default(),
            archives: Copies::default(),
            placement: Placement::default(),
        }))
    }

    /// A range whose gate was closed, which nobody can write to until it has another owner.
    fn given_up<'a>(&mut self, of: &CollectionName, ranges: &[&'a Range]) -> Option<(RangeKey, &'a Range)> {
        let plane = self.plane.as_ref()?;
        let closed = ranges.iter().find_map(|range| {
            let key = RangeKey::new(of.clone(), range.id);
            let is_closed = plane.word(&key).is_some_and(|gate| gate.epoch == range.epoch);
            is_closed.then_some((key, *range))
        });
        closed.filter(|_| self.rng.per_mille(600))
    }

    fn owner_moves(&mut self, key: RangeKey, range: &Range) -> Result<OwnershipCommand, Broken> {
        let replicas: Vec<&MemberId> = range.replicas.iter().collect();
        let Some(to) = self.rng.pick(&replicas).copied().cloned() else {
            let target = member(u64::from(range.owner == member(0)?))?;
            return Ok(OwnershipCommand::AddReplica(CopyEdit { range: key, fence: range.fence(), member: target }));
        };
        let alive = self.rng.per_mille(400);
        let evidence = Some(self.evidence(&key, &to, range, alive));
        let transfer = Transfer { range: key, from: range.owner.clone(), fence: range.fence(), to, evidence };
        Ok(if alive { OwnershipCommand::Handoff(transfer) } else { OwnershipCommand::Promote(transfer) })
    }

    fn copy_changes(&mut self, catalog: &Catalog, range: RangeKey, of: &Range) -> Result<OwnershipCommand, Broken> {
        let edit = CopyEdit { range, fence: of.fence(), member: self.anybody(catalog)? };
        Ok(match (of.replicas.contains(&edit.member), of.archives.contains(&edit.member)) {
            (true, _) => OwnershipCommand::RemoveReplica(edit),
            (_, true) => OwnershipCommand::RemoveArchive(edit),
            _ if self.rng.per_mille(300) => OwnershipCommand::AddArchive(edit),
            _ => OwnershipCommand::AddReplica(edit),
        })
    }

    fn step_of_a_move(&mut self, catalog: &Catalog, key: RangeKey, of: &Range) -> Result<OwnershipCommand, Broken> {
        let (range, fence) = (key, of.fence());
        let Some(moving) = of.moving.as_ref() else {
            return Ok(OwnershipCommand::BeginMove { range, fence, target: self.anybody(catalog)? });
        };
        Ok(match self.rng.below(8) {
            0 => OwnershipCommand::AbortMove { range, fence },
            1 => OwnershipCommand::ResolveMove { range, fence, evidence: None },
            2 => {
                let evidence = Some(self.evidence(&range, &moving.target, of, false));
                OwnershipCommand::ResolveMove { range, fence, evidence }
            }
            _ => match moving.phase {
                MovePhase::Begun => OwnershipCommand::AdvanceMove { range, fence, phase: MovePhase::Copying },
                MovePhase::Copying => OwnershipCommand::AdvanceMove { range, fence, phase: MovePhase::CatchingUp },
                MovePhase::CatchingUp => {
                    let evidence = Some(self.evidence(&range, &moving.target, of, true));
                    OwnershipCommand::CompleteMove { range, fence, evidence }
                }
            },
        })
    }

    fn cut(&mut self, range: RangeKey, of: &Range) -> Result<OwnershipCommand, Broken> {
        let byte = u8::try_from(self.rng.below(256)).unwrap_or_default();
        let lower = match of.bounds.lower() {
            Bound::Key(key) => key.as_bytes(),
            Bound::Min | Bound::Max => &[],
        };
        let at = Key::new(&[lower, &[byte]].concat()).map_err(|bad| scenario(bad.to_string()))?;
        let new_id = RangeId(100 + self.rng.below(10_000));
        Ok(OwnershipCommand::Split { range, fence: of.fence(), at, new_id })
    }

    /// That `candidate` has everything; if the owner is alive, with the gate that it closed. In a
    /// data plane it has to be asked for that first, and the transition is refused until it has.
    fn evidence(&self, key: &RangeKey, candidate: &MemberId, range: &Range, alive: bool) -> Evidence {
        let epoch = range.epoch;
        let closed_gate = match &self.plane {
            _ if !alive => None,
            None => Some(ClosedGate { range: key.clone(), epoch, last: POSITION }),
            Some(plane) => plane.closed_gate(key, epoch, &range.owner),
        };
        Evidence { candidate: candidate.clone(), applied: POSITION, watermark: POSITION, closed_gate }
    }

    fn anybody(&mut self, catalog: &Catalog) -> Result<MemberId, Broken> {
        let members: Vec<&MemberId> = catalog.members().map(|member| &member.id).collect();
        self.rng.pick(&members).copied().cloned().map_or_else(|| member(0), Ok)
    }
}

/// A merge with the range behind it, if that is a neighbour; else one that is refused.
fn joined(survivor: RangeKey, range: &Range, ranges: &[&Range]) -> Result<OwnershipCommand, Broken> {
    let next = ranges.iter().find(|other| other.bounds.lower() == range.bounds.upper()).copied().unwrap_or(range);
    let (fence, retired_fence) = (range.fence(), next.fence());
    Ok(OwnershipCommand::Merge { survivor, fence, retired: next.id, retired_fence })
}

fn first_bounds(id: RangeId) -> Result<Bounds, Broken> {
    let bad = |what: String| scenario(what);
    let at = |number: u64| {
        let byte = u8::try_from(number).map_err(|_| bad(format!("range {number} is none of the first")))?;
        Key::new(&[byte]).map(Bound::Key).map_err(|error| bad(error.to_string()))
    };
    Bounds::new(at(id.0)?, at(id.0 + 1)?).map_err(|error| bad(error.to_string()))
}

/// Whether the keys that `first` is made for are some range's already.
fn covered(catalog: &Catalog, first: &RangeKey) -> Result<bool, Broken> {
    let collection: &CollectionName = &first.collection;
    let byte = u8::try_from(first.id.0).map_err(|_| scenario("it is none of the first"))?;
    Ok(catalog.locate(collection, &[byte]).is_some())
}
