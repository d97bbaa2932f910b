//! Planners: what to propose so that a member can go, a lost owner is replaced, or
//! the load is even.
//!
//! | want | go to |
//! |---|---|
//! | let a member go | [`drain`] |
//! | replace owners that are lost | [`Health`], [`failover`] |
//! | release what a member has that is gone for good | [`expel`] |
//! | end what an interrupted run left half done | [`finish`] |
//! | even out the load | [`rebalance`] |
//!
//! A planner looks at a [`Catalog`] and at what its caller has [`Observed`] of the data,
//! which the control plane does not know. It changes nothing and decides nothing: it
//! proposes commands, each under the fence that the steps before it leave, and the state
//! checks every one again. The same state and observations give the same plan; ties go
//! to the lowest name. There are no clocks here and no floating point: times are passed
//! in, as milliseconds of a clock that never goes back.

mod authorities;
mod draft;
mod drain;
mod evacuate;
mod expel;
mod failover;
mod finish;
mod health;
mod observed;
mod pool;
mod rebalance;
mod report;
mod sites;

pub use drain::drain;
pub use expel::expel;
pub use failover::failover;
pub use finish::finish;
pub use health::{Condition, Health, HealthSettings, Heard};
pub use observed::{MemberObserved, Observed, RangeObserved};
pub use rebalance::{MOVES_MAX, rebalance};
pub use report::{Blocker, NoTarget, Reason, Several, Warning};
pub use sites::LOAD_MAX;

#[cfg(doc)]
use crate::catalog::Catalog;
use crate::command::{Evidence, OwnershipCommand};
use crate::id::{DataPosition, Epoch, RangeKey};
use cp_seam::MemberId;
use std::fmt;

/// What to propose, and what stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In the order in which they are proposed: a step's fence counts on those before it.
    pub steps: Vec<Step>,
    /// What the plan cannot bring about.
    pub blockers: Vec<Blocker>,
    /// What an operator should know before running it.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Whether there is nothing to do and nothing in the way.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.blockers.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_done() {
            f.write_str("nothing is to be done\n")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", number.saturating_add(1))?;
        }
        self.blockers.iter().try_for_each(|blocker| writeln!(f, "blocked: {blocker}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

/// One command to propose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to propose. While the step awaits [`Awaits::Cutover`], without its evidence.
    pub command: OwnershipCommand,
    /// What must be so before it is proposed.
    pub awaits: Option<Awaits>,
    /// What it is for.
    pub reason: Reason,
}

impl Step {
    /// What it does, in words.
    pub fn action(&self) -> Action<'_> {
        Action(&self.command)
    }

    /// The command with `evidence`, if it is one that takes some.
    pub fn with_evidence(&self, evidence: Evidence) -> OwnershipCommand {
        let mut command = self.command.clone();
        match &mut command {
            OwnershipCommand::Handoff(transfer) | OwnershipCommand::Promote(transfer) => {
                transfer.evidence = Some(evidence);
            }
            OwnershipCommand::CompleteMove { evidence: given, .. }
            | OwnershipCommand::ResolveMove { evidence: given, .. } => *given = Some(evidence),
            _ => {}
        }
        command
    }
}

/// What a step does, without its reason and what it awaits.
#[derive(Debug, Clone, Copy)]
pub struct Action<'a>(&'a OwnershipCommand);

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use OwnershipCommand as Command;
        match self.0 {
            Command::Handoff(t) => write!(f, "hand range {} from {} to {}", t.range, t.from, t.to),
            Command::Promote(t) => write!(f, "promote {} to own range {} after {}", t.to, t.range, t.from),
            Command::AddReplica(edit) => write!(f, "add {} as replica of range {}", edit.member, edit.range),
            Command::RemoveReplica(edit) => write!(f, "drop {} as replica of range {}", edit.member, edit.range),
            Command::AddArchive(edit) => write!(f, "add {} as archive replica of range {}", edit.member, edit.range),
            Command::RemoveArchive(edit) => {
                write!(f, "drop {} as archive replica of range {}", edit.member, edit.range)
            }
            Command::BeginMove { range, target, .. } => write!(f, "begin to move range {range} to {target}"),
            Command::AdvanceMove { range, phase, .. } => write!(f, "note that the move of range {range} is {phase}"),
            Command::CompleteMove { range, .. } => write!(f, "complete the move of range {range}"),
            Command::ResolveMove { range, .. } => write!(f, "settle the interrupted move of range {range}"),
            Command::AbortMove { range, .. } => write!(f, "abort the move of range {range}"),
            Command::ReassignAuthority { group, holder, .. } => {
                write!(f, "make {holder} the placement authority of group {group}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action(), self.reason)?;
        self.awaits.as_ref().map_or(Ok(()), |awaits| write!(f, "; first {awaits}"))
    }
}

/// What must be so before a step is proposed; the planner has not seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaits {
    /// The owner has closed its gate, and the candidate has all that passed it. This is
    /// the step's evidence, without which the state refuses it.
    Cutover {
        /// Which range.
        range: RangeKey,
        /// Whose gate.
        owner: MemberId,
        /// Under which epoch it closes.
        epoch: Epoch,
        /// Whose position is to be shown.
        candidate: MemberId,
        /// Where the candidate was seen.
        applied: Option<DataPosition>,
        /// What it must cover at the least, if that was seen.
        watermark: Option<DataPosition>,
    },
    /// The candidate is shown to have all that was acknowledged. This is the step's evidence,
    /// without which the state refuses it. The owner is lost: its gate is not waited for.
    Shown {
        /// Which range.
        range: RangeKey,
        /// Whose position is to be shown.
        candidate: MemberId,
        /// Where it was seen.
        applied: Option<DataPosition>,
        /// What it must cover, if that was seen.
        watermark: Option<DataPosition>,
    },
    /// Copies are whole. The state does not know and does not check: without it the
    /// range has fewer whole copies than it wants for a while.
    Caught {
        /// Which range.
        range: RangeKey,
        /// Whose copies.
        members: Vec<MemberId>,
        /// What they must cover, if that was seen.
        watermark: Option<DataPosition>,
    },
}

impl fmt::Display for Awaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cutover { owner, epoch, candidate, applied, watermark, .. } => {
                write!(f, "{owner} closes its gate of epoch {epoch}, and {candidate}")?;
                applied.map_or(Ok(()), |applied| write!(f, " (seen at {applied})"))?;
                f.write_str(" shows a position that covers its last write")?;
                watermark.map_or(Ok(()), |watermark| write!(f, " and the watermark {watermark}"))
            }
            Self::Shown { candidate, applied, watermark, .. } => {
                write!(f, "{candidate}")?;
                applied.map_or(Ok(()), |applied| write!(f, " (seen at {applied})"))?;
                f.write_str(" shows a position that covers the watermark")?;
                watermark.map_or(Ok(()), |watermark| write!(f, " {watermark}"))
            }
            Self::Caught { members, watermark, .. } => {
                report::list(f, members)?;
                f.write_str(if members.len() == 1 { " has a whole copy" } else { " have whole copies" })?;
                watermark.map_or(Ok(()), |watermark| write!(f, ", up to {watermark}"))
            }
        }
    }
}
