//! Brings the engine's configuration into line with the quorum that the state
//! machine wants (CP-M1): one committed step at a time, planned afresh by
//! whoever leads, so that an interrupted change is finished by the next leader.

use crate::engine::Engine;
use crate::host::Host;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneWatch, Incarnation, LogPosition, MemberKind, Quorum, QuorumMember};
use cp_store::Configuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How far behind the committed index a learner may be when its vote begins to count.
const CAUGHT_UP_WITHIN: u64 = 64;

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
    pub(crate) matched: &'a [(Incarnation, ControlPlaneLogIndex)],
}

impl Situation<'_> {
    /// The next step towards the wanted quorum. Pure.
    pub(crate) fn plan(&self) -> Step {
        let (at, newest) = self.newest;
        if at.index > self.committed || self.wanted.voters.is_empty() {
            return Step::Rest;
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
        let strangers: Vec<_> =
            self.wanted.voters.iter().filter(|m| newest.member(m.incarnation).is_none()).cloned().collect();
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

    /// Who should lead instead of this witness: it leads only while no data voter
    /// can (CP-M2). Pure.
    pub(crate) fn relief(&self) -> Option<Incarnation> {
        let (at, newest) = self.newest;
        let witness = newest.voters.iter().any(|m| m.incarnation == self.me && m.kind == MemberKind::Witness);
        if !witness || newest.is_joint() || at.index > self.committed {
            return None;
        }
        let data: Vec<_> = newest.voters.iter().filter(|m| m.kind == MemberKind::Data).cloned().collect();
        self.heir(&data)
    }

    fn matched(&self, member: Incarnation) -> Option<ControlPlaneLogIndex> {
        self.matched.iter().find(|(who, _)| *who == member).map(|(_, matched)| *matched)
    }

    fn caught_up(&self, member: Incarnation) -> bool {
        self.matched(member).is_some_and(|matched| matched.0.saturating_add(CAUGHT_UP_WITHIN) >= self.committed.0)
    }

    /// The caught-up member of `among` that is furthest; a data member before a witness.
    fn heir(&self, among: &[QuorumMember]) -> Option<Incarnation> {
        heir(among, self.me, self.matched).filter(|heir| self.caught_up(*heir))
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

fn holds(members: &[QuorumMember], incarnation: Incarnation) -> bool {
    members.iter().any(|m| m.incarnation == incarnation)
}

fn same(a: &[QuorumMember], b: &[QuorumMember]) -> bool {
    a.iter().map(|m| m.incarnation).eq(b.iter().map(|m| m.incarnation))
}

/// Takes steps while this node leads, until it stops.
pub(crate) async fn run(host: Arc<Host>, engine: Arc<dyn Engine>) {
    let mut status = host.board.watch();
    let retry = host.settings().election_timeout;
    let mut relief_from = Instant::now();
    loop {
        let now = status.current();
        let step = if now.serving { plan(&host, engine.as_ref(), now.settled, &mut relief_from) } else { Step::Rest };
        let pause = match step {
            Step::Rest if now.serving && (!now.settled || is_witness(&host)) => retry,
            Step::Rest => Duration::MAX,
            Step::Reconfigure(next) => {
                if let Err(error) = engine.reconfigure(next).await {
                    tracing::debug!(error = crate::chain(&error), "a configuration step was not taken");
                }
                retry
            }
            Step::HandOver(heir) => {
                host.begin_transfer(heir);
                if let Err(error) = engine.transfer(heir).await {
                    tracing::debug!(error = crate::chain(&error), %heir, "leadership was not handed over");
                    host.end_transfer();
                }
                retry
            }
        };
        tokio::select! {
            () = host.until_halted() => return,
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How many election timeouts a witness that was not relieved serves before it tries again.
const RELIEF_PAUSE: u32 = 4;

fn plan(host: &Host, engine: &dyn Engine, settled: bool, relief_from: &mut Instant) -> Step {
    let relieving = Instant::now() >= *relief_from && is_witness(host);
    if settled && !relieving {
        return Step::Rest;
    }
    let newest = host.newest_configuration();
    let wanted = Arc::clone(&host.books().wanted);
    let mut matched = engine.matched();
    // What a member held that has not been heard of lately says nothing of what it can do now.
    matched.retain(|(who, _)| *who == host.me() || host.in_touch(*who));
    let committed = host.durable_committed();
    let situation = Situation { newest: &newest, committed, wanted: &wanted, me: host.me(), matched: &matched };
    if relieving && let Some(heir) = situation.relief() {
        *relief_from = Instant::now() + host.settings().election_timeout * RELIEF_PAUSE;
        return Step::HandOver(heir);
    }
    situation.plan()
}

fn is_witness(host: &Host) -> bool {
    let newest = host.newest_configuration();
    newest.1.voters.iter().any(|m| m.incarnation == host.me() && m.kind == MemberKind::Witness)
}

#[cfg(test)]
mod tests;
