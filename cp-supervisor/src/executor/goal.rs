//! What a run is to bring about.

use cp_catalog::plan::{Condition, Health, Observed, Plan, drain, failover, finish, rebalance};
use cp_catalog::{Catalog, RangeKey, Role};
use cp_seam::MemberId;
use std::collections::BTreeSet;

/// What a run is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The member owns and holds nothing and decides on nothing, so that it can be removed.
    Drain(MemberId),
    /// No range has a lost owner, and no group a lost authority.
    Failover {
        /// Who has failed, and who may take over.
        health: Health,
        /// When that is judged, on the clock of `health`.
        now_ms: u64,
        /// Who is lost besides, whatever was heard.
        lost: BTreeSet<MemberId>,
    },
    /// Every member owns its share, ranges have the copies that they want, and nothing is
    /// half done.
    Rebalance {
        /// How many moves and new copies may be under way at a time.
        moves_max: usize,
    },
    /// Nothing is half done: no move is in flight, no range has an owner with a closed gate.
    Finish,
}

impl Goal {
    /// What to propose for it.
    pub fn plan(&self, catalog: &Catalog, observed: &Observed) -> Plan {
        match self {
            Self::Drain(member) => drain(catalog, observed, member),
            Self::Failover { health, now_ms, .. } => failover(catalog, observed, health, *now_ms),
            Self::Finish => finish(catalog, observed),
            Self::Rebalance { moves_max } => {
                let mut first = finish(catalog, observed);
                let busy: BTreeSet<_> =
                    first.steps.iter().filter_map(|step| super::Subject::of(&step.command)).collect();
                let then = rebalance(catalog, observed, *moves_max);
                let free = |subject: Option<super::Subject>| subject.is_none_or(|subject| !busy.contains(&subject));
                first.steps.extend(then.steps.into_iter().filter(|step| free(super::Subject::of(&step.command))));
                first.blockers.extend(then.blockers);
                first.warnings.extend(then.warnings);
                first
            }
        }
    }

    /// The ranges that it is about, whose data must be seen for [`plan`](Self::plan).
    pub fn ranges(&self, catalog: &Catalog, observed: &Observed) -> Vec<RangeKey> {
        let owned = |member: &MemberId| {
            let held = catalog.held_by(member).filter(|(_, role, _)| *role == Role::Owner);
            held.map(|(key, ..)| key).collect::<Vec<_>>()
        };
        match self {
            Self::Drain(member) => catalog.held_by(member).map(|(key, ..)| key).collect(),
            Self::Failover { .. } => {
                let lost = self.lost(catalog, observed);
                lost.iter().filter(|member| catalog.holdings(member).owned > 0).flat_map(owned).collect()
            }
            Self::Rebalance { .. } | Self::Finish => catalog
                .collections()
                .flat_map(|spec| catalog.ranges(&spec.name).map(|range| RangeKey::new(spec.name.clone(), range.id)))
                .collect(),
        }
    }

    /// The members that are taken for lost: by what was seen, or by the goal.
    pub fn lost(&self, catalog: &Catalog, observed: &Observed) -> BTreeSet<MemberId> {
        let failed = |member: &MemberId| match self {
            Self::Failover { health, now_ms, lost } => {
                lost.contains(member) || matches!(health.condition(member, *now_ms), Condition::Failed { .. })
            }
            _ => false,
        };
        let members = catalog.members().map(|member| &member.id);
        members.filter(|member| observed.is_lost(member) || failed(member)).cloned().collect()
    }

    /// Notes who is lost because the goal says so.
    pub fn mark(&self, observed: &mut Observed) {
        if let Self::Failover { lost, .. } = self {
            lost.iter().for_each(|member| observed.members.entry(member.clone()).or_default().lost = true);
        }
    }
}
