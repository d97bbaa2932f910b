//! The steps of one range, one after the other, each under a fence that was just read.

use super::control::ControlPlane;
use super::data::{CopyOrder, DataPlane, Fault};
use super::report::{Blocked, Done, Obstacle, Skipped};
use cp_catalog::plan::{Awaits, Step};
use cp_catalog::{
    DataPosition, Effect, Evidence, Fence, GroupName, GroupRefusal, OwnershipCommand, Range, RangeKey, RangeStanding,
    Refusal, Role, StandingRefusal, Verdict,
};
use cp_seam::MemberId;

/// How often a deletion is tried while others change its range.
const DELETIONS_MAX: usize = 8;

/// What a step is about: steps about the same go in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Range(RangeKey),
    Group(GroupName),
}

impl Subject {
    pub(super) fn of(command: &OwnershipCommand) -> Option<Self> {
        if let OwnershipCommand::ReassignAuthority { group, .. } = command {
            return Some(Self::Group(group.clone()));
        }
        fenced(command).map(|(range, _)| Self::Range(range.clone()))
    }
}

/// The range that a planned command is about, and what it expects of it.
pub(super) fn fenced(command: &OwnershipCommand) -> Option<(&RangeKey, Fence)> {
    use OwnershipCommand as Command;
    match command {
        Command::Handoff(transfer) | Command::Promote(transfer) => Some((&transfer.range, transfer.fence)),
        Command::AddReplica(edit)
        | Command::RemoveReplica(edit)
        | Command::AddArchive(edit)
        | Command::RemoveArchive(edit) => Some((&edit.range, edit.fence)),
        Command::BeginMove { range, fence, .. }
        | Command::AdvanceMove { range, fence, .. }
        | Command::CompleteMove { range, fence, .. }
        | Command::ResolveMove { range, fence, .. }
        | Command::AbortMove { range, fence } => Some((range, *fence)),
        _ => None,
    }
}

/// What is shown for a command.
fn evidence(command: &OwnershipCommand) -> Option<&Evidence> {
    use OwnershipCommand as Command;
    match command {
        Command::Handoff(transfer) | Command::Promote(transfer) => transfer.evidence.as_ref(),
        Command::CompleteMove { evidence, .. } | Command::ResolveMove { evidence, .. } => evidence.as_ref(),
        _ => None,
    }
}

/// What became of the steps of one range: the first that is not done ends them.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) done: Vec<Done>,
    pub(super) skipped: Option<Skipped>,
    pub(super) blocked: Option<Blocked>,
}

/// Why a step is not done.
enum Stop {
    /// The range is not where the plan left it.
    Changed(Option<RangeStanding>),
    Obstacle(Obstacle),
}

impl From<Obstacle> for Stop {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

/// What the steps of one range have come to know.
#[derive(Debug, Default)]
struct Known {
    /// What every copy must hold: the last write of the owner before.
    floor: Option<DataPosition>,
    /// Its owner has closed its gate, and nobody has taken over.
    shut: bool,
}

pub(super) struct Course<'a> {
    pub(super) control: &'a dyn ControlPlane,
    pub(super) data: &'a dyn DataPlane,
}

impl Course<'_> {
    pub(super) async fn run(&self, steps: Vec<Step>) -> Progress {
        let (mut progress, mut known) = (Progress::default(), Known::default());
        for step in steps {
            match self.step(&step, &mut known).await {
                Ok(effect) => progress.done.push(Done { step, effect }),
                Err(Stop::Changed(now)) => {
                    progress.skipped = Some(Skipped { step: Box::new(step), now });
                    break;
                }
                Err(Stop::Obstacle(why)) => {
                    progress.blocked = Some(Blocked::Step { step: Box::new(step), why, shut: known.shut });
                    break;
                }
            }
        }
        progress
    }

    async fn step(&self, step: &Step, known: &mut Known) -> Result<Effect, Stop> {
        let Some((key, fence)) = fenced(&step.command) else { return self.propose(step.command.clone()).await };
        let range = self.read(key, fence).await?;
        let command = match &step.awaits {
            None => step.command.clone(),
            Some(Awaits::Caught { members, watermark, .. }) => {
                for member in members {
                    self.bring_up(key, &range, member, (*watermark).max(known.floor)).await?;
                }
                // Copying took its time; what is dropped now may be needed by now.
                self.read(key, fence).await?;
                step.command.clone()
            }
            Some(Awaits::Shown { candidate, watermark, .. }) => {
                let Some(needed) = (*watermark).max(known.floor) else {
                    return Err(Obstacle::Unseen { candidate: candidate.clone() }.into());
                };
                let applied = self.bring_up(key, &range, candidate, Some(needed)).await?;
                self.read(key, fence).await?;
                let (candidate, watermark) = (candidate.clone(), needed);
                step.with_evidence(Evidence { candidate, applied, watermark, closed_gate: None })
            }
            Some(Awaits::Cutover { candidate, watermark, .. }) => {
                // While the owner still writes, so that its gate is closed only for the rest.
                self.bring_up(key, &range, candidate, *watermark).await?;
                let range = self.read(key, fence).await?;
                step.with_evidence(self.cut_over(key, &range, candidate, *watermark, known).await?)
            }
        };
        let shown = evidence(&command).map(Evidence::needed);
        let effect = self.propose(command).await?;
        known.floor = known.floor.max(shown);
        known.shut = false;
        Ok(effect)
    }

    /// Closes the owner's gate and brings the candidate up to its last write.
    async fn cut_over(
        &self,
        key: &RangeKey,
        range: &Range,
        candidate: &MemberId,
        watermark: Option<DataPosition>,
        known: &mut Known,
    ) -> Result<Evidence, Stop> {
        let owner = &range.owner;
        let gate = self.data.close(key, &range.standing()).await.map_err(|fault| Obstacle::Close {
            owner: owner.clone(),
            epoch: range.epoch,
            reason: reason(&fault),
        })?;
        if gate.range != *key {
            return Err(Obstacle::OtherRange { owner: owner.clone(), found: gate.range }.into());
        }
        if gate.epoch != range.epoch {
            let (owner, expected) = (owner.clone(), range.epoch);
            return Err(Obstacle::OtherGate { owner, expected, found: gate.epoch }.into());
        }
        known.shut = true;
        let needed = watermark.map_or(gate.last, |watermark| watermark.max(gate.last));
        let applied = self.bring_up(key, range, candidate, Some(needed)).await?;
        Ok(Evidence { candidate: candidate.clone(), applied, watermark: needed, closed_gate: Some(gate) })
    }

    /// Brings the copy of `member` up to `until` at the least.
    pub(super) async fn bring_up(
        &self,
        key: &RangeKey,
        range: &Range,
        member: &MemberId,
        until: Option<DataPosition>,
    ) -> Result<DataPosition, Obstacle> {
        let role = range.role(member).unwrap_or(Role::Replica);
        let until = until.filter(|_| role != Role::Archive);
        let order = CopyOrder { range: key.clone(), standing: range.standing(), member: member.clone(), role, until };
        let applied = self.data.copy(&order).await.map_err(|fault| Obstacle::Copy {
            member: member.clone(),
            until,
            reason: reason(&fault),
        })?;
        match until {
            Some(needed) if !applied.covers(needed) => Err(Obstacle::Short { member: member.clone(), applied, needed }),
            _ => Ok(applied),
        }
    }

    /// The range as it is now, if that is where the plan left it.
    async fn read(&self, key: &RangeKey, fence: Fence) -> Result<Range, Stop> {
        let now = self.control.range(key).await.map_err(|fault| Obstacle::Unread { reason: reason(&fault) })?;
        match now {
            Some(range) if range.fence() == fence => Ok(range),
            other => Err(Stop::Changed(other.map(|range| range.standing()))),
        }
    }

    async fn propose(&self, command: OwnershipCommand) -> Result<Effect, Stop> {
        let verdict = self.control.submit(command.into()).await;
        match verdict.map_err(|fault| Obstacle::Undecided { reason: reason(&fault) })? {
            Verdict::Done(effect) => Ok(effect),
            // Others were faster, since it was read.
            Verdict::Refused(Refusal::Standing(
                StandingRefusal::StaleEpoch { current, .. }
                | StandingRefusal::StaleVersion { current, .. }
                | StandingRefusal::OwnerMismatch { current, .. },
            )) => Err(Stop::Changed(Some(current))),
            Verdict::Refused(
                Refusal::Standing(StandingRefusal::UnknownRange { .. })
                | Refusal::Group(GroupRefusal::StaleAuthority { .. }),
            ) => Err(Stop::Changed(None)),
            Verdict::Refused(refusal) => Err(Obstacle::Refused(Box::new(refusal)).into()),
        }
    }

    /// Deletes what `member` keeps of a range that exists and in which it has no role. A
    /// range that does not exist may live on in another, with its data. A member that knows
    /// better than what was read refuses, so it is read again.
    pub(super) async fn delete(
        &self,
        range: RangeKey,
        member: MemberId,
    ) -> Result<Option<(RangeKey, MemberId)>, Box<Blocked>> {
        let failed = |fault: &Fault| {
            let (range, member) = (range.clone(), member.clone());
            Box::new(Blocked::Delete { range, member, reason: reason(fault) })
        };
        let mut refused: Option<(RangeStanding, Fault)> = None;
        for _ in 0..DELETIONS_MAX {
            let now = self.control.range(&range).await.map_err(|fault| failed(&fault))?;
            let Some(standing) = now.filter(|now| now.role(&member).is_none()).map(|now| now.standing()) else {
                return Ok(None);
            };
            if refused.as_ref().is_some_and(|(then, _)| *then == standing) {
                break;
            }
            match self.data.delete(&range, &member, &standing).await {
                Ok(()) => return Ok(Some((range, member))),
                Err(fault) => refused = Some((standing, fault)),
            }
        }
        refused.map_or(Ok(None), |(_, fault)| Err(failed(&fault)))
    }
}

/// The fault and what caused it, in one line.
pub(super) fn reason(fault: &Fault) -> String {
    cp_driver::chain(fault.as_ref())
}
