//! Fencing (CP-S5): the epoch of a range never falls and its version only rises,
//! nothing is accepted under an old fence, and no epoch ever has two owners.

use super::Broken;
use crate::promise::Promise;
use cp_catalog::{Effect, Fence, RangeKey, RangeStanding};
use cp_seam::{ControlPlaneLogIndex, MemberId};
use std::collections::BTreeMap;

/// How each range stood after each change of it, whoever applied it.
#[derive(Debug, Default)]
pub struct Fencing {
    ranges: BTreeMap<RangeKey, BTreeMap<ControlPlaneLogIndex, RangeStanding>>,
    owners: BTreeMap<(RangeKey, u64), MemberId>,
}

impl Fencing {
    /// The checker's name.
    pub const NAME: &str = "fencing";

    /// The entry at `index` had this effect.
    pub fn effect(&mut self, index: ControlPlaneLogIndex, effect: &Effect) -> Result<(), Broken> {
        match effect {
            Effect::RangeAt { range, now } | Effect::SourceKept { range, now } => self.stands(index, range, now),
            Effect::Split { lower, lower_now, upper, upper_now } => {
                self.stands(index, lower, lower_now)?;
                self.stands(index, upper, upper_now)
            }
            Effect::Merged { survivor, now, .. } => self.stands(index, survivor, now),
            _ => Ok(()),
        }
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

    /// From `index` on, `range` stands as `now` says.
    pub fn stands(&mut self, index: ControlPlaneLogIndex, range: &RangeKey, now: &RangeStanding) -> Result<(), Broken> {
        let object = |what: String| Err(Broken::new(Self::NAME, Promise::S5, what));
        let owner = self.owners.entry((range.clone(), now.epoch.0)).or_insert_with(|| now.owner.clone());
        if *owner != now.owner {
            return object(format!("at epoch {} {range} is {owner}'s and {}'s", now.epoch, now.owner));
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
        let fence = |epoch, version| Fence { epoch: Epoch(epoch), version: Version(version) };
        assert_eq!(seeded().accepted(at(5), &range, fence(1, 1)), Ok(()));
        assert_eq!(seeded().accepted(at(7), &range, fence(2, 2)), Ok(()));
        for stale in [fence(1, 2), fence(2, 1), fence(1, 1)] {
            assert_eq!(seeded().accepted(at(7), &range, stale).unwrap_err().checker, Fencing::NAME, "{stale:?}");
        }
    }
}
