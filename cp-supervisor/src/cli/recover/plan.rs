//! Whom to go on from, and what that may cost.

use super::collect::described;
use super::names;
use crate::cli::output::{self, Format, Report, Tone, table};
use anyhow::Result;
use clap::Args;
use cp_recovery::{Description, Plan as Chosen, plan};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A survivor: a file that `recover collect -o json` made, or a directory on this machine
    #[arg(long, required = true, value_name = "FILE|DIR")]
    from: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Planned {
    cluster: String,
    survivor: String,
    data_dir: String,
    generation: u16,
    last: String,
    committed: String,
    uncommitted: String,
    lost: Vec<String>,
    rejoin: Vec<String>,
    quorum_survives: bool,
    warnings: Vec<String>,
    apply: String,
    #[serde(skip)]
    survivors: String,
}

impl Plan {
    pub(super) fn run(self, format: Format) -> Result<()> {
        let found: Vec<(Description, PathBuf)> = self.from.iter().map(|from| described(from)).collect::<Result<_>>()?;
        let all: Vec<Description> = found.iter().map(|(description, _)| description.clone()).collect();
        let chosen = plan(&all)?;
        let data_dir = found.get(chosen.best).map(|(_, dir)| dir.display().to_string()).unwrap_or_default();
        output::print(&Planned::new(&chosen, &all, data_dir), format)
    }
}

impl Planned {
    fn new(plan: &Chosen, all: &[Description], data_dir: String) -> Self {
        let mut warnings = Vec::new();
        if plan.quorum_survives {
            warnings.push("these survivors are a quorum: start them instead, which loses nothing".to_owned());
        }
        if plan.uncommitted > 0 {
            warnings.push(format!(
                "{} entries above the committed index {} are kept: they may have been acknowledged, or never been",
                plan.uncommitted, plan.committed
            ));
        }
        if !plan.lost.is_empty() {
            warnings.push(format!(
                "whatever only {} had beyond {} is lost, acknowledged or not",
                names(&plan.lost),
                plan.last
            ));
        }
        let row = |one: &Description| {
            let mark = if one.member == plan.survivor { "*" } else { "" };
            [
                format!("{}{mark}", one.member),
                one.last.to_string(),
                one.committed.to_string(),
                one.uncommitted.to_string(),
                one.vote_term.to_string(),
                if one.voters.contains(&one.member) { "yes" } else { "no" }.to_owned(),
            ]
        };
        let header = ["SURVIVOR", "LAST", "COMMITTED", "ABOVE", "TERM", "VOTES"];
        let lives = |lives: &[cp_catalog::MemberLife]| lives.iter().map(ToString::to_string).collect();
        Self {
            apply: format!(
                "cp-supervisor recover apply --data-dir {data_dir} --operator NAME --reason TEXT --confirm {}",
                plan.cluster
            ),
            cluster: plan.cluster.to_string(),
            survivor: plan.survivor.to_string(),
            data_dir,
            generation: plan.generation,
            last: plan.last.to_string(),
            committed: plan.committed.to_string(),
            uncommitted: plan.uncommitted.to_string(),
            lost: lives(&plan.lost),
            rejoin: lives(&plan.rejoin),
            quorum_survives: plan.quorum_survives,
            warnings,
            survivors: table(header, all.iter().map(row)),
        }
    }
}

impl Report for Planned {
    const KIND: &'static str = "recovery_plan";

    fn render(&self) -> String {
        let or_nobody = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let warnings: String =
            self.warnings.iter().map(|warning| format!("{} {warning}\n", Tone::Warn.paint("note:"))).collect();
        format!(
            "{}\n\ncluster {} would go on as generation {} with {} as its only voter, from {}\n\
             lost voters: {}\nto be wiped and join anew: {}\n{warnings}\n\
             on the machine of {}, and on no other, with the node stopped:\n\n  {}\n",
            self.survivors,
            self.cluster,
            self.generation,
            self.survivor,
            self.last,
            or_nobody(&self.lost),
            or_nobody(&self.rejoin),
            self.survivor,
            self.apply,
        )
    }
}
