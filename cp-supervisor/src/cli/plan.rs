//! Plans: what a drain or a rebalance would propose, without proposing it.

use super::connection::Connection;
use super::exit::invalid;
use super::output::{self, Format, Report, Tone};
use anyhow::Result;
use clap::Args;
use cp_catalog::Catalog;
use cp_catalog::plan::{MOVES_MAX, Observed, Plan, Step, drain, rebalance};
use cp_recovery::Backup;
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use cp_supervisor::describe::describe;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Rebalance {
    /// Print what would be proposed, and propose nothing
    #[arg(long, required = true)]
    dry_run: bool,
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
    note: &'static str,
}

#[derive(Debug, Serialize)]
struct PlannedStep {
    command: &'static str,
    about: String,
    text: String,
    /// What must be shown or done first.
    awaits: Option<String>,
}

const DRAIN_NOTE: &str = "the cluster does not know how far the copies are: each handoff awaits its evidence";
const REBALANCE_NOTE: &str = "the cluster does not know loads or disks: all ranges, and all disks, count as equal";

impl Planned {
    fn new(plan: &Plan, state: &State, note: &'static str) -> Self {
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
            applied: state.applied.clone(),
            stale: state.stale,
            steps: plan.steps.iter().map(step).collect(),
            blockers: plan.blockers.iter().map(ToString::to_string).collect(),
            warnings: plan.warnings.iter().map(ToString::to_string).collect(),
            note,
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

/// The whole state, as plans need it.
struct State {
    catalog: Catalog,
    applied: String,
    stale: bool,
}

async fn state(client: &Client, stale: bool) -> Result<State> {
    let mut pieces = client.snapshot().await?;
    let meta = pieces.meta().clone();
    let mut chunks = Vec::new();
    while let Some(chunk) = pieces.next().await? {
        chunks.push(chunk);
    }
    let applied = meta.position.index.to_string();
    Ok(State { catalog: Backup { meta, chunks }.catalog()?, applied, stale })
}

impl Rebalance {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let state = state(&self.connection.client()?, self.connection.stale()).await?;
        let plan = rebalance(&state.catalog, &Observed::default(), self.moves_max);
        output::print(&Planned::new(&plan, &state, REBALANCE_NOTE), format)
    }
}

/// Prints what the drain of `member` would propose.
pub(crate) async fn explain_drain(connection: &Connection, member: &MemberId, format: Format) -> Result<()> {
    let state = state(&connection.client()?, connection.stale()).await?;
    if state.catalog.member(member).is_none() {
        return Err(invalid("member", format!("{member} is not a member; `cp-supervisor member list` lists them")));
    }
    let plan = drain(&state.catalog, &Observed::default(), member);
    output::print(&Planned::new(&plan, &state, DRAIN_NOTE), format)
}
