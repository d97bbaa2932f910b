//! Write authority moved past evidence and fence, and given to an archive.
//!
//! Neither passes the integrity of the catalog: who takes over is a member that may
//! own a range, roles stay apart, and the epoch rises (CP-S5).

use super::movement::room;
use super::{check_fence, edited, written};
use crate::access::{Origin, Privilege};
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::Restore;
use crate::id::RangeKey;
use crate::range::{Range, Role};
use crate::refusal::{AccessRefusal, EvidenceRefusal, HolderRefusal, Refusal};
use crate::verdict::Effect;
use cp_seam::MemberId;

impl Catalog {
    /// Refused in this order: privilege, reason, unknown range, a member that may not own it.
    pub(crate) fn force(&self, origin: Option<&Origin>, key: &RangeKey, to: &MemberId, reason: &str) -> Decision {
        self.signed(origin, reason)?;
        let (_, range) = self.found(key)?;
        written(key, self.taken_over(key, range, to)?)
    }

    /// Refused in this order: privilege if it is forced, unknown range, fence, archive,
    /// checksum, bounds, watermark, and reason if it is forced.
    pub(crate) fn restore_archive(&self, origin: Option<&Origin>, restore: &Restore) -> Decision {
        let Restore { range: key, fence, archive, proof, forced } = restore;
        // Whoever may not force learns nothing of the range by trying.
        if forced.is_some() {
            self.may(&origin.ok_or(Refusal::Access(AccessRefusal::NoOperator))?.principal, Privilege::Force)?;
        }
        let (_, range) = self.found(key)?;
        check_fence(key, range, *fence)?;
        let current = range.standing();
        if range.role(archive) != Some(Role::Archive) {
            let (member, role) = (archive.clone(), Role::Archive);
            return Err(Refusal::Holder(HolderRefusal::NotInRole { range: key.clone(), member, role, current }));
        }
        if proof.checksum != proof.recorded {
            return Err(Refusal::Evidence(EvidenceRefusal::ChecksumDiffers {
                range: key.clone(),
                archive: archive.clone(),
                current,
            }));
        }
        if proof.bounds != range.bounds {
            return Err(Refusal::Evidence(EvidenceRefusal::BoundsDiffer {
                range: key.clone(),
                archive: archive.clone(),
                current,
            }));
        }
        let (restored, watermark) = (proof.restored, proof.watermark);
        let gap = !restored.covers(watermark);
        match forced {
            Some(reason) => self.signed(origin, reason)?,
            None if gap => {
                return Err(Refusal::Evidence(EvidenceRefusal::Gap {
                    range: key.clone(),
                    archive: archive.clone(),
                    restored,
                    watermark,
                    current,
                }));
            }
            None => {}
        }
        let (effect, edits) = written(key, self.taken_over(key, range, archive)?)?;
        match effect {
            Effect::RangeAt { range, now } if gap => {
                Ok((Effect::RestoredWithGap { range, now, restored, watermark }, edits))
            }
            effect => Ok((effect, edits)),
        }
    }

    /// Whether somebody who may force has said why.
    pub(crate) fn signed(&self, origin: Option<&Origin>, reason: &str) -> Result<(), Refusal> {
        let origin = origin.ok_or(Refusal::Access(AccessRefusal::NoOperator))?;
        self.may(&origin.principal, Privilege::Force)?;
        let says = reason.chars().any(|c| !c.is_whitespace() && !c.is_control());
        if says { Ok(()) } else { Err(Refusal::Access(AccessRefusal::BlankReason)) }
    }

    /// `range` with `to` as its owner under the next epoch, whatever `to` was before. The
    /// owner of before stays a replica if it may, and it is refused if there is no room for
    /// that; a move that was in flight is over.
    fn taken_over(&self, key: &RangeKey, range: &Range, to: &MemberId) -> Result<Range, Refusal> {
        let to = &self.eligible(to)?.id;
        let mut next = edited(range)?;
        next.epoch = self.epoch_after(range.epoch)?;
        if let Some(moving) = next.moving.take() {
            next.replicas = next.replicas.without(&moving.target);
        }
        next.replicas = next.replicas.without(to);
        next.archives = next.archives.without(to);
        let stays = range.owner != *to && self.eligible(&range.owner).is_ok();
        if stays {
            next.replicas = room(key, range, Role::Replica, &next.replicas)?.with(&range.owner);
        }
        next.owner = to.clone();
        Ok(next)
    }
}
