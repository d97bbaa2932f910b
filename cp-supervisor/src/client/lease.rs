//! Leases, asked for by the member whose they are.

use super::route::Attempt;
use super::{Client, ClientError, newer};
use crate::api::convert;
use crate::api::messages::{
    AwaitingQuery, AwaitingRange, CloseGateRequest, CloseGateResult, Query, ReadResult, Refused, RefusedCode,
    RenewLeaseRequest, RenewLeaseResult,
};
use crate::leases::Clock;
use cp_catalog::{ClosedGate, Epoch, MemberLife};
use cp_lease::{Awaiting, Monotonic, Renewal};
use cp_seam::{Generation, MemberId};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;

/// A renewal, and from when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// What the leader granted.
    pub renewal: Renewal,
    /// When the request that it answers was sent.
    pub sent_at: Monotonic,
}

/// Why a lease was not renewed, or a closed gate not noted; by what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// This life of the member is over, or has not begun. Stop.
    #[error("{reason}")]
    NotAMember {
        /// What the leader said.
        reason: String,
    },
    /// An earlier life may hold a lease. Ask again then.
    #[error("an earlier life of this member may hold a lease for {remaining:?}; ask again then")]
    EarlierLife {
        /// For how long.
        remaining: Duration,
    },
    /// The certificate is no member's. Stop, and use the member's own.
    #[error("{reason}")]
    Denied {
        /// What the node said.
        reason: String,
    },
    /// Nobody answered that leads, or it refused.
    #[error(transparent)]
    Client(#[from] ClientError),
}

type Asked<T> = Attempt<Result<T, LeaseError>>;

impl Client {
    /// Has the leader renew the leases of `life`, whose certificate this client has. Tries for
    /// at most `within`, and no node for longer than `patience`.
    ///
    /// Guarantees: the time is read before the request is sent that was answered. Dropping the
    /// future loses a renewal and nothing else.
    pub async fn renew_lease(
        &self,
        life: &MemberLife,
        generation: Generation,
        clock: &Arc<dyn Clock>,
        within: Duration,
        patience: Duration,
    ) -> Result<Renewed, LeaseError> {
        let request =
            RenewLeaseRequest { incarnation: life.incarnation.0, generation: convert::wire_generation(generation) };
        let answered = self.route.call_within(within, patience, |node, _| {
            let (request, life, clock) = (request.clone(), life.clone(), Arc::clone(clock));
            async move {
                let sent_at = clock.now();
                match node.caller.renew_lease(tonic::Request::new(request)).await.map(|reply| reply.result) {
                    Ok(Some(RenewLeaseResult::Renewed(message))) => match convert::renewal(life, message) {
                        Ok(renewal) => Attempt::Done(Ok(Renewed { renewal, sent_at })),
                        Err(reason) => Attempt::Fail(ClientError::Server { reason }),
                    },
                    Ok(Some(RenewLeaseResult::EarlierLife(wait))) => {
                        Attempt::Done(Err(LeaseError::EarlierLife { remaining: Duration::from_nanos(wait) }))
                    }
                    Ok(Some(RenewLeaseResult::Redirect(redirect))) => Attempt::Elsewhere(redirect),
                    Ok(Some(RenewLeaseResult::Refused(refused))) => not_granted(refused),
                    Ok(None) => Attempt::Fail(newer()),
                    Err(status) => Attempt::status(&status, true),
                }
            }
            .boxed()
        });
        answered.await?
    }

    /// Tells the leader that `life`, whose certificate this client has, closed `gate`, and says
    /// whether that mattered: its successor need not wait for its lease.
    ///
    /// Tell nobody before the gate is durably closed. To say it twice does no harm. Dropping the
    /// future leaves open whether it was noted.
    pub async fn close_gate(
        &self,
        life: &MemberLife,
        generation: Generation,
        gate: &ClosedGate,
    ) -> Result<bool, LeaseError> {
        let request = CloseGateRequest {
            incarnation: life.incarnation.0,
            generation: convert::wire_generation(generation),
            range: convert::range_name(gate.range.clone()),
            epoch: gate.epoch.0,
            last_term: gate.last.term,
            last_lsn: gate.last.lsn,
        };
        let answered = self.route.call(self.within, |node, _| {
            let request = request.clone();
            async move {
                match node.caller.close_gate(tonic::Request::new(request)).await.map(|reply| reply.result) {
                    Ok(Some(CloseGateResult::Noted(matters))) => Attempt::Done(Ok(matters)),
                    Ok(Some(CloseGateResult::Redirect(redirect))) => Attempt::Elsewhere(redirect),
                    Ok(Some(CloseGateResult::Refused(refused))) => not_granted(refused),
                    Ok(None) => Attempt::Fail(newer()),
                    Err(status) => Attempt::status(&status, true),
                }
            }
            .boxed()
        });
        answered.await?
    }
}

/// What waits before it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Until the leases of earlier leaders are over. Until then all that moved waits, unless a
    /// gate was closed for it.
    pub settles_in: Duration,
    /// Ranges whose new owner waits for an earlier one besides; some thousands of them at most.
    pub ranges: Vec<Awaiting>,
}

impl Client {
    /// The ranges whose new owners wait for an earlier one, by the leader's book.
    pub async fn awaiting(&self) -> Result<Awaited, ClientError> {
        let answer = self.ask(Query::Awaiting(AwaitingQuery {}), false).await?;
        let ReadResult::Awaiting(message) = answer.value else { return Err(newer()) };
        let bad = |reason: String| ClientError::Server { reason };
        let one = |one: AwaitingRange| {
            let range = convert::range_key(&one.range)?;
            let member = |name: &str| MemberId::new(name).map_err(|bad| bad.to_string());
            let (owner, earlier) = (member(&one.owner)?, member(&one.earlier)?);
            let remaining = Duration::from_nanos(one.remaining_ns);
            Ok::<_, String>(Awaiting { range, owner, epoch: Epoch(one.epoch), earlier, remaining })
        };
        let ranges = message.ranges.into_iter().map(one).collect::<Result<_, _>>().map_err(bad)?;
        Ok(Awaited { settles_in: Duration::from_nanos(message.settles_in_ns), ranges })
    }
}

fn not_granted<T>(refused: Refused) -> Asked<T> {
    match refused.code() {
        RefusedCode::NotAMember => Attempt::Done(Err(LeaseError::NotAMember { reason: refused.message })),
        RefusedCode::Denied => Attempt::Done(Err(LeaseError::Denied { reason: refused.message })),
        _ => Attempt::refused(refused),
    }
}
