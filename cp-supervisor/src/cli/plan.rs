//! Plans: what a drain, a failover or a rebalance would propose, and running them.

use super::connection::{self, Connection};
use super::exit::{Undecided, invalid};
use super::output::{self, Format, Report, Tone};
use anyhow::Result;
use clap::Args;
use cp_catalog::plan::{MOVES_MAX, Observed, Plan, Step, expel};
use cp_catalog::{Catalog, Join, Member, MemberLife};
use cp_seam::MemberId;
use cp_supervisor::client::{Answer, Client};
use cp_supervisor::describe::describe;
use cp_supervisor::executor::{self, Blocked, Goal, ObservedFile, Obstacle, Settings};
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

impl How {
    pub(crate) fn is_run(self) -> bool {
        self.run
    }
}

/// What was seen of the data, which the cluster does not know.
#[derive(Debug, Clone, Args)]
pub(crate) struct Seen {
    /// Positions, closed gates, loads and disks, as JSON (or TOML, by its name); see
    /// docs/operating.md. A step that needs what is not in it is not done, and what was seen
    /// of a range under an earlier epoch is ignored
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
}

impl Seen {
    pub(crate) fn is_given(&self) -> bool {
        self.observed.is_some()
    }

    pub(crate) fn read(&self) -> Result<ObservedFile> {
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

/// Shows the plan for `goal`, or runs it; an error if not all of it is done, another if that
/// is unknown of a step.
pub(crate) async fn bring_about(
    connection: &Connection,
    goal: &Goal,
    how: How,
    seen: &Seen,
    warnings: Vec<String>,
    format: Format,
) -> Result<()> {
    let (client, file) = (connection.client()?, seen.read()?);
    if how.run && connection.stale() {
        return Err(invalid("--stale", "a run goes by what was acknowledged; leave it out"));
    }
    let state = client.catalog().await?;
    let warnings: Vec<_> = file.ignored(&state.value).into_iter().chain(warnings).collect();
    if !how.run {
        let mut observed = file.observed().clone();
        goal.mark(&mut observed);
        let unseen = if matches!(goal, Goal::Rebalance { .. }) { LOADS_UNSEEN } else { POSITIONS_UNSEEN };
        let mut planned = Planned::new(&goal.plan(&state.value, &observed), &state, seen, unseen);
        planned.warnings.extend(warnings);
        return output::print(&planned, format);
    }
    let report = Box::pin(executor::run(&client, &file, goal, Settings::default())).await?;
    let (done, skipped) = (words(&report.done), words(&report.skipped));
    let (blocked, mut all) = (words(&report.blocked), words(&report.warnings));
    all.extend(warnings);
    output::print(&Ran { finished: report.finished, done, skipped, blocked, warnings: all }, format)?;
    ended(&report)
}

/// Whether all of it is done, or an error that says what is not.
fn ended(report: &executor::Report) -> Result<()> {
    if report.finished {
        return Ok(());
    }
    let unknown = |blocked: &Blocked| matches!(blocked, Blocked::Step { why: Obstacle::Undecided { .. }, .. });
    if report.blocked.iter().any(unknown) {
        return Err(Undecided.into());
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

/// What is to be done so that nothing is left of a member that was expelled in this `life`, by the
/// state as it is now; `None` once that life is gone. What is of the next is not its business.
pub(crate) async fn expulsion(client: &Client, life: &MemberLife) -> Result<Option<Plan>> {
    Ok(remaining(&client.catalog().await?.value, life))
}

fn remaining(catalog: &Catalog, life: &MemberLife) -> Option<Plan> {
    let there = |member: &Member| member.life() == *life && member.join == Join::Expelled;
    let there = catalog.member(&life.id).is_some_and(there);
    there.then(|| expel(catalog, &Observed::default(), &life.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::{
        Addresses, Admission, ClientName, CollectionName, Command, Features, FoundingMember, GroupName, Joining,
        Locality, MembershipCommand, Mode, Origin, OwnershipCommand, Principal, Privileges, Request, TokenHash,
    };
    use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, Incarnation, MemberKind};

    const CLUSTER: ClusterId = ClusterId([7; 16]);

    fn run(catalog: &mut Catalog, command: impl Into<Command>) {
        let client = ClientName::new("fay").expect("legal");
        let origin = Origin { principal: Principal::Client(client), at_unix_ms: 1 };
        let entry = Request::new(None, command).of(origin).to_entry().expect("short");
        let applied = catalog.apply(ControlPlaneLogIndex(1), &entry);
        assert!(applied.verdict.is_done(), "{}", applied.verdict);
    }

    fn founder(name: &str) -> FoundingMember {
        FoundingMember {
            id: MemberId::new(name).expect("legal"),
            kind: MemberKind::Data,
            addresses: Addresses { peer: format!("{name}:1"), ..Addresses::default() },
            locality: Locality::default(),
            features: Features { level: 2, ..Features::default() },
        }
    }

    /// Whoever retries what may have taken effect has to know that it may have.
    #[test]
    fn a_run_of_whose_step_nobody_knows_ends_with_5_and_one_that_is_blocked_with_1() {
        let generation = Generation { number: 0, id: [1; 8] };
        let mut catalog = Catalog::genesis(CLUSTER, generation, ["n1", "n2"].map(founder).into()).expect("two members");
        let (group, holder) = (GroupName::new("shop").expect("legal"), MemberId::new("n2").expect("legal"));
        run(&mut catalog, OwnershipCommand::AssignAuthority { group, holder: holder.clone() });
        let plan = cp_catalog::plan::drain(&catalog, &Observed::default(), &holder);
        let step = plan.steps.first().expect("its authority goes elsewhere");
        let exit = |whys: &[Obstacle]| {
            let blocked =
                |why: &Obstacle| Blocked::Step { step: Box::new(step.clone()), why: why.clone(), shut: false };
            let report =
                executor::Report { blocked: whys.iter().map(blocked).collect(), ..executor::Report::default() };
            super::super::exit::code(ended(&report))
        };
        let unknown = Obstacle::Undecided { reason: "nobody answered".to_owned() };
        let unread = Obstacle::Unread { reason: "nobody answered".to_owned() };
        assert_eq!(exit(std::slice::from_ref(&unknown)), 5.into());
        assert_eq!(exit(&[unread.clone(), unknown]), 5.into(), "whatever else is in the way");
        assert_eq!(exit(&[unread]), 1.into());
        assert_eq!(exit(&[]), 1.into(), "others kept changing what it works on");
        assert!(ended(&executor::Report { finished: true, ..executor::Report::default() }).is_ok());
    }

    /// What is released is what the expelled life had, though another goes by its name meanwhile.
    #[test]
    fn only_the_life_that_was_expelled_is_released() {
        let id = |name: &str| MemberId::new(name).expect("legal");
        let generation = Generation { number: 0, id: [1; 8] };
        let mut catalog =
            Catalog::genesis(CLUSTER, generation, ["n1", "n2", "n3"].map(founder).into()).expect("three members");
        let privileges = Privileges { read: true, operate: true, force: true };
        run(&mut catalog, MembershipCommand::Grant { client: ClientName::new("fay").expect("legal"), privileges });
        let group = GroupName::new("shop").expect("legal");
        let collection = CollectionName::new("orders").expect("legal");
        let create = OwnershipCommand::CreateCollection { collection, group: group.clone(), mode: Mode::Ordered };
        run(&mut catalog, create);
        run(&mut catalog, OwnershipCommand::AssignAuthority { group: group.clone(), holder: id("n3") });
        let life = MemberLife { id: id("n3"), incarnation: Incarnation(3) };
        assert_eq!(remaining(&catalog, &life), None, "it is not expelled");

        let reachable = [1, 2].map(Incarnation).into();
        let force = MembershipCommand::ForceRemove { member: life.clone(), reason: "fire".to_owned(), reachable };
        run(&mut catalog, force.clone());
        assert_eq!(remaining(&catalog, &life).map(|plan| plan.steps.len()), Some(1));
        let fence = catalog.authority(&group).expect("it is held").fence();
        run(&mut catalog, OwnershipCommand::ReassignAuthority { group: group.clone(), fence, holder: id("n1") });
        assert_eq!(remaining(&catalog, &life).map(|plan| plan.is_done()), Some(true));
        run(&mut catalog, force);
        assert_eq!(remaining(&catalog, &life), None, "it is gone");

        let token_hash = TokenHash([9; 32]);
        let (kind, locality, standby) = (MemberKind::Data, Locality::default(), false);
        run(
            &mut catalog,
            MembershipCommand::Admit(Admission { member: id("n3"), kind, token_hash, locality, standby }),
        );
        let member = catalog.member(&id("n3")).expect("it is admitted").life();
        let joining = Joining {
            cluster: CLUSTER,
            member,
            token_hash,
            kind,
            addresses: founder("n3").addresses,
            features: founder("n3").features,
        };
        run(&mut catalog, MembershipCommand::Joined(joining));
        let fence = catalog.authority(&group).expect("it is held").fence();
        run(&mut catalog, OwnershipCommand::ReassignAuthority { group, fence, holder: id("n3") });
        assert_eq!(remaining(&catalog, &life), None, "another life has its name, and what it has stays");
    }
}
