//! Moving write authority: handoff, promotion, and moves phase by phase.

use super::super::connection::{Connection, named};
use super::super::exit::invalid;
use super::super::output::Format;
use super::{change, data_position, read};
use anyhow::Result;
use clap::{Args, ValueEnum};
use cp_catalog::{ClosedGate, DataPosition, Evidence, MovePhase, OwnershipCommand, Range, RangeKey, Transfer};
use cp_seam::MemberId;

/// That the candidate holds everything that was acknowledged to users.
#[derive(Debug, Args)]
#[command(next_help_heading = "Evidence")]
struct EvidenceArgs {
    /// How far the candidate's copy is, as term.lsn
    #[arg(long, value_name = "POSITION", value_parser = data_position, requires = "watermark")]
    applied: Option<DataPosition>,
    /// Up to where the range's writes were acknowledged, as term.lsn
    #[arg(long, value_name = "POSITION", value_parser = data_position, requires = "applied")]
    watermark: Option<DataPosition>,
    /// The old owner's last write, once it has closed its gate, as term.lsn
    #[arg(long, value_name = "POSITION", value_parser = data_position, requires = "applied")]
    gate_closed_at: Option<DataPosition>,
}

impl EvidenceArgs {
    fn about(&self, key: &RangeKey, candidate: &MemberId, range: &Range) -> Option<Evidence> {
        let (applied, watermark) = self.applied.zip(self.watermark)?;
        let closed_gate = self.gate_closed_at.map(|last| ClosedGate { range: key.clone(), epoch: range.epoch, last });
        Some(Evidence { candidate: candidate.clone(), applied, watermark, closed_gate })
    }
}

/// Which range goes to whom.
#[derive(Debug, Args)]
struct Authority {
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// The replica that becomes the owner
    #[arg(long, value_name = "MEMBER")]
    to: String,
    #[command(flatten)]
    evidence: EvidenceArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Authority {
    async fn run(self, format: Format, command: impl FnOnce(Transfer) -> OwnershipCommand) -> Result<()> {
        let to: MemberId = named("--to", &self.to)?;
        let client = self.connection.client()?;
        let (key, range) = read(&client, &self.range).await?;
        let evidence = self.evidence.about(&key, &to, &range);
        let transfer = Transfer { range: key, from: range.owner.clone(), fence: range.fence(), to, evidence };
        change(&client, format, command(transfer)).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Handoff {
    #[command(flatten)]
    authority: Authority,
}

impl Handoff {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        self.authority.run(format, OwnershipCommand::Handoff).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    authority: Authority,
}

impl Promote {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        self.authority.run(format, OwnershipCommand::Promote).await
    }
}

/// A step of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Enlist the target as a replica
    Begin,
    /// The target copies a snapshot
    Copying,
    /// The target follows the source's writes
    CatchingUp,
    /// Cut over: the target owns the range, the source leaves it
    Complete,
    /// End it: the source keeps the range
    Abort,
    /// End an interrupted one: by the evidence, the target or else the source has the range
    Resolve,
}

#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// The member that is to own it; for the first step
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Which step
    #[arg(long, value_enum, default_value_t = Step::Begin)]
    step: Step,
    #[command(flatten)]
    evidence: EvidenceArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Move {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let to = self.to.as_deref().map(|name| named::<MemberId>("--to", name)).transpose()?;
        if to.is_none() && self.step == Step::Begin {
            return Err(invalid("--to", "not given; name the member that is to own the range"));
        }
        let client = self.connection.client()?;
        let (key, range) = read(&client, &self.range).await?;
        let target = to.or_else(|| range.moving.as_ref().map(|m| m.target.clone()));
        let fence = range.fence();
        let evidence = target.as_ref().and_then(|target| self.evidence.about(&key, target, &range));
        let command = match (self.step, target) {
            (Step::Begin, Some(target)) => OwnershipCommand::BeginMove { range: key, fence, target },
            (Step::Begin, None) => return Err(invalid("--to", "not given")),
            (Step::Copying, _) => OwnershipCommand::AdvanceMove { range: key, fence, phase: MovePhase::Copying },
            (Step::CatchingUp, _) => OwnershipCommand::AdvanceMove { range: key, fence, phase: MovePhase::CatchingUp },
            (Step::Complete, _) => OwnershipCommand::CompleteMove { range: key, fence, evidence },
            (Step::Abort, _) => OwnershipCommand::AbortMove { range: key, fence },
            (Step::Resolve, _) => OwnershipCommand::ResolveMove { range: key, fence, evidence },
        };
        change(&client, format, command).await
    }
}
