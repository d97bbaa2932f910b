//! The tasks around openraft: what it is now goes to the driver; what it does
//! not do by itself, or not well (hand over, make room for others when this node
//! has no vote any more or has lost its quorum, let a witness stand last, send
//! heartbeats) is done here.

use crate::network::Exchange;
use crate::snapshot::Shadow;
use crate::timing;
use crate::translate;
use crate::types::{Types, Vote};
use cp_driver::{EngineView, Host};
use cp_seam::{ControlPlaneRole, Incarnation, MemberKind, Term};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::{RaftMetrics, ServerState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// openraft, bound.
pub(crate) type Raft = openraft::Raft<Types, Shadow>;

/// Publishes what openraft is, on every change, until it ends, and stops the node
/// if it ended by itself.
pub(crate) async fn publish(host: Arc<Host>, raft: Raft) {
    let mut metrics = raft.metrics();
    let mut published = None;
    loop {
        let (view, ended, heir) = {
            let now = metrics.borrow_and_update();
            (view(&now), now.running_state.clone().err(), heir(&now))
        };
        if let Some(fatal) = ended {
            return host.halt(&format!("openraft has stopped: {}", cp_driver::chain(&fatal)));
        }
        if published != Some(view) {
            published = Some(view);
            host.publish(view);
        }
        if let Some(heir) = heir {
            tracing::info!(%heir, "leading without a vote; standing aside");
            step_down(&raft, view.term, heir).await;
        }
        if metrics.changed().await.is_err() {
            return host.halt("openraft has ended without a reason; it may have panicked");
        }
    }
}

fn view(metrics: &RaftMetrics<Types>) -> EngineView {
    let role = match metrics.state {
        ServerState::Leader => ControlPlaneRole::Leader,
        ServerState::Candidate => ControlPlaneRole::Candidate,
        ServerState::Follower | ServerState::Learner | ServerState::Shutdown => ControlPlaneRole::Follower,
    };
    EngineView { role, term: Term(metrics.current_term), leader: metrics.current_leader.map(Incarnation) }
}

/// Who should lead instead of a leader that has no vote in the newest, committed
/// configuration: the voter with the longest log. openraft would lead on.
fn heir(metrics: &RaftMetrics<Types>) -> Option<Incarnation> {
    let newest = &metrics.membership_config;
    let settled = newest.log_id() == metrics.committed_membership_config.log_id();
    let votes = || newest.membership().get_joint_config().iter().any(|half| half.contains(&metrics.id));
    if metrics.state != ServerState::Leader || !settled || votes() {
        return None;
    }
    let matched = |voter: u64| metrics.replication.as_ref().and_then(|all| all.get(&voter)).copied().flatten();
    newest.membership().voter_ids().max_by_key(|voter| (matched(*voter), std::cmp::Reverse(*voter))).map(Incarnation)
}

/// Lets go of leadership in `term` by granting `heir` the next one, whether it
/// stands or not. Nothing is lost by it: the grant is a vote like any other
/// (CP-S3), and this node follows whoever is elected.
async fn step_down(raft: &Raft, term: Term, heir: Incarnation) {
    let last = raft.data_metrics().borrow_watched().last_log;
    let vote = Vote::new(term.0.saturating_add(1), heir.0);
    let request = VoteRequest { leadership_transfer: true, ..VoteRequest::new(vote, last) };
    match raft.vote(request).await {
        Ok(response) => tracing::debug!(%heir, granted = response.vote_granted, "leadership let go"),
        Err(error) => tracing::debug!(error = cp_driver::chain(&error), "leadership was not let go"),
    }
}

/// Asks `to` to take over, until it has agreed, this node no longer leads in
/// `term`, or the time for it is up.
///
/// openraft's own transfer is not used: it ends the leader's writes and
/// heartbeats for good, so a target that does not answer costs the leadership.
/// Here the leader leads on; the target stands with the leader's word for it,
/// which voters grant in spite of the lease they gave. What is appended
/// meanwhile can make the target's log too short to win: that costs an election,
/// so the driver takes no proposals meanwhile.
pub(crate) async fn hand_over(host: Arc<Host>, raft: Raft, exchange: Arc<Exchange>, term: Term, to: Incarnation) {
    let until = Instant::now() + timing::transfer_deadline(host.settings());
    let pause = host.settings().heartbeat;
    while host.view().term == term && Instant::now() < until {
        let last = raft.data_metrics().borrow_watched().last_log;
        match exchange.transfer(to, term, last.as_ref().map(translate::position)).await {
            Some(refusal) if refusal.is_empty() => return,
            Some(refusal) => tracing::debug!(%to, refusal, "leadership was not taken over yet"),
            None => tracing::debug!(%to, "an offer of leadership was not answered"),
        }
        sleep(pause).await;
    }
}

/// When this node last heard a leader, or helped one to be elected.
#[derive(Debug)]
pub(crate) struct Ear(Mutex<Instant>);

impl Ear {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    pub(crate) fn heard(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silent_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Has a leader heard of every [`Settings::heartbeat`](cp_driver::Settings::heartbeat),
/// and one that nobody answers keep still with everything.
///
/// openraft has one setting for how often it sends a heartbeat and how long it waits
/// for the answer, so that a way longer than the rhythm would cost the lease. A leader
/// that has lost its quorum and is heard all the same keeps everybody from electing
/// another (CP-L1); openraft would still its heartbeats, and not the records that it
/// sends again and again.
pub(crate) async fn beat(host: Arc<Host>, raft: Raft, exchange: Arc<Exchange>) {
    let mut lost: Option<Instant> = None;
    loop {
        let leads = host.view().role == ControlPlaneRole::Leader;
        lost = if leads && !host.in_touch() { lost.or_else(|| Some(Instant::now())) } else { None };
        exchange.keep_still(lost.is_some_and(|since| timing::keeps_still(host.settings(), since.elapsed())));
        if leads && let Err(error) = raft.trigger().heartbeat().await {
            return tracing::debug!(error = cp_driver::chain(&error), "no more heartbeats");
        }
        sleep(host.settings().heartbeat).await;
    }
}

/// A witness stands last: openraft's own timer is off on it, and it stands only
/// when nobody has led for twice the election timeout (CP-M2, CP-L1).
pub(crate) async fn stand_last(host: Arc<Host>, raft: Raft, ear: Arc<Ear>) {
    let patience = host.settings().election_timeout;
    loop {
        let me = host.me();
        let newest = host.store().configurations().pop().map(|(_, configuration)| configuration).unwrap_or_default();
        let witness = newest.member(me).is_some_and(|member| member.kind == MemberKind::Witness);
        raft.runtime_config().elect(!witness);
        let leads = host.view().role == ControlPlaneRole::Leader;
        if witness && !leads && newest.is_voter(me) && ear.silent_for() > patience * 2 {
            ear.heard();
            if let Err(error) = raft.trigger().elect(true).await {
                return tracing::debug!(error = cp_driver::chain(&error), "a witness no longer stands");
            }
        }
        sleep(patience / 4).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommittedLeaderId, LogId, Membership, StoredMembership};
    use std::collections::BTreeMap;

    fn at(index: u64) -> Option<LogId> {
        Some(LogId::new(CommittedLeaderId::new(3), index))
    }

    /// Node 1 leads; its configuration at 7 has these voters, and itself as a learner.
    fn leading(voters: &[u64], committed: u64) -> RaftMetrics<Types> {
        let membership = Membership::new_with_defaults(vec![voters.iter().copied().collect()], [1]);
        let stored = |index| Arc::new(StoredMembership::new(at(index), membership.clone()));
        let mut metrics = RaftMetrics::new_initial(1);
        metrics.state = ServerState::Leader;
        metrics.membership_config = stored(7);
        metrics.committed_membership_config = stored(committed);
        metrics.replication = Some(BTreeMap::from([(2, at(8)), (3, at(9)), (4, None)]));
        metrics
    }

    /// CP-M1: a leader without a vote makes room once that is final, for the longest log.
    #[test]
    fn a_leader_without_a_vote_has_an_heir() {
        assert_eq!(heir(&leading(&[2, 3, 4], 7)), Some(Incarnation(3)));
        assert_eq!(heir(&leading(&[2, 3, 4], 5)), None, "its removal is not final yet");
        assert_eq!(heir(&leading(&[1, 2, 3], 7)), None, "it has a vote");
        let follower = RaftMetrics { state: ServerState::Follower, ..leading(&[2, 3], 7) };
        assert_eq!(heir(&follower), None);
    }
}
