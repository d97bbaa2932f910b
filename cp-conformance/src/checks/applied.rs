//! What a node says that it has applied is committed, and never goes back in a life
//! (CP-D3, CP-R1): with the durable images, purged <= snapshot <= applied <= committed
//! <= last. That each slot is applied once and in order is the append register's matter.

use super::Broken;
use crate::promise::Promise;
use cp_seam::ControlPlaneLogIndex;
use std::collections::BTreeMap;

/// How far each life of each node has got.
#[derive(Debug, Default)]
pub struct Applied {
    lives: BTreeMap<(usize, u64), ControlPlaneLogIndex>,
}

impl Applied {
    /// The checker's name.
    pub const NAME: &str = "applied within committed";

    /// The node in `slot`, in this life, says that it has applied so much of what is committed.
    pub fn says(
        &mut self,
        (slot, life): (usize, u64),
        applied: ControlPlaneLogIndex,
        committed: ControlPlaneLogIndex,
    ) -> Result<(), Broken> {
        let object = |promise, what: String| Err(Broken::new(Self::NAME, promise, what));
        if applied > committed {
            return object(Promise::D3, format!("n{slot} has applied {applied}, and {committed} is committed"));
        }
        match self.lives.insert((slot, life), applied) {
            Some(before) if before > applied => {
                object(Promise::R1, format!("n{slot} had applied {before} and now says {applied}"))
            }
            _ => Ok(()),
        }
    }

    /// For [`ALL`](super::ALL).
    pub(super) fn bad_history() -> Result<(), Broken> {
        Self::default().says((0, 1), ControlPlaneLogIndex(5), ControlPlaneLogIndex(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_what_is_not_committed_and_on_what_goes_back() {
        let at = ControlPlaneLogIndex;
        let mut applied = Applied::default();
        applied.says((0, 1), at(4), at(5)).unwrap();
        applied.says((0, 2), at(3), at(5)).unwrap();
        assert_eq!(applied.says((0, 1), at(3), at(5)).unwrap_err().promise, Promise::R1);
        assert_eq!(applied.says((0, 1), at(6), at(5)).unwrap_err().promise, Promise::D3);
        assert_eq!(Applied::bad_history().unwrap_err().checker, Applied::NAME);
    }
}
