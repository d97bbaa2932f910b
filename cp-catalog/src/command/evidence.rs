//! What a change of owner rests on.

use crate::bounds::Bounds;
use crate::id::{DataPosition, Epoch, Fence, RangeKey};
use cp_seam::MemberId;

/// Moves write authority from one member to another.
///
/// Refused in this order: unknown range, owner mismatch, stale epoch, stale
/// version, invalid candidate, missing evidence, evidence for another candidate,
/// watermark not covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Which range.
    pub range: RangeKey,
    /// The owner that the writer saw. It becomes a replica.
    pub from: MemberId,
    /// What else the writer saw.
    pub fence: Fence,
    /// A hot replica: the owner to be.
    pub to: MemberId,
    /// That it is safe. Without it the transfer is refused.
    pub evidence: Option<Evidence>,
}

/// That a candidate holds everything that was acknowledged to users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whose evidence it is.
    pub candidate: MemberId,
    /// How far its copy is.
    pub applied: DataPosition,
    /// Up to where the range's writes were acknowledged.
    pub watermark: DataPosition,
    /// That the old owner accepts no more writes; a handoff and the cutover of a
    /// move need it.
    pub closed_gate: Option<ClosedGate>,
}

impl Evidence {
    /// Up to where the candidate must be: the watermark, or the last write that passed the
    /// gate if that is further.
    pub fn needed(&self) -> DataPosition {
        self.closed_gate.as_ref().map_or(self.watermark, |gate| gate.last.max(self.watermark))
    }

    /// Whether the candidate is that far.
    pub fn covers(&self) -> bool {
        self.applied.covers(self.needed())
    }
}

/// The old owner's acknowledgement that it accepts no more writes to one range. It says nothing of
/// what was split off from that range later: each part's gate is closed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedGate {
    /// Which range's. For any other it counts for nothing.
    pub range: RangeKey,
    /// The epoch under which it closed.
    pub epoch: Epoch,
    /// Its last write.
    pub last: DataPosition,
}

impl ClosedGate {
    /// Whether it is the gate of `range` under `epoch`.
    pub fn is_of(&self, range: &RangeKey, epoch: Epoch) -> bool {
        self.range == *range && self.epoch == epoch
    }
}

/// Gives a range to an archive of it.
///
/// Refused in this order: privilege if it is forced, unknown range, fence, no archive,
/// checksum, bounds, watermark not covered. The last is passed by force, with a reason, and
/// what is skipped is part of the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Which range.
    pub range: RangeKey,
    /// What the writer saw.
    pub fence: Fence,
    /// Whose archive.
    pub archive: MemberId,
    /// What was restored.
    pub proof: RestoreProof,
    /// Why it is to be taken although it lacks writes. Takes the privilege to force.
    pub forced: Option<String>,
}

/// What was restored from an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProof {
    /// The checksum of what was restored.
    pub checksum: [u8; 32],
    /// The checksum recorded when it was archived.
    pub recorded: [u8; 32],
    /// The keys that were restored.
    pub bounds: Bounds,
    /// Up to where its writes are there.
    pub restored: DataPosition,
    /// Up to where the range's writes were acknowledged.
    pub watermark: DataPosition,
}
