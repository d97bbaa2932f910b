//! Fenced catalog operations are linearizable (CP-S5, CP-P4).
//!
//! Whoever was told "done, the range is now at this epoch and version" before another's
//! request began is seen by it: the other's transition of that range, if it is accepted,
//! leaves a higher version and no lower epoch, and a read shows at least that version.
//! Together with the fencing checker (one order of versions for all) this is the whole
//! of linearizability for a range, whose every accepted change raises its version.

use super::Broken;
use crate::promise::Promise;
use cp_catalog::{RangeKey, RangeStanding};
use std::collections::BTreeMap;

/// How callers were told that each range stands.
pub type Known = BTreeMap<RangeKey, RangeStanding>;

/// What callers were told.
#[derive(Debug, Default)]
pub struct Transitions {
    known: Known,
    told: u64,
}

impl Transitions {
    /// The checker's name.
    pub const NAME: &str = "catalog linearizability";

    /// A request begins now: what it may rely on.
    pub fn begin(&self) -> Known {
        self.known.clone()
    }

    /// A caller that began with `since` is told that its transition left `range` so.
    pub fn done(&mut self, since: &Known, range: &RangeKey, now: &RangeStanding) -> Result<(), Broken> {
        self.told += 1;
        if let Some(before) = since.get(range)
            && (now.version <= before.version || now.epoch < before.epoch)
        {
            let what = format!("a transition left {range} at {now}, and {before} was told before it began");
            return Err(Broken::new(Self::NAME, Promise::S5, what));
        }
        match self.known.get_mut(range) {
            Some(known) if known.version >= now.version => {}
            Some(known) => known.clone_from(now),
            None => drop(self.known.insert(range.clone(), now.clone())),
        }
        Ok(())
    }

    /// A read that began with `since` sees `range` so, if at all.
    pub fn read(since: &Known, range: &RangeKey, now: Option<&RangeStanding>) -> Result<(), Broken> {
        match (since.get(range), now) {
            (Some(before), Some(now)) if now.version < before.version || now.epoch < before.epoch => {
                let what = format!("a read sees {range} at {now}, and {before} was told before it began");
                Err(Broken::new(Self::NAME, Promise::P4, what))
            }
            (Some(before), None) => {
                let what = format!("a read does not see {range}, and {before} was told before it began");
                Err(Broken::new(Self::NAME, Promise::P4, what))
            }
            _ => Ok(()),
        }
    }

    /// How often a caller was told that a transition is done.
    pub fn count(&self) -> u64 {
        self.told
    }

    /// For [`ALL`](super::ALL).
    pub(super) fn bad_history() -> Result<(), Broken> {
        let (range, standing) = super::registry::range()?;
        let mut transitions = Self::default();
        transitions.done(&Known::new(), &range, &standing)?;
        let since = transitions.begin();
        transitions.done(&since, &range, &standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::{Epoch, Version};

    #[test]
    fn fires_on_transitions_and_reads_that_miss_what_was_told() {
        let (range, first) = super::super::registry::range().unwrap();
        let at = |epoch, version| RangeStanding { epoch: Epoch(epoch), version: Version(version), ..first.clone() };
        let mut transitions = Transitions::default();
        let nothing = transitions.begin();
        transitions.done(&nothing, &range, &at(2, 5)).unwrap();
        transitions.done(&nothing, &range, &at(2, 4)).unwrap();
        let since = transitions.begin();
        Transitions::read(&since, &range, Some(&at(2, 5))).unwrap();
        Transitions::read(&nothing, &range, None).unwrap();
        assert_eq!(Transitions::read(&since, &range, Some(&at(2, 4))).unwrap_err().promise, Promise::P4);
        assert!(Transitions::read(&since, &range, None).is_err());
        assert!(transitions.done(&since, &range, &at(2, 5)).is_err());
        assert!(transitions.done(&since, &range, &at(1, 6)).is_err());
        transitions.done(&since, &range, &at(3, 6)).unwrap();
        assert_eq!(Transitions::bad_history().unwrap_err().checker, Transitions::NAME);
    }
}
