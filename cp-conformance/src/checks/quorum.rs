//! Durable quorum (CP-S2): what is reported committed is on the disks of a quorum of
//! the configuration that had to count.
//!
//! Which one that is depends on the engine: openraft obeys a configuration once it is
//! appended, raft-rs once it is applied. So three may have counted for an index: the
//! newest recorded at or below it, the one before that (it was in force until the newest
//! was applied), and the first recorded above it (it may have been appended before the
//! index was committed, and no second one is appended while it is not). None older,
//! none later.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition};
use cp_store::{Configuration, Inspection, RecordBody};

/// The checker's name.
pub const NAME: &str = "durable quorum";

/// The configurations that may have counted for `index`, by the log in `image`.
pub fn governing(image: &Inspection, index: ControlPlaneLogIndex) -> Vec<&Configuration> {
    let recorded = image.log.iter().filter_map(|record| match &record.body {
        RecordBody::Configuration(configuration) => Some((record.position.index, configuration)),
        RecordBody::Blank | RecordBody::Entry(_) => None,
    });
    let base = (image.snapshot.configuration_at.index, &image.snapshot.configuration);
    let all: Vec<_> = std::iter::once(base).chain(recorded.filter(|(at, _)| *at > base.0)).collect();
    let newest = all.iter().rposition(|(at, _)| *at <= index).unwrap_or_default();
    all.iter().skip(newest.saturating_sub(1)).take(newest.min(1) + 2).map(|(_, configuration)| *configuration).collect()
}

/// The node `who`, with `image` on its disk, reports `position` committed, which
/// `holders` hold durably.
pub fn reports(who: &str, image: &Inspection, position: LogPosition, holders: &[Incarnation]) -> Result<(), Broken> {
    if governing(image, position.index).iter().any(|c| c.has_quorum(|member| holders.contains(&member))) {
        return Ok(());
    }
    let what = format!("{who} reports {position} committed, but only {holders:?} hold it durably");
    Err(Broken::new(NAME, Promise::S2, what))
}

/// For [`ALL`](super::ALL).
pub(super) fn bad_history() -> Result<(), Broken> {
    let image = super::registry::image_of(&[1, 2, 3], &[(1, 1), (1, 2)], 1)?;
    reports("n0", &image, super::registry::position((1, 2)), &[Incarnation(1)])
}

#[cfg(test)]
mod tests {
    use super::super::registry::{image_of, position, voters};
    use super::*;

    #[test]
    fn counts_by_the_neighbouring_configurations_only() {
        let mut image = image_of(&[1], &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)], 1).unwrap();
        for (at, members) in [(2, &[1, 2, 3][..]), (4, &[1, 2, 3, 4, 5]), (6, &[6])] {
            image.log[at - 1].body = RecordBody::Configuration(voters(members));
        }
        let held = |index, holders: &[u64]| {
            let holders: Vec<_> = holders.iter().copied().map(Incarnation).collect();
            reports("n0", &image, position((1, index)), &holders).is_ok()
        };
        assert!(held(1, &[1]) && held(1, &[2, 3]) && !held(1, &[4, 5]));
        assert!(held(3, &[1]), "the one before may still be in force");
        assert!(held(3, &[2, 3]) && held(3, &[3, 4, 5]) && !held(3, &[6]) && !held(3, &[2]));
        assert!(!held(5, &[1]), "one that is two records back is in force nowhere");
        assert!(held(5, &[2, 3]) && held(5, &[6]) && !held(5, &[4, 5]));
        assert_eq!(bad_history().unwrap_err().checker, NAME);
    }
}
