//! How a member's leases are renewed, and its closed gates noted.
//!
//! Who it is says its certificate, and nobody else may speak for it: a lease is a member's own
//! (CP-S5), and a gate that somebody else called closed would let two write.

use super::convert;
use super::messages::{
    AwaitingRange, AwaitingRanges, CloseGateRequest, CloseGateResult, GenerationMessage, ReadResult, Redirect, Refused,
    RefusedCode, RenewLeaseRequest, RenewLeaseResult,
};
use super::server::{NodeApi, refused};
use crate::leases;
use cp_catalog::{ClosedGate, DataPosition, Epoch, MemberLife, Principal};
use cp_lease::{Awaiting, GrantRefusal};
use cp_seam::Incarnation;

/// The most ranges that are told of at once.
const AWAITING_MAX: usize = 4096;

impl NodeApi {
    pub(super) async fn renewed(&self, principal: &Principal, request: &RenewLeaseRequest) -> RenewLeaseResult {
        let desk = self.supervisor.leases();
        let life = match self.own_life(principal, request.incarnation, &request.generation) {
            Ok(life) => life,
            Err(why) => return why.map_or_else(RenewLeaseResult::Refused, RenewLeaseResult::Redirect),
        };
        match desk.renew(&life).await {
            Ok(renewal) => RenewLeaseResult::Renewed(convert::renewal_message(renewal)),
            Err(leases::Refused::Grant(GrantRefusal::EarlierLife { remaining, .. })) => {
                RenewLeaseResult::EarlierLife(convert::nanos(remaining))
            }
            Err(why) => self.no_lease(why).map_or_else(RenewLeaseResult::Refused, RenewLeaseResult::Redirect),
        }
    }

    pub(super) async fn noted(&self, principal: &Principal, request: &CloseGateRequest) -> CloseGateResult {
        let life = match self.own_life(principal, request.incarnation, &request.generation) {
            Ok(life) => life,
            Err(why) => return why.map_or_else(CloseGateResult::Refused, CloseGateResult::Redirect),
        };
        let range = match convert::range_key(&request.range) {
            Ok(range) => range,
            Err(why) => return CloseGateResult::Refused(refused(RefusedCode::Invalid, why)),
        };
        let last = DataPosition { term: request.last_term, lsn: request.last_lsn };
        let gate = ClosedGate { range, epoch: Epoch(request.epoch), last };
        match self.supervisor.leases().close(&life, &gate).await {
            Ok(matters) => CloseGateResult::Noted(matters),
            Err(why) => self.no_lease(why).map_or_else(CloseGateResult::Refused, CloseGateResult::Redirect),
        }
    }

    /// The ranges whose new owners wait, by this leader's book.
    pub(super) fn awaiting(&self) -> ReadResult {
        let desk = self.supervisor.leases();
        let (Some(status), Some(awaiting)) = (desk.status(), desk.awaiting(AWAITING_MAX)) else {
            let why = "this leader has begun no book of leases yet; try again shortly";
            return ReadResult::Refused(refused(RefusedCode::Busy, why));
        };
        let range = |one: Awaiting| AwaitingRange {
            range: convert::range_name(one.range),
            owner: one.owner.to_string(),
            epoch: one.epoch.0,
            earlier: one.earlier.to_string(),
            remaining_ns: convert::nanos(one.remaining),
        };
        let settles_in_ns = convert::nanos(status.settles_in);
        ReadResult::Awaiting(AwaitingRanges { ranges: awaiting.into_iter().map(range).collect(), settles_in_ns })
    }

    /// The life that the caller says it is, of the member that it has proved to be.
    ///
    /// Errors: where to go instead, or a refusal that needs no leader: that the certificate is no
    /// member's, or that the caller's generation is over.
    fn own_life(
        &self,
        principal: &Principal,
        incarnation: u64,
        generation: &GenerationMessage,
    ) -> Result<MemberLife, Result<Redirect, Refused>> {
        let Principal::Member(id) = principal else {
            let why =
                format!("{principal} is no member, and leases are their owners' own; use the member's certificate");
            self.supervisor.leases().note_denied();
            return Err(Err(refused(RefusedCode::Denied, why)));
        };
        let generation = convert::generation(generation).map_err(|why| Err(refused(RefusedCode::Invalid, why)))?;
        let here = self.identity.generation;
        if here.number < generation.number {
            // Left behind by a recovery: it knows nobody of that generation.
            return Err(Ok(self.redirect(None)));
        }
        if generation != here {
            let why =
                format!("{id} is of generation {}, the cluster of {}; begin anew", generation.number, here.number);
            return Err(Err(refused(RefusedCode::NotAMember, why)));
        }
        Ok(MemberLife { id: id.clone(), incarnation: Incarnation(incarnation) })
    }

    fn no_lease(&self, why: leases::Refused) -> Result<Redirect, Refused> {
        let code = match &why {
            leases::Refused::NotLeader { leader } => return Ok(self.redirect(leader.clone())),
            leases::Refused::Unconfirmed | leases::Refused::Grant(GrantRefusal::Unconfirmed { .. }) => {
                RefusedCode::NoQuorum
            }
            leases::Refused::Stopped { .. } => RefusedCode::Stopped,
            leases::Refused::Grant(GrantRefusal::NotAMember { .. }) => RefusedCode::NotAMember,
            leases::Refused::Policy(_) | leases::Refused::Grant(_) => RefusedCode::Unspecified,
        };
        Err(refused(code, why.to_string()))
    }
}
