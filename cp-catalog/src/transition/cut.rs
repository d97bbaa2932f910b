//! Split and merge. Neither leaves a gap or an overlap.

use super::create::unused;
use super::{at, check_fence, edited, not_moving};
use crate::apply::Decision;
use crate::bounds::{Bound, Bounds, Key, check_key};
use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::id::{Fence, RangeId, RangeKey, Version};
use crate::range::Range;
use crate::refusal::{Refusal, ShapeRefusal};
use crate::verdict::Effect;

impl Catalog {
    pub(super) fn split(&self, key: &RangeKey, fence: Fence, at: &Key, new_id: RangeId) -> Decision {
        let (collection, range) = self.fenced(key, fence)?;
        not_moving(key, range)?;
        check_key(at, collection.spec.mode)
            .map_err(|_| Refusal::Shape(ShapeRefusal::NotASlot { range: key.clone() }))?;
        let outside = || Refusal::Shape(ShapeRefusal::CutOutside { range: key.clone(), current: range.standing() });
        let at = Bound::Key(at.clone());
        let lower_bounds = Bounds::new(range.bounds.lower().clone(), at.clone()).map_err(|_| outside())?;
        let upper_bounds = Bounds::new(at, range.bounds.upper().clone()).map_err(|_| outside())?;
        let upper_key = RangeKey::new(key.collection.clone(), new_id);
        unused(collection, &upper_key)?;
        let lower = Range { bounds: lower_bounds, ..edited(range)? };
        // Everything that is not said here is the parent's: epoch, owner, copies, placement.
        let upper = Range { id: new_id, bounds: upper_bounds, version: Version::FIRST, ..range.clone() };
        let effect = Effect::Split {
            lower: key.clone(),
            lower_now: lower.standing(),
            upper: upper_key,
            upper_now: upper.standing(),
        };
        let name = &key.collection;
        Ok((effect, vec![Edit::PutRange(name.clone(), lower), Edit::PutRange(name.clone(), upper)]))
    }

    pub(super) fn merge(&self, key: &RangeKey, fence: Fence, retired: RangeId, retired_fence: Fence) -> Decision {
        let (collection, survivor) = self.fenced(key, fence)?;
        let other_key = RangeKey::new(key.collection.clone(), retired);
        let (_, other) = self.found(&other_key)?;
        check_fence(&other_key, other, retired_fence)?;
        not_moving(key, survivor)?;
        not_moving(&other_key, other)?;
        let bounds = joined(&survivor.bounds, &other.bounds).ok_or_else(|| {
            let [below, above] =
                collection.beside(&survivor.bounds).map(|beside| beside.map(|range| Box::new(at(key, range))));
            Refusal::Shape(ShapeRefusal::NotAdjacent { range: key.clone(), other: other_key.clone(), below, above })
        })?;
        let (range, current) = (key.clone(), other.standing());
        if survivor.owner != other.owner {
            return Err(Refusal::Shape(ShapeRefusal::OwnersDiffer { range, other: other_key, current }));
        }
        if survivor.replicas != other.replicas || survivor.archives != other.archives {
            return Err(Refusal::Shape(ShapeRefusal::CopiesDiffer { range, other: other_key, current }));
        }
        let epoch = self.epoch_after(survivor.epoch.max(other.epoch))?;
        let next = Range { bounds, epoch, ..edited(survivor)? };
        let effect = Effect::Merged { survivor: range, now: next.standing(), retired: other_key };
        let name = &key.collection;
        let into = (self.feature_level() >= 2).then_some(key.id);
        Ok((effect, vec![Edit::RetireRange(name.clone(), retired, into), Edit::PutRange(name.clone(), next)]))
    }
}

/// Both together, if they touch.
fn joined(one: &Bounds, other: &Bounds) -> Option<Bounds> {
    let (lower, upper) = if one.upper() == other.lower() {
        (one, other)
    } else if other.upper() == one.lower() {
        (other, one)
    } else {
        return None;
    };
    Bounds::new(lower.lower().clone(), upper.upper().clone()).ok()
}
