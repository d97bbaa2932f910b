//! Decisions about collections, authorities and ranges, a file for each family.
//!
//! Each looks at an unchanged state and answers with a refusal, or with an
//! effect and the edits that bring it about. Forced transitions are a
//! family of their own.

mod authority;
mod create;
mod cut;
mod force;
mod gate;
mod movement;
mod replica;

pub(crate) use gate::taken_over;
pub(crate) use movement::{called_off, room};

use crate::access::Origin;
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::collection::Collection;
use crate::command::OwnershipCommand;
use crate::edit::Edit;
use crate::id::{Epoch, Fence, RangeKey};
use crate::member::Member;
use crate::range::Range;
use crate::refusal::{HolderRefusal, MemberRefusal, Merged, Refusal, RequestRefusal, StandingRange, StandingRefusal};
use crate::verdict::Effect;
use cp_seam::MemberId;
#[cfg(planted_bugs)]
use cp_seam::planted::{self, Bug};

impl Catalog {
    pub(crate) fn decide_ownership(&self, origin: Option<&Origin>, command: &OwnershipCommand) -> Decision {
        use OwnershipCommand as Command;
        match command {
            Command::CreateCollection { collection, group, mode } => self.create_collection(collection, group, *mode),
            Command::AssignAuthority { group, holder } => self.assign_authority(group, holder),
            Command::ReassignAuthority { group, fence, holder } => self.reassign_authority(group, *fence, holder),
            Command::CreateRange(new) => self.create_range(new),
            Command::Handoff(transfer) => self.transfer(transfer, gate::Source::Alive),
            Command::Promote(transfer) => self.transfer(transfer, gate::Source::Lost),
            Command::BeginMove { range, fence, target } => self.begin_move(range, *fence, target),
            Command::AdvanceMove { range, fence, phase } => self.advance_move(range, *fence, *phase),
            Command::CompleteMove { range, fence, evidence } => self.complete_move(range, *fence, evidence.as_ref()),
            Command::ResolveMove { range, fence, evidence } => self.resolve_move(range, *fence, evidence.as_ref()),
            Command::AbortMove { range, fence } => self.abort_move(range, *fence),
            Command::Split { range, fence, at, new_id } => self.split(range, *fence, at, *new_id),
            Command::Merge { survivor, fence, retired, retired_fence } => {
                self.merge(survivor, *fence, *retired, *retired_fence)
            }
            Command::AddReplica(edit) => self.add_replica(edit),
            Command::RemoveReplica(edit) => self.remove_replica(edit),
            Command::AddArchive(edit) => self.add_archive(edit),
            Command::RemoveArchive(edit) => self.remove_archive(edit),
            Command::SetPlacement { range, fence, placement } => self.set_placement(range, *fence, placement),
            Command::Force { range, to, reason } => self.force(origin, range, to, reason),
            Command::RestoreArchive(restore) => self.restore_archive(origin, restore),
        }
    }

    fn found(&self, key: &RangeKey) -> Result<(&Collection, &Range), Refusal> {
        let collection = self.collections.get(&key.collection);
        let range = collection.and_then(|collection| Some((&**collection, &**collection.get(key.id)?)));
        range.ok_or_else(|| {
            let retired = collection.filter(|collection| collection.is_retired(key.id));
            let merged = retired.map(|collection| Merged { into: collection.merged_into(key.id).map(|r| at(key, r)) });
            Refusal::Standing(StandingRefusal::UnknownRange { range: key.clone(), merged })
        })
    }

    /// The range, if the writer knows where it stands (CP-S5).
    fn fenced(&self, key: &RangeKey, fence: Fence) -> Result<(&Collection, &Range), Refusal> {
        let (collection, range) = self.found(key)?;
        check_fence(key, range, fence)?;
        Ok((collection, range))
    }

    /// The member, if it may own or hold a range.
    fn eligible(&self, id: &MemberId) -> Result<&Member, Refusal> {
        let member =
            self.member(id).ok_or_else(|| Refusal::Member(MemberRefusal::NotAMember { member: id.clone() }))?;
        member.eligibility().map_err(|why| Refusal::Holder(HolderRefusal::Ineligible { member: id.clone(), why }))?;
        Ok(member)
    }

    /// The epoch after `epoch`, in this generation.
    fn epoch_after(&self, epoch: Epoch) -> Result<Epoch, Refusal> {
        #[cfg(planted_bugs)]
        if planted::active(Bug::EpochReused) {
            return Ok(epoch);
        }
        #[cfg(planted_bugs)]
        if planted::active(Bug::EpochFalls) && self.restored {
            return Ok(Epoch::first(self.meta.generation.number));
        }
        epoch.next(self.meta.generation.number).ok_or(Refusal::Request(RequestRefusal::Exhausted))
    }
}

fn check_fence(key: &RangeKey, range: &Range, expected: Fence) -> Result<(), Refusal> {
    #[cfg(planted_bugs)]
    if planted::active(Bug::FenceIgnored) {
        return Ok(());
    }
    let stands = || (key.clone(), range.standing());
    if expected.epoch != range.epoch {
        let (range, current) = stands();
        Err(Refusal::Standing(StandingRefusal::StaleEpoch { range, expected, current }))
    } else if expected.version != range.version {
        let (range, current) = stands();
        Err(Refusal::Standing(StandingRefusal::StaleVersion { range, expected, current }))
    } else {
        Ok(())
    }
}

/// Where `range`, of the same collection as `key`, stands.
fn at(key: &RangeKey, range: &Range) -> StandingRange {
    StandingRange { range: RangeKey::new(key.collection.clone(), range.id), current: range.standing() }
}

/// A copy of `range` for editing, one version on.
pub(crate) fn edited(range: &Range) -> Result<Range, Refusal> {
    Ok(Range { version: range.version.next().ok_or(Refusal::Request(RequestRefusal::Exhausted))?, ..range.clone() })
}

fn not_moving(key: &RangeKey, range: &Range) -> Result<(), Refusal> {
    range.moving.as_ref().map_or(Ok(()), |moving| {
        Err(Refusal::Standing(StandingRefusal::MoveInFlight {
            range: key.clone(),
            target: moving.target.clone(),
            current: range.standing(),
        }))
    })
}

/// The decision that leaves the range of `key` as `range`.
fn written(key: &RangeKey, range: Range) -> Decision {
    let effect = Effect::RangeAt { range: key.clone(), now: range.standing() };
    Ok((effect, vec![Edit::PutRange(key.collection.clone(), range)]))
}
