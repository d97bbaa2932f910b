//! Removing members: in order, or by force once they are gone for good.

use super::super::connection::{self, decide, named};
use super::super::output::{self, Format, Report, Tone, count};
use super::super::plan::{explain_expulsion, expulsion};
use super::One;
use anyhow::Result;
use clap::Args;
use cp_catalog::plan::Plan;
use cp_catalog::{Effect, MemberLife, MembershipCommand, OwnershipCommand, Refusal, Verdict};
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
others. Then `range promote` what a replica has, `range restore` or `range force` what none has, and
run it again: once nothing is left, it is removed.")]
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
        let Self { member, incarnation, removed, released, awaiting, blocked } = self;
        let mut lines = vec![match removed {
            true => format!("{member}#{incarnation} removed by force; released in {released} steps"),
            false => format!("{member}#{incarnation} is expelled; released in {released} steps, and this is left:"),
        }];
        lines.extend(awaiting.clone());
        lines.extend(blocked.iter().map(|text| format!("{} {text}", Tone::Bad.paint("blocked:"))));
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
        let client = self.one.connection.client()?;
        let life = connection::member(&client, &self.one.member).await?.life();
        let command = MembershipCommand::ForceRemove { member: life.clone(), reason, reachable: BTreeSet::new() };
        let decision = decide(&client, command).await?;
        let report = match decision.verdict {
            Verdict::Done(Effect::Removed { .. }) => expelled(&life, 0, &Plan::default()),
            _ => release(&client, &life).await?,
        };
        output::print(&report, format)
    }
}

fn expelled(life: &MemberLife, released: usize, left: &Plan) -> Expelled {
    Expelled {
        member: life.id.to_string(),
        incarnation: life.incarnation.0.to_string(),
        removed: left.is_done(),
        released: released.to_string(),
        awaiting: left.steps.iter().map(ToString::to_string).collect(),
        blocked: left.blockers.iter().map(ToString::to_string).collect(),
    }
}

/// Takes every step that awaits nothing, and removes the member once nothing is left.
async fn release(client: &Client, life: &MemberLife) -> Result<Expelled> {
    let mut released = 0;
    let mut left = expulsion(client, &life.id).await?;
    for _ in 0..ROUNDS_MAX {
        let ready: Vec<_> = left.steps.iter().filter(|step| step.awaits.is_none()).map(|s| s.command.clone()).collect();
        if ready.is_empty() {
            break;
        }
        released += take(client, ready).await?;
        left = expulsion(client, &life.id).await?;
    }
    if left.is_done() {
        decide(client, MembershipCommand::Remove { member: life.clone(), reachable: BTreeSet::new() }).await?;
    }
    Ok(expelled(life, released, &left))
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
