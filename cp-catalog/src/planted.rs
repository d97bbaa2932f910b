//! What planted bugs do to the catalog. See [`cp_seam::planted`].

use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::id::Epoch;
use crate::range::Range;
use cp_seam::ControlPlaneLogIndex;
use cp_seam::planted::{Bug, active};
use std::hash::{BuildHasher, RandomState};

/// The number of the generation that follows `previous`, which is `next`.
pub(crate) fn successor_of(previous: u16, next: u16) -> u16 {
    if active(Bug::GenerationReused) { previous } else { next }
}

/// `epoch` after a recovery, as `raise` has it.
pub(crate) fn raised<E>(epoch: Epoch, raise: impl FnOnce(Epoch) -> Result<Epoch, E>) -> Result<Epoch, E> {
    if active(Bug::EpochsKept) { Ok(epoch) } else { raise(epoch) }
}

impl Catalog {
    /// A step of the state by something that is not in the log.
    pub(crate) fn roll_a_die(&mut self) {
        if active(Bug::ApplyByChance) && RandomState::new().hash_one(0) % 8 == 0 {
            self.edit_meta(|meta| meta.next_incarnation += 1);
        }
    }

    /// The restored state, without what an active bug loses. Genesis is not restored, but founded.
    pub(crate) fn without_what_is_planted(mut self, index: ControlPlaneLogIndex) -> Self {
        if index.0 == 0 {
            return self;
        }
        self.restored = true;
        if active(Bug::SnapshotWithoutMember) {
            let last = self.members().last().map(|member| member.id.clone());
            self.commit(last.map(Edit::DropMember).into_iter().collect());
        }
        if active(Bug::SnapshotWithoutEpochs) {
            let forgotten = |range: &Range| Range { epoch: Epoch(1), ..range.clone() };
            let edits = self.collections.iter().flat_map(|(name, collection)| {
                collection.by_key().map(|range| Edit::PutRange(name.clone(), forgotten(range)))
            });
            let edits = edits.collect();
            self.commit(edits);
        }
        self
    }
}
