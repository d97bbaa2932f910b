//! Keeps the leases of one member renewed.

use super::Terms;
use super::clock::Clock;
use super::closures::{Closures, Failure};
use super::follow::{Over, Source, Told};
use super::gates::Gates;
use crate::client::{Client, ClientError, LeaseError, Renewed};
use cp_catalog::{Join, LongestLease, MemberLife};
use cp_lease::{BadPolicy, Holder, RenewError};
use cp_seam::MemberId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The pause after an attempt that nobody answered.
const PAUSE: Duration = Duration::from_millis(50);
/// The shortest time that one node is waited for.
const PATIENCE_MIN: Duration = Duration::from_millis(50);

/// Renews what a member owns, every third of a lease, and has its [`Gates`] follow the catalog.
///
/// One per member: two processes of one life would both believe in its leases. The lock on a
/// [`ClosureFile`](super::ClosureFile) sees to it; other [`Closures`] have to.
#[derive(Debug)]
pub struct Keeper {
    gates: Gates,
    longest: LongestLease,
    source: Source,
    client: Client,
}

/// Why a keeper could not begin. Nothing was renewed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The state was not to be had.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no such member, or it has not joined.
    #[error("{member} is no joined member; have it join first")]
    NotAMember {
        /// Who.
        member: MemberId,
    },
    /// There are gates of this member in this process already.
    #[error("{member} has a keeper in this process, or gates of one; drop all of them first")]
    InUse {
        /// Who.
        member: MemberId,
    },
    /// What was chosen is nothing that the cluster can have.
    #[error("these leases do not fit the cluster")]
    Policy(#[from] BadPolicy),
    /// What was closed before cannot be told, so nothing may be opened.
    #[error("the gates that {member} has closed cannot be read; mend that first")]
    Closures {
        /// Who.
        member: MemberId,
        /// Why.
        #[source]
        reason: Failure,
    },
}

/// Why a keeper keeps nothing any more. Its gates refuse once their leases are over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperEnd {
    /// The node in this process has stopped.
    #[error("the node in this process has stopped; start it again, and a keeper with it")]
    NodeStopped,
    /// The member is in another life, or none.
    #[error("the life of {life} is over: {reason}; start this process as what the cluster has")]
    LifeOver {
        /// Whose.
        life: MemberLife,
        /// What the leader said.
        reason: String,
    },
    /// The cluster went on in another generation.
    #[error("the cluster has gone on in another generation; begin anew with a keeper of that")]
    OtherGeneration,
    /// The cluster does not serve this certificate.
    #[error("the cluster does not serve this keeper")]
    Refused(#[source] ClientError),
}

impl Keeper {
    /// Begins for `member`: reads the state and what was closed before. Its gates admit nothing
    /// before the keeper [runs](Self::run).
    ///
    /// `client` must have the member's certificate; `terms` say how often it renews, and how wrong
    /// `clock` may be. The longest lease is the cluster's. Dropping the future changes nothing.
    pub async fn begin(
        member: &MemberId,
        source: Source,
        client: Client,
        terms: Terms,
        clock: Arc<dyn Clock>,
        closures: Arc<dyn Closures>,
    ) -> Result<Self, KeeperError> {
        let failed = |reason| KeeperError::Closures { member: member.clone(), reason };
        let closed = closures.kept().await.map_err(failed)?;
        let start = source.start(&client).await?;
        let joined = start.catalog.member(member).is_some_and(|member| member.join == Join::Joined);
        let life = start.life(member).filter(|_| joined);
        let life = life.ok_or_else(|| KeeperError::NotAMember { member: member.clone() })?;
        let longest = start.catalog.longest_lease();
        let policy = terms.policy(longest)?;
        let holder = Holder::new(life.clone(), policy.margin(), start.applied, &start.catalog, closed);
        let gates = Gates::new(life, start.generation, policy, clock, closures, holder);
        Ok(Self { gates, longest, source, client })
    }

    /// The gates that it keeps, for the write path.
    pub fn gates(&self) -> Gates {
        self.gates.clone()
    }

    /// The client that it renews by.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Renews and follows until that is of no use any more, and says why.
    ///
    /// Dropping the future stops it; the gates then refuse once their leases are over. What
    /// goes wrong meanwhile, a lost leader included, is tried again.
    pub async fn run(self) -> KeeperEnd {
        let told = Told::default();
        let followed = self.source.follow(&self.client, &self.gates, &told);
        tokio::select! {
            over = followed => match over {
                Over::Stopped => KeeperEnd::NodeStopped,
                Over::OtherGeneration => KeeperEnd::OtherGeneration,
                Over::Refused(error) => KeeperEnd::Refused(error),
            },
            end = self.renew(&told) => end,
        }
    }

    async fn renew(&self, told: &Told) -> KeeperEnd {
        let (life, policy) = (self.gates.life(), self.gates.policy());
        let patience = (policy.length() / 6).max(PATIENCE_MIN);
        loop {
            let asked =
                self.client.renew_lease(life, self.gates.generation(), self.gates.clock(), policy.length(), patience);
            let next = match asked.await {
                Ok(renewed) => match self.take(&renewed, told).await {
                    Ok(next) => next,
                    Err(reason) => return KeeperEnd::LifeOver { life: life.clone(), reason },
                },
                Err(LeaseError::NotAMember { reason }) => {
                    return KeeperEnd::LifeOver { life: life.clone(), reason };
                }
                Err(LeaseError::EarlierLife { remaining, .. }) => Instant::now() + remaining.min(policy.length() / 3),
                Err(LeaseError::Denied { reason }) => return KeeperEnd::Refused(ClientError::Refused { reason }),
                Err(LeaseError::Client(error @ ClientError::Identity { .. })) => return KeeperEnd::Refused(error),
                Err(error) => {
                    tracing::debug!(error = cp_driver::chain(&error), "a lease is not renewed for now");
                    Instant::now() + PAUSE
                }
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = told.gained.notified() => {}
            }
        }
    }

    /// Has the gates take a renewal once they know what the leader knew, and says when to ask
    /// again; or why this is no life any more.
    async fn take(&self, renewed: &Renewed, told: &Told) -> Result<Instant, String> {
        let Renewed { renewal, sent_at } = renewed;
        let policy = self.gates.policy();
        let third = renewal.length.min(policy.length()) / 3;
        let wait = renewal.more_in.map_or(third, |more| more.min(third)).max(Duration::from_millis(1));
        let next = Instant::now() + wait;
        if renewal.length > self.longest.length() {
            // A successor of that leader would not wait for it.
            tracing::warn!(length = ?renewal.length, longest = %self.longest, "a lease that is too long was not taken");
            return Ok(next);
        }
        let end = Instant::now() + renewal.length;
        let mut lost_at = Instant::now() + third;
        loop {
            match self.gates.renew(renewal, *sent_at) {
                Ok(_) => return Ok(next),
                Err(RenewError::Behind { .. }) => {}
                Err(other) => return Err(other.to_string()),
            }
            tokio::select! {
                () = told.moved.notified() => {}
                () = sleep_until(end) => return Ok(Instant::now()),
                () = sleep_until(lost_at) => {
                    told.stuck.notify_one();
                    lost_at += third.max(PATIENCE_MIN);
                }
            }
        }
    }
}
