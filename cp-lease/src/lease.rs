//! What a leader grants, and what a member's gates make of it.

use crate::instant::{Margin, Monotonic};
use cp_catalog::{Epoch, MemberLife, RangeKey};
use cp_seam::{ControlPlaneLogIndex, MemberId, Term};
use std::time::Duration;

/// For one range: until when its owner may write under an epoch, on the owner's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The term of the leader that granted it. A newer one alone ends no lease.
    pub term: Term,
    /// The range.
    pub range: RangeKey,
    /// Who may write.
    pub owner: MemberId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// When the owner sent the request that this answers.
    pub granted_at: Monotonic,
    /// The first instant at which it is over.
    pub expires_at: Monotonic,
}

impl Lease {
    /// Whether it is over at `now`, for a clock that may be `margin` slow.
    ///
    /// ```
    /// # use cp_catalog::{CollectionName, Epoch, RangeId, RangeKey};
    /// # use cp_lease::{Lease, Margin, Monotonic};
    /// # use std::time::Duration;
    /// # let range = RangeKey::new(CollectionName::new("books")?, RangeId(1));
    /// # let (owner, at) = (cp_seam::MemberId::new("a")?, Monotonic::from_nanos);
    /// # let (term, epoch) = (cp_seam::Term(1), Epoch(1));
    /// let lease = Lease { term, range, owner, epoch, granted_at: at(0), expires_at: at(100) };
    /// let margin = Margin::new(Duration::from_nanos(10));
    /// assert_eq!([89, 90].map(|now| lease.is_over(at(now), margin)), [false, true]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_over(&self, now: Monotonic, margin: Margin) -> bool {
        now.saturating_add(margin.length()) >= self.expires_at
    }
}

/// One answer to one member: it renews the leases of everything that the member
/// owned at an index of the log, whatever the number of ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The term of the leader that grants it.
    pub term: Term,
    /// Whom it is for.
    pub owner: MemberLife,
    /// The index as of which the leader looked at what the member owns.
    pub as_of: ControlPlaneLogIndex,
    /// How long it lasts, counted from when the member sent the request.
    pub length: Duration,
    /// Which ranges it is about.
    pub coverage: Coverage,
    /// After how long another renewal will cover more, if that is known.
    pub more_in: Option<Duration>,
}

/// Which of the ranges that a member owned at [`Renewal::as_of`] are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// All of them, but for some.
    Owned {
        /// Ranges whose former owner may still write, or whose gate is closed. Ascending.
        withheld: Vec<RangeKey>,
    },
    /// Those for which the member has had a lease under the present epoch already:
    /// the leader is new, and cannot tell whom its predecessors left with a lease.
    InEffect {
        /// Others, whose former owners are known to have stopped. Ascending.
        released: Vec<(RangeKey, Epoch)>,
    },
}

impl Renewal {
    /// The lease that it is for one range.
    pub(crate) fn lease(&self, range: &RangeKey, epoch: Epoch, sent_at: Monotonic) -> Lease {
        Lease {
            term: self.term,
            range: range.clone(),
            owner: self.owner.id.clone(),
            epoch,
            granted_at: sent_at,
            expires_at: sent_at.saturating_add(self.length),
        }
    }
}
