//! Leader completeness (CP-S2): whoever begins to lead a term holds every entry that
//! was committed in an earlier one, on its disk.

use super::Broken;
use super::audit::last;
use crate::promise::Promise;
use cp_seam::{Incarnation, LogPosition, Term};
use cp_store::Inspection;

/// The checker's name.
pub const NAME: &str = "leader completeness";

/// `leader` begins to lead `term` with `image` on its disk; `committed` is what earlier
/// terms committed above the image's snapshot, ascending
/// ([`Committed::before`](super::committed::Committed::before)).
pub fn begins(
    leader: Incarnation,
    term: Term,
    image: &Inspection,
    committed: impl Iterator<Item = LogPosition>,
) -> Result<(), Broken> {
    let mut log = image.log.iter().map(|record| record.position).peekable();
    for position in committed {
        while log.next_if(|held| held.index < position.index).is_some() {}
        if log.peek() != Some(&position) {
            let what = format!(
                "{leader} leads {term} without {position}, which is committed: its disk has snapshot {}, last {}",
                image.snapshot.position,
                last(image)
            );
            return Err(Broken::new(NAME, Promise::S2, what));
        }
    }
    Ok(())
}

/// For [`ALL`](super::ALL).
pub(super) fn bad_history() -> Result<(), Broken> {
    let image = super::registry::image(&[(1, 1), (1, 2)], 1)?;
    let committed = [(1, 1), (2, 2)].map(super::registry::position);
    begins(Incarnation(1), Term(3), &image, committed.into_iter())
}

#[cfg(test)]
mod tests {
    use super::super::registry::{image, position};
    use super::*;

    #[test]
    fn fires_on_a_leader_that_lacks_or_replaced_what_is_committed() {
        let image = image(&[(1, 1), (2, 2), (3, 3)], 1).unwrap();
        let begins = |committed: &[(u64, u64)]| {
            super::begins(Incarnation(1), Term(4), &image, committed.iter().copied().map(position))
        };
        assert_eq!(begins(&[(1, 1), (2, 2), (3, 3)]), Ok(()));
        assert_eq!(begins(&[(1, 1), (3, 3)]), Ok(()));
        assert!(begins(&[(3, 2)]).is_err());
        assert_eq!(begins(&[(1, 1), (3, 4)]).unwrap_err().checker, NAME);
    }
}
