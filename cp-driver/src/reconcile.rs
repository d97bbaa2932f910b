//! Brings the engine's configuration into line with the quorum that the state
//! machine wants (CP-M1): one committed step at a time, planned afresh by
//! whoever leads, so that an interrupted change is finished by the next leader. A
//! leader that is a witness, or is leaving, lets a caught-up member lead (CP-M2).

use crate::engine::Engine;
use crate::host::Host;
use crate::leaving::{hand_over, in_touch};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneWatch, Incarnation, LogPosition, MemberKind, Quorum, QuorumMember};
use cp_store::Configuration;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// How far behind the committed index a learner may be when its vote begins to count.
const CAUGHT_UP_WITHIN: u64 = 64;

/// How many election timeouts a member that did not take over is not asked again.
const DECLINED_FOR: u32 = 10;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, or nothing yet.
    Rest,
    /// Append this configuration.
    Reconfigure(Configuration),
    /// Let this member lead: this node is leaving.
    HandOver(Incarnation),
}

/// What a plan is made from.
#[derive(Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) newest: &'a (LogPosition, Configuration),
    pub(crate) committed: ControlPlaneLogIndex,
    pub(crate) wanted: &'a Quorum,
    pub(crate) me: Incarnation,
    /// How far each member is that is in touch. One that is not gets no vote and inherits nothing.
    pub(crate) matched: &'a [(Incarnation, ControlPlaneLogIndex)],
}

impl Situation<'_> {
    /// The next step towards the wanted quorum. Pure.
    pub(crate) fn plan(&self) -> Step {
        let (at, newest) = self.newest;
        if at.index > self.committed || self.wanted.voters.is_empty() {
            return Step::Rest;
        }
        if newest.voters.iter().any(|m| m.incarnation == self.me && m.kind == MemberKind::Witness) {
            // One that is leaving would only hand over again, to a witness if need be.
            let stays = |m: &&QuorumMember| m.kind == MemberKind::Data && holds(&self.wanted.voters, m.incarnation);
            let data: Vec<_> = newest.voters.iter().filter(stays).cloned().collect();
            if let Some(heir) = self.heir(&data) {
                return Step::HandOver(heir);
            }
        }
        if newest.is_joint() {
            if !holds(&newest.voters, self.me)
                && let Some(heir) = self.heir(&newest.voters)
            {
                return Step::HandOver(heir);
            }
            return Step::Reconfigure(Configuration { outgoing: Vec::new(), ..newest.clone() });
        }
        if newest.is(self.wanted) {
            return Step::Rest;
        }
        if same(&newest.voters, &self.wanted.voters) {
            return Step::Reconfigure(self.wanted.clone().into());
        }
        let all = self.wanted.voters.iter().chain(&self.wanted.learners);
        let strangers: Vec<_> = all.filter(|m| newest.member(m.incarnation).is_none()).cloned().collect();
        if !strangers.is_empty() {
            let mut learners = newest.learners.clone();
            learners.extend(strangers);
            learners.sort();
            return Step::Reconfigure(Configuration { learners, ..newest.clone() });
        }
        if !holds(&self.wanted.voters, self.me) {
            let staying: Vec<_> =
                newest.voters.iter().filter(|m| holds(&self.wanted.voters, m.incarnation)).cloned().collect();
            if let Some(heir) = self.heir(&staying) {
                return Step::HandOver(heir);
            }
        }
        let behind = |m: &&QuorumMember| !holds(&newest.voters, m.incarnation) && !self.caught_up(m.incarnation);
        if self.wanted.voters.iter().any(|m| behind(&m)) {
            return Step::Rest;
        }
        Step::Reconfigure(Configuration {
            voters: self.wanted.voters.clone(),
            outgoing: newest.voters.clone(),
            learners: self.wanted.learners.clone(),
        })
    }

    fn matched(&self, member: Incarnation) -> Option<ControlPlaneLogIndex> {
        self.matched.iter().find(|(who, _)| *who == member).map(|(_, matched)| *matched)
    }

    fn caught_up(&self, member: Incarnation) -> bool {
        self.matched(member).is_some_and(|matched| matched.0.saturating_add(CAUGHT_UP_WITHIN) >= self.committed.0)
    }

    /// The caught-up member of `among` that is furthest; a data member before a witness.
    fn heir(&self, among: &[QuorumMember]) -> Option<Incarnation> {
        let caught_up: Vec<_> = among.iter().filter(|m| self.caught_up(m.incarnation)).cloned().collect();
        heir(&caught_up, self.me, self.matched)
    }
}

/// The furthest member of `among` other than `me`; a data member before a witness, the older incarnation in a tie.
pub(crate) fn heir(
    among: &[QuorumMember],
    me: Incarnation,
    matched: &[(Incarnation, ControlPlaneLogIndex)],
) -> Option<Incarnation> {
    let of = |m: &QuorumMember| matched.iter().find(|(who, _)| *who == m.incarnation).map(|(_, matched)| *matched);
    among
        .iter()
        .filter(|m| m.incarnation != me && of(m).is_some())
        .max_by_key(|m| (std::cmp::Reverse(m.kind), of(m), std::cmp::Reverse(m.incarnation)))
        .map(|m| m.incarnation)
}

/// Whether `next` is one legal step from `from` (CP-M1): into a joint configuration with it, out
/// of one, or beside its voters. Two quorums of one step always meet. The driver plans only such
/// steps, from the newest configuration as it was then; an engine checks against the newest as it
/// is when it appends.
pub fn is_step(from: &Configuration, next: &Configuration) -> bool {
    if from.is_joint() {
        return !next.is_joint() && same(&from.voters, &next.voters) && same(&from.learners, &next.learners);
    }
    if next.is_joint() { same(&from.voters, &next.outgoing) } else { same(&from.voters, &next.voters) }
}

fn holds(members: &[QuorumMember], incarnation: Incarnation) -> bool {
    members.iter().any(|m| m.incarnation == incarnation)
}

fn same(a: &[QuorumMember], b: &[QuorumMember]) -> bool {
    a.iter().map(|m| m.incarnation).eq(b.iter().map(|m| m.incarnation))
}

/// Takes steps while this node leads.
pub(crate) async fn run(host: Arc<Host>, engine: Arc<dyn Engine>) {
    let mut status = host.board.watch();
    let retry = host.settings().election_timeout;
    // Who did not take over, and until when it is not asked again: asking costs service.
    let mut declined = BTreeMap::new();
    loop {
        let now = status.current();
        let at_work = now.serving && (!now.settled || host.is_witness());
        if at_work {
            declined.retain(|_, until| *until > Instant::now());
            match plan(&host, engine.as_ref(), &declined) {
                Step::Rest => {}
                Step::Reconfigure(next) => {
                    match timeout(host.settings().propose_deadline, engine.reconfigure(next)).await {
                        Ok(Ok(position)) => tracing::debug!(%position, "a configuration step was taken"),
                        Ok(Err(error)) => {
                            tracing::debug!(error = crate::chain(&error), "a configuration step was not taken");
                        }
                        Err(_) => tracing::debug!("a configuration step was not placed in time"),
                    }
                }
                Step::HandOver(heir) => {
                    if !hand_over(&host, engine.as_ref(), heir).await {
                        declined.insert(heir, Instant::now() + retry * DECLINED_FOR);
                    }
                }
            }
        }
        let changed = if at_work {
            timeout(retry, status.changed()).await.unwrap_or(Ok(now))
        } else {
            status.changed_beyond_indexes().await
        };
        if changed.is_err() {
            return;
        }
    }
}

fn plan(host: &Host, engine: &dyn Engine, declined: &BTreeMap<Incarnation, Instant>) -> Step {
    let newest = host.newest_configuration();
    let wanted = Arc::clone(&host.books().wanted);
    let mut matched = in_touch(host, engine);
    matched.retain(|(who, _)| !declined.contains_key(who));
    let committed = host.durable_committed();
    Situation { newest: &newest, committed, wanted: &wanted, me: host.me(), matched: &matched }.plan()
}

#[cfg(test)]
mod tests;
