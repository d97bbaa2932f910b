//! What the evidence does not show.

use crate::id::{DataPosition, RangeKey};
use crate::range::RangeStanding;
use cp_seam::MemberId;

/// It was not shown to be safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceRefusal {
    /// No evidence was given that the candidate is safe.
    #[error(
        "no evidence that {candidate} may take range {range} ({current}); give its position, the watermark and, while the owner lives, its closed gate"
    )]
    MissingEvidence {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The evidence is about someone else, or about the gate of another range or epoch.
    #[error(
        "the evidence for range {range} is not about {candidate} and this range at its present epoch ({current}); collect it again"
    )]
    OtherEvidence {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The candidate lacks acknowledged writes.
    #[error("{candidate} is at {applied} of range {range}, short of {watermark} ({current}); let it catch up")]
    NotCovered {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// How far it is.
        applied: DataPosition,
        /// How far it must be.
        watermark: DataPosition,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// What was restored is not what was archived.
    #[error(
        "what {archive} restored of range {range} ({current}) has another checksum than what was archived; restore it again"
    )]
    ChecksumDiffers {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// What was restored is of other keys.
    #[error("what {archive} restored has other bounds than range {range} ({current}); restore that range")]
    BoundsDiffer {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// The archive lacks acknowledged writes.
    #[error(
        "{archive} restored range {range} up to {restored}, short of {watermark} ({current}); restore more, or force it and lose the rest"
    )]
    Gap {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// How far it is.
        restored: DataPosition,
        /// How far it must be.
        watermark: DataPosition,
        /// Where the range stands.
        current: RangeStanding,
    },
}
