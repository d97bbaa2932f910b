//! Runs plans: drains a member, fails over, evens the load, step by step.
//!
//! A plan (`cp_catalog::plan`) is what to propose; running it also takes what the control
//! plane does not do: closing gates, copying data, deleting it. An embedder supplies that
//! as a [`DataPlane`], and [`run`] brings a [`Goal`] about:
//!
//! 1. It reads the state and what the data plane has seen, and plans.
//! 2. The steps of one range go in order, those of several ranges beside each other. Before
//!    each step, and again after each copy, the range is read anew: if it is not where the
//!    plan left it, its steps are skipped, and no gate of it is closed.
//! 3. What is proposed carries that fence, so that the state has the last word (CP-S5).
//! 4. It plans again, until nothing is left to do or nothing more can be done.
//!
//! It keeps nothing of its own. Whoever runs it again after a crash, anywhere, finds all
//! that was half done in the state and in the data plane: a move in flight, a gate that
//! was closed, a copy that nobody has a role for.

mod control;
mod data;
mod file;
mod goal;
mod planning;
mod report;
mod steps;

pub use control::{ControlPlane, Local};
pub use data::{CopyOrder, DataPlane, Fault};
pub use file::{BadObservedFile, ObservedFile, position, range_key};
pub use goal::Goal;
pub use report::{Blocked, Done, Obstacle, Report, Skipped};

use cp_catalog::plan::Step;
use cp_catalog::{MemberRefusal, MembershipCommand, Refusal, Service, Verdict};
use cp_seam::MemberId;
use futures::{FutureExt, StreamExt, stream};
use planning::Memory;
use std::collections::BTreeMap;
use steps::{Course, Progress, Subject};

/// How a run goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many ranges are worked on at a time.
    pub concurrency: usize,
    /// How often it plans. Each round but the last does or learns something, so that this is
    /// only reached when others keep changing what it works on.
    pub rounds_max: usize,
}

impl Default for Settings {
    /// 4 ranges at a time, 256 rounds.
    fn default() -> Self {
        Self { concurrency: 4, rounds_max: 256 }
    }
}

/// The run could not go on. What it did is in the state; run it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The control plane does not answer.
    #[error("the state cannot be read; run this again once a leader serves, it goes on where it stopped")]
    State(#[source] Fault),
    /// The data plane does not say what it has seen.
    #[error("the data plane does not say where the copies are; run this again once it does")]
    Data(#[source] Fault),
    /// The member to be drained could not be set to take no new ranges.
    #[error("{member} cannot be drained")]
    Drain {
        /// Who.
        member: MemberId,
        /// Why.
        #[source]
        why: Fault,
    },
}

/// Brings `goal` about, as far as it can be.
///
/// A drain first has the state give the member no new ranges. At the end the copies are
/// deleted that the data plane has and nobody has a role for. Returns what was done, what
/// was skipped because others changed it, and what stands in the way, each by name.
///
/// Guarantees: write authority moves only after the owner's gate was closed and the next
/// owner's copy has its last write, or by a promotion, for which the state demands
/// evidence (CP-S5); a copy is dropped only once those that replace it are whole; nothing
/// is proposed under a fence that was not just read. A range whose gate it has closed does
/// not wait for one candidate that cannot be reached, if there is another. Two runs at once do no harm: each
/// step takes effect for one of them.
///
/// Dropping the future stops it between any two effects: what was proposed may still be
/// committed, and a call of the data plane goes on or not as that has it. Running it again
/// goes on.
pub async fn run(
    control: &dyn ControlPlane,
    data: &dyn DataPlane,
    goal: &Goal,
    settings: Settings,
) -> Result<Report, RunError> {
    let executor = Executor { course: Course { control, data }, settings };
    if let Goal::Drain(member) = goal {
        executor.stop_placing(member).await?;
    }
    let (mut report, mut memory) = (Report::default(), Memory::default());
    for _ in 0..settings.rounds_max {
        let (plan, mut blocked) = executor.plan(goal, &mut memory).await?;
        report.finished = plan.is_done();
        report.warnings = plan.warnings;
        let mut gone_on = false;
        for progress in executor.execute(plan.steps).await {
            gone_on |= !progress.done.is_empty() || progress.skipped.is_some();
            gone_on |= progress.blocked.as_ref().is_some_and(|blocked| memory.learn(blocked));
            report.done.extend(progress.done);
            report.skipped.extend(progress.skipped);
            blocked.extend(progress.blocked);
        }
        report.blocked = blocked;
        if !gone_on {
            break;
        }
    }
    executor.clear(&mut report).await;
    report.finished &= report.blocked.is_empty();
    Ok(report)
}

struct Executor<'a> {
    course: Course<'a>,
    settings: Settings,
}

impl Executor<'_> {
    /// Has the state give `member` nothing more.
    async fn stop_placing(&self, member: &MemberId) -> Result<(), RunError> {
        let refused = |why: Fault| RunError::Drain { member: member.clone(), why };
        let reading = self.course.control.state().await.map_err(RunError::State)?;
        let Some(record) = reading.catalog.member(member) else {
            return Err(refused(Refusal::Member(MemberRefusal::NotAMember { member: member.clone() }).into()));
        };
        if record.service == Service::Draining {
            return Ok(());
        }
        let command = MembershipCommand::Drain { member: record.life() };
        match self.course.control.submit(command.into()).await.map_err(refused)? {
            Verdict::Done(_) => Ok(()),
            Verdict::Refused(refusal) => Err(refused(refusal.into())),
        }
    }

    async fn execute(&self, steps: Vec<Step>) -> Vec<Progress> {
        let mut at: BTreeMap<Option<Subject>, usize> = BTreeMap::new();
        let mut groups: Vec<Vec<Step>> = Vec::new();
        for step in steps {
            let next = groups.len();
            let index = *at.entry(Subject::of(&step.command)).or_insert(next);
            match groups.get_mut(index) {
                Some(group) => group.push(step),
                None => groups.push(vec![step]),
            }
        }
        let courses = groups.into_iter().map(|steps| self.course.run(steps));
        self.beside_each_other(courses).await
    }

    /// Deletes the copies that nobody has a role for.
    async fn clear(&self, report: &mut Report) {
        let orphans = match self.course.data.orphans().await {
            Ok(orphans) => orphans,
            Err(why) => return report.blocked.push(Blocked::Orphans { reason: steps::reason(&why) }),
        };
        let deletions = orphans.into_iter().map(|(range, member)| self.course.delete(range, member));
        for deletion in self.beside_each_other(deletions).await {
            match deletion {
                Ok(deleted) => report.deleted.extend(deleted),
                Err(blocked) => report.blocked.push(*blocked),
            }
        }
    }

    /// Awaits all, so many at a time as is set, and none for the sake of order; the results
    /// are in order.
    async fn beside_each_other<T>(&self, futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let numbered = futures.enumerate().map(|(number, future)| future.map(move |result| (number, result)));
        let at_a_time = self.settings.concurrency.max(1);
        let mut results: Vec<_> = stream::iter(numbered).buffer_unordered(at_a_time).collect().await;
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
