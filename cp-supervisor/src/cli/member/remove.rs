//! Removing members: in order, or by force once they are gone for good.

use super::super::connection::{self, decide, named};
use super::super::exit::invalid;
use super::super::output::{self, Format, Report, Tone, count};
use super::super::plan::{explain_expulsion, expulsion};
use super::One;
use anyhow::{Result, anyhow};
use clap::Args;
use cp_catalog::plan::Plan;
use cp_catalog::{Effect, MemberLife, MemberRefusal, MembershipCommand, OwnershipCommand, Refusal, Verdict};
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use futures::{StreamExt, stream};
use serde::Serialize;
use std::collections::BTreeSet;

/// How many copies are dropped at a time.
const AT_A_TIME: usize = 16;
/// How often what others changed meanwhile is planned anew.
const ROUNDS_MAX: usize = 8;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cp-supervisor member drain n3 && cp-supervisor member remove n3
  cp-supervisor member remove n3 --force --reason 'its disk burnt' --dry-run
  cp-supervisor member remove n3 --force --reason 'its disk burnt'
By force, its vote is taken and its life ends, its copies are dropped and its authorities go to
others. While anything is left, it exits with 1: `range promote` what a replica has, `range restore`
or `range force` what none has, and run it again. Once nothing is left, it is removed.")]
pub(crate) struct Remove {
    #[command(flatten)]
    one: One,
    /// It is gone for good: remove it whatever it owns; takes the privilege to force
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why; goes on record
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
    /// Change nothing; print what would be released, what awaits evidence, and which ranges are
    /// unrecoverable
    #[arg(long, requires = "force")]
    dry_run: bool,
}

/// What became of a member that is removed by force.
#[derive(Debug, Serialize)]
struct Expelled {
    member: String,
    incarnation: String,
    /// Whether it is gone; else something is left to be done first.
    removed: bool,
    /// Whether the engine's quorum does without it already.
    settled: bool,
    /// How many steps were taken: copies dropped, authorities given to others.
    released: String,
    /// Promotions that await evidence.
    awaiting: Vec<String>,
    /// Ranges without a survivor, and what else stands in the way.
    blocked: Vec<String>,
}

impl Report for Expelled {
    const KIND: &'static str = "member_expelled";

    fn render(&self) -> String {
        let Self { member, incarnation, removed, settled, released, awaiting, blocked } = self;
        let mut lines = vec![match removed {
            true => format!("{member}#{incarnation} removed by force; released in {released} steps"),
            false => format!("{member}#{incarnation} is expelled; released in {released} steps, and this is left:"),
        }];
        lines.extend(awaiting.clone());
        lines.extend(blocked.iter().map(|text| format!("{} {text}", Tone::Bad.paint("blocked:"))));
        if !settled {
            lines.push("the quorum has not followed yet, see `cp-supervisor status`".to_owned());
        }
        if !removed {
            let left = count(awaiting.len() + blocked.len(), "thing");
            lines.push(format!("{left} to be done before it is gone; then run this again"));
        }
        lines.join("\n")
    }
}

impl Remove {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let Some(reason) = self.reason.filter(|_| self.force) else {
            let remove = |member| MembershipCommand::Remove { member, reachable: BTreeSet::new() };
            return self.one.change(format, remove).await;
        };
        if self.dry_run {
            let member: MemberId = named("ID", &self.one.member)?;
            return explain_expulsion(&self.one.connection, &member, format).await;
        }
        if self.one.connection.stale() {
            return Err(invalid("--stale", "what is released goes by what was acknowledged; leave it out"));
        }
        let client = self.one.connection.client()?;
        let life = connection::member(&client, &self.one.member).await?.life();
        let command = MembershipCommand::ForceRemove { member: life.clone(), reason, reachable: BTreeSet::new() };
        let decision = decide(&client, command).await?;
        let (released, left) = match decision.verdict {
            Verdict::Done(Effect::Removed { .. }) => (0, None),
            _ => release(&client, &life).await?,
        };
        let settled = decision.settled || client.settled(decision.position.index).await?;
        let report = expelled(&life, settled, released, left.as_ref());
        output::print(&report, format)?;
        if report.removed {
            return Ok(());
        }
        Err(anyhow!("{life} is expelled and not gone; do what is left, and run this again"))
    }
}

fn expelled(life: &MemberLife, settled: bool, released: usize, left: Option<&Plan>) -> Expelled {
    Expelled {
        member: life.id.to_string(),
        incarnation: life.incarnation.0.to_string(),
        removed: left.is_none(),
        settled,
        released: released.to_string(),
        awaiting: left.iter().flat_map(|plan| &plan.steps).map(ToString::to_string).collect(),
        blocked: left.iter().flat_map(|plan| &plan.blockers).map(ToString::to_string).collect(),
    }
}

/// Takes every step that awaits nothing, and removes the member once nothing is left. How many
/// steps that were, and what is left; `None` once the member is gone, whoever removed it.
async fn release(client: &Client, life: &MemberLife) -> Result<(usize, Option<Plan>)> {
    let mut released = 0;
    let mut left = expulsion(client, life).await?;
    for _ in 0..ROUNDS_MAX {
        let steps = left.iter().flat_map(|plan| &plan.steps);
        let ready: Vec<_> = steps.filter(|step| step.awaits.is_none()).map(|step| step.command.clone()).collect();
        if ready.is_empty() {
            break;
        }
        released += take(client, ready).await?;
        left = expulsion(client, life).await?;
    }
    if !left.as_ref().is_some_and(Plan::is_done) {
        return Ok((released, left));
    }
    let remove = MembershipCommand::Remove { member: life.clone(), reachable: BTreeSet::new() };
    match client.submit(remove).await?.verdict {
        Verdict::Done(_)
        | Verdict::Refused(Refusal::Member(
            MemberRefusal::NotAMember { .. } | MemberRefusal::OtherIncarnation { .. },
        )) => Ok((released, None)),
        Verdict::Refused(refusal) => Err(refusal.into()),
    }
}

/// How many of `commands` took effect. One whose range stands elsewhere by now is planned anew.
async fn take(client: &Client, commands: Vec<OwnershipCommand>) -> Result<usize> {
    let mut decided =
        stream::iter(commands.into_iter().map(|command| client.submit(command))).buffer_unordered(AT_A_TIME);
    let mut taken = 0;
    while let Some(decision) = decided.next().await {
        match decision?.verdict {
            Verdict::Done(_) => taken += 1,
            Verdict::Refused(Refusal::Standing(_) | Refusal::Holder(_) | Refusal::Group(_)) => {}
            Verdict::Refused(refusal) => return Err(refusal.into()),
        }
    }
    Ok(taken)
}
