//! The log as an append-only register: reads and writes are linearizable (CP-P4).
//!
//! An append that was acknowledged before another began has the lower index, and
//! a read that began after an acknowledgement sees at least its index. For an
//! append-only register that is the whole of linearizability, and it costs one
//! number.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, LogPosition};
use std::collections::{BTreeMap, BTreeSet};

/// The register as its callers see it, and as each member's state machine is fed it.
#[derive(Debug, Default)]
pub struct Register {
    acknowledged: BTreeSet<LogPosition>,
    highest: ControlPlaneLogIndex,
    fed: BTreeMap<(usize, u64), ControlPlaneLogIndex>,
}

/// What a call may rely on: everything acknowledged when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Since(ControlPlaneLogIndex);

impl Register {
    /// The checker's name.
    pub const NAME: &str = "append register";

    /// A call begins now.
    pub fn begin(&self) -> Since {
        Since(self.highest)
    }

    /// An append that began at `since` was acknowledged at `position`.
    pub fn acknowledged(&mut self, since: Since, position: LogPosition) -> Result<(), Broken> {
        if position.index <= since.0 {
            let what = format!("an append is acknowledged at {position}, but {} was acknowledged before it", since.0);
            return Err(Broken::new(Self::NAME, Promise::P4, what));
        }
        self.acknowledged.insert(position);
        self.highest = self.highest.max(position.index);
        Ok(())
    }

    /// A read that began at `since` was served as of `index`.
    pub fn read(&self, since: Since, index: ControlPlaneLogIndex) -> Result<(), Broken> {
        if index < since.0 {
            let what = format!("a read sees index {index}, but {} was acknowledged before it began", since.0);
            return Err(Broken::new(Self::NAME, Promise::P4, what));
        }
        Ok(())
    }

    /// The state machine of a life, by slot and number, takes up what is at `index`: the
    /// register is read from its start, one entry after the other.
    pub fn fed(&mut self, life: (usize, u64), index: ControlPlaneLogIndex) -> Result<(), Broken> {
        match self.fed.insert(life, index) {
            Some(before) if index != before.next() => {
                let what = format!("n{} applies {index} after {before}", life.0);
                Err(Broken::new(Self::NAME, Promise::S2, what))
            }
            _ => Ok(()),
        }
    }

    /// The state machine of a life is at `index` by a snapshot.
    pub fn restored(&mut self, life: (usize, u64), index: ControlPlaneLogIndex) {
        self.fed.insert(life, index);
    }

    /// Every append that was acknowledged.
    pub fn all(&self) -> impl Iterator<Item = LogPosition> + '_ {
        self.acknowledged.iter().copied()
    }

    /// How many appends were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// The highest index acknowledged.
    pub fn highest(&self) -> ControlPlaneLogIndex {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::Term;

    #[test]
    fn fires_on_entries_skipped_repeated_and_out_of_order() {
        let at = ControlPlaneLogIndex;
        let fed = |indexes: &[u64]| {
            let mut register = Register::default();
            register.restored((0, 1), at(4));
            register.fed((1, 1), at(1)).unwrap();
            indexes.iter().try_for_each(|index| register.fed((0, 1), at(*index)))
        };
        assert_eq!(fed(&[5, 6, 7]), Ok(()));
        for bad in [[5, 7, 8], [5, 5, 6], [6, 5, 7]] {
            assert_eq!(fed(&bad).unwrap_err().checker, Register::NAME, "{bad:?}");
        }
    }

    #[test]
    fn fires_on_stale_reads_and_reordered_appends() {
        let at = |index| LogPosition::new(Term(1), ControlPlaneLogIndex(index));
        let mut register = Register::default();
        let early = register.begin();
        register.acknowledged(early, at(5)).unwrap();
        register.acknowledged(early, at(4)).unwrap();
        let late = register.begin();
        register.read(late, ControlPlaneLogIndex(5)).unwrap();
        register.read(early, ControlPlaneLogIndex(0)).unwrap();
        assert_eq!(register.read(late, ControlPlaneLogIndex(4)).unwrap_err().promise, Promise::P4);
        assert_eq!(register.acknowledged(late, at(5)).unwrap_err().checker, Register::NAME);
    }
}
