//! Makes a failing schedule small: which steps are needed to see it fail?

use super::{Kept, Schedule};
use std::collections::BTreeSet;

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The steps that are needed, as far as was tried.
    pub kept: Kept,
    /// How many runs it took.
    pub runs: u32,
}

/// Leaves out as many steps of `schedule` as it can, in at most `runs_max` runs,
/// `fails` telling whether the same violation is still seen with the steps kept.
///
/// Whole runs of steps first, halves of halves after (delta debugging, Zeller and
/// Hildebrandt, 2002). The result has failed, or is [`Kept::All`].
pub fn shrink(schedule: &Schedule, runs_max: u32, mut fails: impl FnMut(&Kept) -> bool) -> Shrunk {
    let mut steps: Vec<u32> = (0_u32..).take(schedule.steps.len()).collect();
    let (mut runs, mut kept) = (0, Kept::All);
    let mut attempt = |steps: &[u32], runs: &mut u32| {
        *runs += 1;
        let only = Kept::Only(BTreeSet::from_iter(steps.iter().copied()));
        fails(&only).then_some(only)
    };
    let mut size = steps.len();
    while size > 0 && runs < runs_max {
        // From the end: what came after the violation goes first.
        let mut end = steps.len();
        let mut removed = false;
        while end > 0 && runs < runs_max {
            let start = end.saturating_sub(size);
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            if let Some(only) = attempt(&fewer, &mut runs) {
                (steps, kept, removed) = (fewer, only, true);
            }
            end = start;
        }
        size = if removed && size == 1 { 1 } else { size / 2 };
    }
    Shrunk { kept, runs }
}
