//! Plans: what a drain, a failover or a rebalance would propose, and running them.

use super::connection::{self, Connection};
use super::exit::invalid;
use super::output::{self, Format, Report, Tone};
use anyhow::Result;
use clap::Args;
use cp_catalog::Catalog;
use cp_catalog::plan::{MOVES_MAX, Observed, Plan, Step, expel};
use cp_seam::MemberId;
use cp_supervisor::client::{Answer, Client};
use cp_supervisor::describe::describe;
use cp_supervisor::executor::{self, Goal, ObservedFile, Settings};
use serde::Serialize;
use std::path::PathBuf;

/// Whether it is done or only shown.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct How {
    /// Print what would be proposed, and propose nothing
    #[arg(long)]
    dry_run: bool,
    /// Propose it step by step, as far as what was observed allows
    #[arg(long)]
    run: bool,
}

/// What was seen of the data, which the cluster does not know.
#[derive(Debug, Clone, Args)]
pub(crate) struct Seen {
    /// Positions, closed gates, loads and disks, as JSON (or TOML, by its name); see
    /// docs/operating.md. A step that needs what is not in it is not done
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
}

impl Seen {
    pub(crate) fn is_given(&self) -> bool {
        self.observed.is_some()
    }

    fn read(&self) -> Result<ObservedFile> {
        let Some(path) = &self.observed else { return Ok(ObservedFile::default()) };
        ObservedFile::read(path).map_err(|bad| invalid("--observed", cp_driver::chain(&bad)))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Rebalance {
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    seen: Seen,
    /// How many moves and new copies may be under way at a time
    #[arg(long, value_name = "COUNT", default_value_t = MOVES_MAX)]
    moves_max: usize,
    #[command(flatten)]
    connection: Connection,
}

/// A plan, as it is printed.
#[derive(Debug, Serialize)]
struct Planned {
    applied: String,
    stale: bool,
    steps: Vec<PlannedStep>,
    blockers: Vec<String>,
    warnings: Vec<String>,
    /// What the plan rests on.
    note: String,
}

#[derive(Debug, Serialize)]
struct PlannedStep {
    command: &'static str,
    about: String,
    text: String,
    /// What must be shown or done first.
    awaits: Option<String>,
}

const POSITIONS_UNSEEN: &str = "the cluster does not know how far the copies are: each handoff awaits its evidence";
const LOADS_UNSEEN: &str = "the cluster does not know loads or disks: all ranges, and all disks, count as equal";
const FENCED_UNSEEN: &str = "the cluster does not know how far the copies are: each promotion awaits its evidence";

impl Planned {
    fn new(plan: &Plan, state: &Answer<Catalog>, seen: &Seen, unseen: &str) -> Self {
        let step = |step: &Step| {
            let (command, about) = describe(&step.command.clone().into());
            PlannedStep {
                command,
                about,
                text: step.to_string(),
                awaits: step.awaits.as_ref().map(ToString::to_string),
            }
        };
        Self {
            applied: state.applied.to_string(),
            stale: state.stale,
            steps: plan.steps.iter().map(step).collect(),
            blockers: plan.blockers.iter().map(ToString::to_string).collect(),
            warnings: plan.warnings.iter().map(ToString::to_string).collect(),
            note: match &seen.observed {
                Some(file) => format!("what was observed is what {} says", file.display()),
                None => unseen.to_owned(),
            },
        }
    }
}

impl Report for Planned {
    const KIND: &'static str = "plan";

    fn render(&self) -> String {
        let mut lines: Vec<String> =
            self.steps.iter().enumerate().map(|(at, step)| format!("{}. {}", at + 1, step.text)).collect();
        let label = |tone: Tone, word: &str, text: &String| format!("{} {text}", tone.paint(word));
        lines.extend(self.blockers.iter().map(|text| label(Tone::Bad, "blocked:", text)));
        lines.extend(self.warnings.iter().map(|text| label(Tone::Warn, "warning:", text)));
        if self.steps.is_empty() && self.blockers.is_empty() {
            lines.insert(0, "nothing is to be done".to_owned());
        } else {
            lines.push(format!("(nothing was proposed; {})", self.note));
        }
        output::labelled(lines.join("\n"), self.stale, &self.applied)
    }
}

/// What a run has done, as it is printed.
#[derive(Debug, Serialize)]
struct Ran {
    finished: bool,
    done: Vec<String>,
    skipped: Vec<String>,
    blocked: Vec<String>,
    warnings: Vec<String>,
}

impl Report for Ran {
    const KIND: &'static str = "plan_run";

    fn render(&self) -> String {
        let label = |tone: Tone, word: &str, text: &String| format!("{} {text}", tone.paint(word));
        let mut lines: Vec<String> = self.done.iter().map(|text| label(Tone::Good, "done:", text)).collect();
        lines.extend(self.skipped.iter().map(|text| label(Tone::Warn, "skipped:", text)));
        lines.extend(self.blocked.iter().map(|text| label(Tone::Bad, "blocked:", text)));
        lines.extend(self.warnings.iter().map(|text| label(Tone::Warn, "warning:", text)));
        if self.finished {
            lines.push("nothing is left to do".to_owned());
        }
        lines.join("\n")
    }
}

fn words<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Shows the plan for `goal`, or runs it; an error if not all of it is done.
pub(crate) async fn bring_about(
    connection: &Connection,
    goal: &Goal,
    how: How,
    seen: &Seen,
    warnings: Vec<String>,
    format: Format,
) -> Result<()> {
    let (client, file) = (connection.client()?, seen.read()?);
    if !how.run {
        let state = client.catalog().await?;
        let mut observed = file.observed().clone();
        goal.mark(&mut observed);
        let unseen = if matches!(goal, Goal::Rebalance { .. }) { LOADS_UNSEEN } else { POSITIONS_UNSEEN };
        let mut planned = Planned::new(&goal.plan(&state.value, &observed), &state, seen, unseen);
        planned.warnings.extend(warnings);
        return output::print(&planned, format);
    }
    if connection.stale() {
        return Err(invalid("--stale", "a run goes by what was acknowledged; leave it out"));
    }
    let report = Box::pin(executor::run(&client, &file, goal, Settings::default())).await?;
    let (done, skipped) = (words(&report.done), words(&report.skipped));
    let (blocked, mut all) = (words(&report.blocked), words(&report.warnings));
    all.extend(warnings);
    output::print(&Ran { finished: report.finished, done, skipped, blocked, warnings: all }, format)?;
    if report.finished {
        return Ok(());
    }
    Err(anyhow::anyhow!("not all of it is done; mend what is blocked, and run it again: it goes on from there"))
}

impl Rebalance {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let goal = Goal::Rebalance { moves_max: self.moves_max };
        bring_about(&self.connection, &goal, self.how, &self.seen, Vec::new(), format).await
    }
}

/// Shows or runs the drain of `member`.
pub(crate) async fn drain(
    connection: &Connection,
    member: MemberId,
    run: bool,
    seen: &Seen,
    format: Format,
) -> Result<()> {
    connection::member(&connection.client()?, member.as_str()).await?;
    let how = How { dry_run: !run, run };
    bring_about(connection, &Goal::Drain(member), how, seen, Vec::new(), format).await
}

/// Prints what would be proposed once `member` is removed by force.
pub(crate) async fn explain_expulsion(connection: &Connection, member: &MemberId, format: Format) -> Result<()> {
    let client = connection.client()?;
    connection::member(&client, member.as_str()).await?;
    let state = client.catalog().await?;
    let plan = expel(&state.value, &Observed::default(), member);
    let unseen = Seen { observed: None };
    output::print(&Planned::new(&plan, &state, &unseen, FENCED_UNSEEN), format)
}

/// What is to be done so that nothing of `member` is left, by the state as it is now.
pub(crate) async fn expulsion(client: &Client, member: &MemberId) -> Result<Plan> {
    Ok(expel(&client.catalog().await?.value, &Observed::default(), member))
}
