//! Placements that many ranges want alike, kept once.

use crate::range::Placement;
use std::sync::Arc;

/// How many placements are remembered; a range whose wish is rarer keeps its own.
const COUNT_MAX: usize = 16;

/// The placements last seen. No part of the state: it only saves memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placements(Arc<Vec<Arc<Placement>>>);

impl Placements {
    /// What is equal to `placement` and shared already, or else `placement`.
    pub(crate) fn share(&mut self, placement: Arc<Placement>) -> Arc<Placement> {
        if Arc::strong_count(&placement) > 1 {
            return placement;
        }
        if let Some(known) = self.0.iter().rev().find(|known| **known == placement) {
            return known.clone();
        }
        let known = Arc::make_mut(&mut self.0);
        if known.len() >= COUNT_MAX {
            known.remove(0);
        }
        known.push(placement.clone());
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(replication_factor: u32) -> Arc<Placement> {
        Arc::new(Placement { replication_factor, ..Placement::default() })
    }

    #[test]
    fn equal_placements_are_one_and_few_are_remembered() {
        let mut placements = Placements::default();
        let first = placements.share(placement(1));
        assert!(Arc::ptr_eq(&first, &placements.share(placement(1))));
        let others: Vec<_> = (2..=COUNT_MAX as u32 + 1).map(|factor| placements.share(placement(factor))).collect();
        assert_eq!(placements.0.len(), COUNT_MAX);
        assert!(!Arc::ptr_eq(&first, &placements.share(placement(1))), "forgotten");
        assert!(Arc::ptr_eq(&others[3], &placements.share(placement(5))));
        assert!(Arc::ptr_eq(&first, &placements.share(first.clone())), "shared already");
    }
}
