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
            Err(refusal) => return RenewLeaseResult::Refused(refusal),
        };
        let longest = desk.policy().longest();
        if request.longest_ns != convert::nanos(longest) {
            let theirs = std::time::Duration::from_nanos(request.longest_ns);
            let why = format!(
                "{} counts on leases of at most {theirs:?}, this node on {longest:?}; set lease_longest_ms alike everywhere",
                life.id
            );
            return RenewLeaseResult::Refused(refused(RefusedCode::OtherPolicy, why));
        }
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
            Err(refusal) => return CloseGateResult::Refused(refusal),
        };
        let range = match convert::range_key(&request.range) {
            Ok(range) => range,
            Err(why) => return CloseGateResult::Refused(refused(RefusedCode::Invalid, why)),
        };
        let last = DataPosition { term: request.last_term, lsn: request.last_lsn };
        let gate = ClosedGate { epoch: Epoch(request.epoch), last };
        match self.supervisor.leases().close(&life, &range, gate).await {
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
    fn own_life(
        &self,
        principal: &Principal,
        incarnation: u64,
        generation: &GenerationMessage,
    ) -> Result<MemberLife, Refused> {
        let Principal::Member(id) = principal else {
            let why =
                format!("{principal} is no member, and leases are their owners' own; use the member's certificate");
            return Err(refused(RefusedCode::Denied, why));
        };
        let generation = convert::generation(generation).map_err(|why| refused(RefusedCode::Invalid, why))?;
        let here = self.identity.generation;
        if generation != here {
            let why =
                format!("{id} is of generation {}, the cluster of {}; begin anew", generation.number, here.number);
            return Err(refused(RefusedCode::NotAMember, why));
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
            leases::Refused::Grant(_) => RefusedCode::Unspecified,
        };
        Err(refused(code, why.to_string()))
    }
}
