//! Fencing (CP-S5): the epoch of a range never falls and its version only rises,
//! nothing is accepted under an old fence, and no epoch ever has two owners.

use super::Broken;
use crate::promise::Promise;
use cp_catalog::{Effect, Fence, RangeEffect, RangeKey, RangeStanding};
use cp_seam::{ControlPlaneLogIndex, MemberId};
use std::collections::BTreeMap;

/// How each range stood after each change of it, whoever applied it.
#[derive(Debug, Default)]
pub struct Fencing {
    ranges: BTreeMap<RangeKey, BTreeMap<ControlPlaneLogIndex, RangeStanding>>,
    owners: BTreeMap<(RangeKey, u64), MemberId>,
    /// Where each range that is no more was merged into another.
    retired: BTreeMap<RangeKey, ControlPlaneLogIndex>,
    /// The generations that recoveries began, and at which index.
    generations: BTreeMap<ControlPlaneLogIndex, u16>,
}

impl Fencing {
    /// The checker's name.
    pub const NAME: &str = "fencing";

    /// The entry at `index` had this effect.
    pub fn effect(&mut self, index: ControlPlaneLogIndex, effect: &Effect) -> Result<(), Broken> {
        match effect.on_ranges() {
            Some(RangeEffect::At { range, now }) => self.stands(index, range, now),
            Some(RangeEffect::Split { lower, lower_now, upper, upper_now }) => {
                self.stands(index, lower, lower_now)?;
                self.stands(index, upper, upper_now)
            }
            Some(RangeEffect::Merged { survivor, now, retired }) => {
                self.retired.entry(retired.clone()).or_insert(index);
                self.stands(index, survivor, now)
            }
            None => Ok(()),
        }
    }

    /// Whether `range` was merged into another, as far as anybody has applied.
    pub fn is_retired(&self, range: &RangeKey) -> bool {
        self.retired.contains_key(range)
    }

    /// The entry at `index` had an effect though its writer saw the range as `fence` says.
    pub fn accepted(&self, index: ControlPlaneLogIndex, range: &RangeKey, fence: Fence) -> Result<(), Broken> {
        let before = self.ranges.get(range).and_then(|history| history.range(..index).next_back());
        match before {
            Some((at, stood)) if fence != (Fence { epoch: stood.epoch, version: stood.version }) => {
                let what = format!("{range} had {stood} at {at}, and a writer who saw {fence} was let in at {index}");
                Err(Broken::new(Self::NAME, Promise::S5, what))
            }
            _ => Ok(()),
        }
    }

    /// A recovery at `index` led from generation `before` to `generation`, which issues every
    /// epoch from there on.
    pub fn begins(&mut self, index: ControlPlaneLogIndex, before: u16, generation: u16) -> Result<(), Broken> {
        if generation <= before {
            let what =
                format!("generation {generation} begins at {index}, after {before}: its epochs are issued twice");
            return Err(Broken::new(Self::NAME, Promise::S5, what));
        }
        self.generations.insert(index, generation);
        Ok(())
    }

    /// From `index` on, `range` stands as `now` says.
    pub fn stands(&mut self, index: ControlPlaneLogIndex, range: &RangeKey, now: &RangeStanding) -> Result<(), Broken> {
        let object = |what: String| Err(Broken::new(Self::NAME, Promise::S5, what));
        if let Some(at) = self.retired.get(range).filter(|at| **at < index) {
            return object(format!("{range} was retired at {at} and has {now} at {index}"));
        }
        let owner = self.owners.entry((range.clone(), now.epoch.0)).or_insert_with(|| now.owner.clone());
        if *owner != now.owner {
            return object(format!("at epoch {} {range} is {owner}'s and {}'s", now.epoch, now.owner));
        }
        if let Some((at, generation)) = self.generations.range(..=index).next_back()
            && now.epoch.generation() != *generation
        {
            return object(format!("generation {generation} began at {at}, and {range} has {now} at {index}"));
        }
        let history = self.ranges.entry(range.clone()).or_default();
        if let Some((at, before)) = history.range(..index).next_back()
            && (before.epoch > now.epoch || before.version >= now.version)
        {
            return object(format!("{range} had {before} at {at} and has {now} at {index}"));
        }
        match history.insert(index, now.clone()) {
            Some(other) if other != *now => object(format!("at {index} {range} has {now}, elsewhere {other}")),
            _ => Ok(()),
        }
    }

    /// How many changes of ranges were seen.
    pub fn count(&self) -> usize {
        self.ranges.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::{CollectionName, Epoch, RangeId, Version};

    #[test]
    fn fires_on_falling_epochs_reused_versions_and_second_owners() {
        let range = RangeKey::new(CollectionName::new("c").unwrap(), RangeId(1));
        let standing = |owner: &str, epoch, version| RangeStanding {
            owner: MemberId::new(owner).unwrap(),
            epoch: Epoch(epoch),
            version: Version(version),
        };
        let at = ControlPlaneLogIndex;
        let seeded = || {
            let mut fencing = Fencing::default();
            fencing.stands(at(1), &range, &standing("a", 1, 1)).unwrap();
            fencing.stands(at(5), &range, &standing("b", 2, 2)).unwrap();
            fencing.stands(at(1), &range, &standing("a", 1, 1)).unwrap();
            fencing
        };
        for (index, bad) in
            [(7, standing("a", 1, 3)), (7, standing("b", 2, 2)), (7, standing("a", 2, 3)), (5, standing("b", 2, 4))]
        {
            let broken = seeded().stands(at(index), &range, &bad).unwrap_err();
            assert_eq!((broken.checker, broken.promise), (Fencing::NAME, Promise::S5), "{bad:?}");
        }
        assert_eq!(seeded().count(), 2);
        let first = |generation: u16, version| standing("b", Epoch::first(generation).0, version);
        let mut recovered = seeded();
        recovered.begins(at(7), 0, 2).unwrap();
        for (index, bad) in [(7, standing("b", 3, 3)), (7, first(1, 3)), (9, first(3, 3))] {
            let broken = recovered.stands(at(index), &range, &bad).unwrap_err();
            assert!(broken.what.contains("generation 2 began at 7"), "{broken}");
        }
        recovered.stands(at(7), &range, &first(2, 3)).unwrap();
        recovered.stands(at(5), &range, &standing("b", 2, 2)).unwrap();
        for reused in [2, 1] {
            assert_eq!(recovered.begins(at(9), 2, reused).unwrap_err().checker, Fencing::NAME);
        }
        let fence = |epoch, version| Fence { epoch: Epoch(epoch), version: Version(version) };
        assert_eq!(seeded().accepted(at(5), &range, fence(1, 1)), Ok(()));
        assert_eq!(seeded().accepted(at(7), &range, fence(2, 2)), Ok(()));
        for stale in [fence(1, 2), fence(2, 1), fence(1, 1)] {
            assert_eq!(seeded().accepted(at(7), &range, stale).unwrap_err().checker, Fencing::NAME, "{stale:?}");
        }
    }
}
