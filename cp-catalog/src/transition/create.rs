//! New collections and ranges.

use super::written;
use crate::apply::Decision;
use crate::bounds::Mode;
use crate::catalog::Catalog;
use crate::collection::Collection;
use crate::command::NewRange;
use crate::edit::Edit;
use crate::id::{CollectionName, Epoch, GroupName, RangeKey, Version};
use crate::range::{CollectionSpec, Copies, Range, Role};
use crate::refusal::{GroupRefusal, HolderRefusal, Refusal, ShapeRefusal};
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
            Some(was) => {
                let (collection, exists) = (name.clone(), Some(was.clone()));
                Err(Refusal::Group(GroupRefusal::CollectionDiffers { collection, exists }))
            }
        }
    }

    pub(super) fn create_range(&self, new: &NewRange) -> Decision {
        let key = &new.range;
        let collection = self
            .collections
            .get(&key.collection)
            .ok_or_else(|| Refusal::Group(GroupRefusal::UnknownCollection { collection: key.collection.clone() }))?;
        let mode = collection.spec.mode;
        if mode != new.mode {
            return Err(Refusal::Shape(ShapeRefusal::ModeDiffers { range: key.clone(), mode: Some(mode) }));
        }
        new.bounds.check(mode).map_err(|_| Refusal::Shape(ShapeRefusal::NotASlot { range: key.clone() }))?;
        unused(collection, key)?;
        if let Some(other) = collection.overlapping(&new.bounds) {
            return Err(Refusal::Shape(ShapeRefusal::Overlap {
                range: key.clone(),
                other: RangeKey::new(key.collection.clone(), other.id),
                current: other.standing(),
            }));
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
        let taken = |member: &MemberId, role| {
            let (range, member) = (new.range.clone(), member.clone());
            Refusal::Holder(HolderRefusal::RoleTaken { range, member, role, current: None })
        };
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
        let (current, free) = (range.standing(), collection.free_id());
        return Err(Refusal::Shape(ShapeRefusal::RangeExists { range: key.clone(), current, free }));
    }
    if collection.is_retired(key.id) {
        return Err(Refusal::Shape(ShapeRefusal::RetiredId { range: key.clone(), free: collection.free_id() }));
    }
    Ok(())
}
