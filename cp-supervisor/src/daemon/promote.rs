//! The leader gives caught-up members their vote.
//!
//! One that stands by, because it was admitted so or demoted, is left alone.

use crate::supervisor::Supervisor;
use cp_catalog::{Join, Member, MembershipCommand, Request, Service, Verdict, Voting};
use cp_seam::Standing;
use std::sync::Arc;
use std::time::Duration;

/// A learner lagging at most this far counts as caught up; the rest follows at the speed of the log.
const LAG_MAX_ENTRIES: u64 = 64;
/// How often the learners are looked at.
const EVERY: Duration = Duration::from_millis(200);
/// How long one promotion may take to be decided.
const WAIT: Duration = Duration::from_secs(5);

/// Promotes while this node leads, until it stops.
pub(super) async fn run(supervisor: Arc<Supervisor>) {
    let mut watch = supervisor.consensus().watch();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while watch.current().stopped.is_none() {
        ticks.tick().await;
        if supervisor.consensus().is_leader()
            && watch.current().settled
            && let Some(member) = ready(&supervisor)
        {
            promote(&supervisor, &member).await;
        }
    }
}

/// A member that is to vote, and can: joined, not draining, close behind, and in touch.
fn ready(supervisor: &Supervisor) -> Option<Member> {
    let progress = supervisor.consensus().progress();
    let committed = supervisor.consensus().committed_index();
    let catalog = supervisor.read_stale().catalog;
    progress
        .into_iter()
        .filter(|p| p.standing == Standing::Learner && p.last_ack.is_some_and(|age| age <= supervisor.patience()))
        .filter(|p| p.matched.0.saturating_add(LAG_MAX_ENTRIES) >= committed.0)
        .filter_map(|p| catalog.member(&p.member).filter(|m| m.incarnation == p.incarnation))
        .find(|m| m.voting == Voting::CatchingUp && m.join == Join::Joined && m.service == Service::Active)
        .cloned()
}

async fn promote(supervisor: &Supervisor, member: &Member) {
    // Without an id: a second one finds the member voting and changes nothing.
    let request = Request::new(None, MembershipCommand::SetVoting { member: member.life() });
    match supervisor.submit(request, WAIT).await {
        Ok(decision) => match decision.verdict {
            Verdict::Done(_) => tracing::info!(member = %member.life(), "caught up; it votes now"),
            Verdict::Refused(refusal) => tracing::warn!(member = %member.life(), %refusal, "not promoted"),
        },
        Err(error) => tracing::info!(member = %member.life(), error = cp_driver::chain(&error), "not promoted yet"),
    }
}
