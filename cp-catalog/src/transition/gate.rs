//! The one gate through which write authority moves: handoff, promotion, and the
//! cutover of a move.

use super::{check_fence, written};
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::{Evidence, Transfer};
use crate::id::RangeKey;
use crate::member::Join;
use crate::range::{Range, Role};
use crate::refusal::{EvidenceRefusal, HolderRefusal, Refusal, RequestRefusal, StandingRefusal};
use cp_seam::MemberId;

/// What is known of the owner that gives up a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It lives, so its gate must be closed first.
    Alive,
    /// It is lost. Its lease keeps it from writing once the new owner writes.
    Lost,
}

impl Catalog {
    /// Handoff and promotion. The first refusal in this order wins: unknown
    /// range, owner, epoch, version, candidate, evidence (there, for this
    /// candidate, covering).
    pub(super) fn transfer(&self, transfer: &Transfer, source: Source) -> Decision {
        let Transfer { range: key, from, fence, to, evidence } = transfer;
        let (_, range) = self.found(key)?;
        if range.owner != *from {
            return Err(Refusal::Standing(StandingRefusal::OwnerMismatch {
                range: key.clone(),
                current: range.standing(),
            }));
        }
        check_fence(key, range, *fence)?;
        let to = self.candidate(key, range, to)?;
        safe(key, range, &to, evidence.as_ref(), source)?;
        written(key, taken_over(self, range, &to)?)
    }

    fn candidate(&self, key: &RangeKey, range: &Range, candidate: &MemberId) -> Result<MemberId, Refusal> {
        let (of, current) = (key.clone(), range.standing());
        match range.role(candidate) {
            Some(Role::Replica) => Ok(self.eligible(candidate)?.id.clone()),
            Some(Role::Owner) => {
                Err(Refusal::Holder(HolderRefusal::AlreadyOwner { range: of, candidate: candidate.clone(), current }))
            }
            Some(Role::Archive) => {
                Err(Refusal::Holder(HolderRefusal::NeedsRestore { range: of, candidate: candidate.clone(), current }))
            }
            None => Err(Refusal::Holder(HolderRefusal::NotInRole {
                range: of,
                member: candidate.clone(),
                role: Role::Replica,
                current,
            })),
        }
    }
}

/// The range once its replica `to` owns it: the owner stays as a replica, unless it is expelled.
pub(crate) fn taken_over(catalog: &Catalog, range: &Range, to: &MemberId) -> Result<Range, Refusal> {
    // A move that the transfer overtakes ends: its target has not caught up.
    let enlisted = range.moving.as_ref().map(|moving| range.replicas.without(&moving.target));
    let replicas = enlisted.as_ref().unwrap_or(&range.replicas);
    // Who is removed by force takes no role any more.
    let leaves = catalog.member(&range.owner).is_some_and(|owner| owner.join == Join::Expelled);
    Ok(Range {
        id: range.id,
        bounds: range.bounds.clone(),
        owner: to.clone(),
        replicas: if leaves { replicas.without(to) } else { replicas.exchanged(to, &range.owner) },
        archives: range.archives.clone(),
        epoch: catalog.epoch_after(range.epoch)?,
        version: range.version.next().ok_or(Refusal::Request(RequestRefusal::Exhausted))?,
        placement: range.placement.clone(),
        moving: None,
    })
}

/// Whether `evidence` shows that `candidate` holds everything that was acknowledged.
pub(super) fn safe(
    key: &RangeKey,
    range: &Range,
    candidate: &MemberId,
    evidence: Option<&Evidence>,
    source: Source,
) -> Result<(), Refusal> {
    let missing = || {
        Refusal::Evidence(EvidenceRefusal::MissingEvidence {
            range: key.clone(),
            candidate: candidate.clone(),
            current: range.standing(),
        })
    };
    let evidence = evidence.ok_or_else(missing)?;
    if evidence.closed_gate.is_none() && source == Source::Alive {
        return Err(missing());
    }
    let other_gate = evidence.closed_gate.as_ref().is_some_and(|gate| !gate.is_of(key, range.epoch));
    if evidence.candidate != *candidate || other_gate {
        return Err(Refusal::Evidence(EvidenceRefusal::OtherEvidence {
            range: key.clone(),
            candidate: candidate.clone(),
            current: range.standing(),
        }));
    }
    let watermark = evidence.needed();
    if !evidence.covers() {
        return Err(Refusal::Evidence(EvidenceRefusal::NotCovered {
            range: key.clone(),
            candidate: candidate.clone(),
            applied: evidence.applied,
            watermark,
            current: range.standing(),
        }));
    }
    Ok(())
}
