//! Gate exclusivity (CP-S5): by true time, which no member knows, no write to a key is
//! admitted under an epoch once one under a later epoch was, nor by two members under one.
//!
//! A range's keys may come from other ranges, by splits and merges. So gates are compared
//! by the keys before which they stand, whatever the range is called; along the history of
//! a key epochs never fall.

use super::Broken;
use crate::promise::Promise;
use cp_catalog::{Bounds, Epoch, RangeKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// Every gate that was seen open.
#[derive(Debug, Default)]
pub struct Gates {
    /// By collection's ranges, in the order in which they opened.
    open: BTreeMap<RangeKey, Vec<Gate>>,
    admitted: u64,
    takeovers: u64,
}

/// A gate of one member under one epoch before these keys.
#[derive(Debug, Clone)]
struct Gate {
    slot: usize,
    epoch: Epoch,
    bounds: Bounds,
    first: Duration,
    last: Duration,
    /// A later epoch's gate before some of the same keys, and when it opened.
    over: Option<(String, Duration)>,
}

impl Gate {
    fn is(&self, slot: usize, epoch: Epoch, bounds: &Bounds) -> bool {
        self.slot == slot && self.epoch == epoch && self.bounds == *bounds
    }
}

impl Gates {
    /// The checker's name.
    pub const NAME: &str = "gate exclusivity";

    /// At `at`, the member in `slot` admitted a write to `range` under `epoch`, where the range
    /// has these bounds. Answers whether that is the first there. Times never fall.
    pub fn admits(
        &mut self,
        at: Duration,
        slot: usize,
        range: &RangeKey,
        epoch: Epoch,
        bounds: &Bounds,
    ) -> Result<bool, Broken> {
        self.admitted += 1;
        let known = self.open.get_mut(range).into_iter().flatten().rev().find(|gate| gate.is(slot, epoch, bounds));
        if let Some(gate) = known {
            gate.last = at;
            return match &gate.over {
                None => Ok(false),
                Some((by, since)) => Err(broken(&format!(
                    "n{slot} admits a write to {range} {bounds} under epoch {epoch} at {at:?}, and {by} since {since:?}"
                ))),
            };
        }
        let who = format!("n{slot} admits writes to {range} {bounds} under epoch {epoch}");
        let others = self.open.iter_mut().filter(|(other, _)| other.collection == range.collection);
        let others = others.flat_map(|(range, gates)| gates.iter_mut().map(move |gate| (range, gate)));
        let mut takes_over = false;
        for (other, gate) in others.filter(|(_, gate)| gate.bounds.overlaps(bounds)) {
            if gate.epoch > epoch || (gate.epoch == epoch && gate.slot != slot) {
                let (by, under, since) = (gate.slot, gate.epoch, gate.first);
                return Err(broken(&format!(
                    "{who} at {at:?}, and n{by} has admitted some to {other} {} under {under} since {since:?}",
                    gate.bounds
                )));
            }
            if gate.epoch < epoch && gate.over.is_none() {
                takes_over |= gate.slot != slot;
                gate.over = Some((who.clone(), at));
            }
        }
        self.takeovers += u64::from(takes_over);
        let gate = Gate { slot, epoch, bounds: bounds.clone(), first: at, last: at, over: None };
        self.open.entry(range.clone()).or_default().push(gate);
        Ok(true)
    }

    /// When the first and the last write to `range` were admitted in `slot` under `epoch`.
    pub fn span(&self, slot: usize, range: &RangeKey, epoch: Epoch) -> Option<(Duration, Duration)> {
        let mut gates = self.open.get(range)?.iter().filter(|gate| gate.slot == slot && gate.epoch == epoch);
        let first = gates.next()?;
        Some(gates.fold((first.first, first.last), |(first, last), gate| (first, last.max(gate.last))))
    }

    /// How many writes were admitted.
    pub fn admitted(&self) -> u64 {
        self.admitted
    }

    /// How many gates opened before keys that another member had written.
    pub fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// For [`ALL`](super::ALL).
    pub(super) fn bad_history() -> Result<(), Broken> {
        let (range, standing) = super::registry::range()?;
        let mut gates = Self::default();
        for (slot, epoch) in [(0, standing.epoch), (1, Epoch(standing.epoch.0 + 1)), (0, standing.epoch)] {
            gates.admits(Duration::ZERO, slot, &range, epoch, &Bounds::ALL)?;
        }
        Ok(())
    }
}

fn broken(what: &str) -> Broken {
    Broken::new(Gates::NAME, Promise::S5, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::{Bound, CollectionName, Key, RangeId};

    fn bounds(lower: u8, upper: u8) -> Bounds {
        let at = |byte| Bound::Key(Key::new(&[byte]).unwrap());
        Bounds::new(at(lower), at(upper)).unwrap()
    }

    /// Slot, number of the range, epoch, its first key, the first key after it.
    type Write = (usize, u64, u64, u8, u8);

    fn judged(writes: &[Write]) -> (Gates, Result<(), Broken>) {
        let (mut gates, mut ms) = (Gates::default(), 0);
        let verdict = writes.iter().try_for_each(|&(slot, id, epoch, lower, upper)| {
            let range = RangeKey::new(CollectionName::new("c").unwrap(), RangeId(id));
            ms += 1;
            gates.admits(Duration::from_millis(ms), slot, &range, Epoch(epoch), &bounds(lower, upper)).map(drop)
        });
        (gates, verdict)
    }

    #[test]
    fn fires_when_an_earlier_epoch_is_written_after_a_later_one() {
        let bad: [&[Write]; 6] = [
            // The old owner goes on; or begins only now.
            &[(0, 1, 1, 1, 9), (1, 1, 2, 1, 9), (0, 1, 1, 1, 9)],
            &[(1, 1, 2, 1, 9), (0, 1, 1, 1, 9)],
            // Two members under one epoch.
            &[(0, 1, 1, 1, 9), (1, 1, 1, 1, 9)],
            // The old owner has not heard of a split: the upper part is another's.
            &[(0, 1, 1, 1, 9), (1, 2, 2, 5, 9), (0, 1, 1, 1, 9)],
            // The old owner of a part that was merged.
            &[(0, 2, 1, 5, 9), (1, 1, 3, 1, 9), (0, 2, 1, 5, 9)],
            // The same member, two epochs at once.
            &[(0, 1, 1, 1, 9), (0, 1, 2, 1, 9), (0, 1, 1, 1, 9)],
        ];
        for history in bad {
            let broken = judged(history).1.unwrap_err();
            assert_eq!((broken.checker, broken.promise), (Gates::NAME, Promise::S5), "{history:?}");
        }
    }

    #[test]
    fn owners_that_follow_each_other_pass() {
        let good: &[Write] = &[
            (0, 1, 1, 1, 9),
            (0, 1, 1, 1, 5),
            (0, 2, 1, 5, 9),
            (1, 2, 2, 5, 9),
            (0, 1, 1, 1, 5),
            (1, 1, 2, 1, 5),
            (1, 2, 2, 5, 9),
            (1, 1, 3, 1, 9),
            (1, 1, 3, 1, 9),
        ];
        let (gates, verdict) = judged(good);
        assert_eq!((verdict, gates.admitted(), gates.takeovers()), (Ok(()), 9, 2));
        let range = RangeKey::new(CollectionName::new("c").unwrap(), RangeId(1));
        let ms = Duration::from_millis;
        assert_eq!(gates.span(0, &range, Epoch(1)), Some((ms(1), ms(5))));
        assert_eq!((gates.span(1, &range, Epoch(3)), gates.span(0, &range, Epoch(3))), (Some((ms(8), ms(9))), None));
    }
}
