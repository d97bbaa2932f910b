//! New collections, authorities and ranges.

use super::written;
use crate::apply::Decision;
use crate::bounds::Mode;
use crate::catalog::Catalog;
use crate::collection::Collection;
use crate::command::NewRange;
use crate::edit::Edit;
use crate::id::{CollectionName, Epoch, Fence, GroupName, RangeKey, Version};
use crate::range::{Authority, CollectionSpec, Copies, Range, Role};
use crate::refusal::Refusal;
use crate::verdict::Effect;
use cp_seam::MemberId;
use std::sync::Arc;

impl Catalog {
    pub(super) fn create_collection(&self, name: &CollectionName, group: &GroupName, mode: Mode) -> Decision {
        let spec = CollectionSpec { name: name.clone(), group: group.clone(), mode };
        let effect = Effect::CollectionReady { collection: name.clone() };
        match self.collection(name) {
            None => Ok((effect, vec![Edit::PutCollection(spec)])),
            Some(was) if *was == spec => Ok((effect, Vec::new())),
            Some(_) => Err(Refusal::CollectionDiffers { collection: name.clone() }),
        }
    }

    pub(super) fn assign_authority(&self, group: &GroupName, holder: &MemberId) -> Decision {
        if let Some(was) = self.authority(group) {
            let (holder, fence) = (was.holder.clone(), was.fence());
            return Err(Refusal::AuthorityExists { group: group.clone(), holder, fence });
        }
        let epoch = Epoch::first(self.meta.generation.number);
        self.authority_at(group, holder, Fence { epoch, version: Version::FIRST })
    }

    pub(super) fn reassign_authority(&self, group: &GroupName, fence: Fence, holder: &MemberId) -> Decision {
        let was = self.authority(group).ok_or_else(|| Refusal::UnknownAuthority { group: group.clone() })?;
        if was.fence() != fence {
            let (holder, fence) = (was.holder.clone(), was.fence());
            return Err(Refusal::StaleAuthority { group: group.clone(), holder, fence });
        }
        let version = was.version.next().ok_or(Refusal::Exhausted)?;
        self.authority_at(group, holder, Fence { epoch: self.epoch_after(was.epoch)?, version })
    }

    fn authority_at(&self, group: &GroupName, holder: &MemberId, fence: Fence) -> Decision {
        let holder = self.eligible(holder)?.id.clone();
        let effect = Effect::AuthorityHeld { group: group.clone(), holder: holder.clone(), fence };
        let Fence { epoch, version } = fence;
        Ok((effect, vec![Edit::PutAuthority(Authority { group: group.clone(), holder, epoch, version })]))
    }

    pub(super) fn create_range(&self, new: &NewRange) -> Decision {
        let key = &new.range;
        let collection = self
            .collections
            .get(&key.collection)
            .ok_or_else(|| Refusal::UnknownCollection { collection: key.collection.clone() })?;
        let mode = collection.spec.mode;
        if mode != new.mode {
            return Err(Refusal::ModeDiffers { range: key.clone() });
        }
        new.bounds.check(mode).map_err(|_| Refusal::NotASlot { range: key.clone() })?;
        unused(collection, key)?;
        if let Some(other) = collection.overlapping(&new.bounds) {
            return Err(Refusal::Overlap {
                range: key.clone(),
                other: RangeKey::new(key.collection.clone(), other.id),
                current: other.standing(),
            });
        }
        let (owner, replicas, archives) = self.roles(new)?;
        let range = Range {
            id: key.id,
            bounds: new.bounds.clone(),
            owner,
            replicas,
            archives,
            epoch: Epoch::first(self.meta.generation.number),
            version: Version::FIRST,
            placement: Arc::new(new.placement.clone()),
            moving: None,
        };
        written(key, range)
    }

    /// The members of a new range, if each may have its role and has that one only.
    fn roles(&self, new: &NewRange) -> Result<(MemberId, Copies, Copies), Refusal> {
        let owner = self.eligible(&new.owner)?.id.clone();
        let taken =
            |member: &MemberId, role| Refusal::RoleTaken { range: new.range.clone(), member: member.clone(), role };
        let copies = |wanted: &Copies, others: &Copies| {
            wanted
                .iter()
                .map(|member| {
                    if *member == owner {
                        return Err(taken(member, Role::Owner));
                    }
                    if others.contains(member) {
                        return Err(taken(member, Role::Replica));
                    }
                    self.eligible(member).map(|member| member.id.clone())
                })
                .collect::<Result<Copies, _>>()
        };
        let replicas = copies(&new.replicas, &Copies::default())?;
        let archives = copies(&new.archives, &replicas)?;
        Ok((owner, replicas, archives))
    }
}

/// Whether the id of `key` is free, and was never taken.
pub(super) fn unused(collection: &Collection, key: &RangeKey) -> Result<(), Refusal> {
    if let Some(range) = collection.get(key.id) {
        return Err(Refusal::RangeExists { range: key.clone(), current: range.standing() });
    }
    if collection.is_retired(key.id) {
        return Err(Refusal::RetiredId { range: key.clone() });
    }
    Ok(())
}
