//! A line of the table: a bug, an engine, and how the hunt for it ends.

use crate::backends;
use anyhow::{Context, Result};
use cp_conformance::teeth::{ALL, Seen, Tooth};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The longest run of one seed. A bug may well make a run endless; that is not a kill.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) tooth: &'static Tooth,
    engine: &'static str,
}

/// The first objection in the run of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) by: String,
    pub(crate) what: String,
    pub(crate) seed: u64,
}

/// How it ended, and in the run of which seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Found by a checker that is meant for it, and not without it.
    Killed { by: String, seed: u64 },
    /// The run that found it fails without it too.
    Unsound { by: String, what: String, seed: u64 },
    /// The run did not end.
    Endless { seed: u64 },
    /// Found within the budget by none of those that are meant for it.
    Survived,
}

/// A hunt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hunt {
    pub(crate) ending: Ending,
    /// The seeds in which another checker was first: they are spent, and the hunt goes on.
    pub(crate) others: Vec<Found>,
}

impl Line {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.iter().flat_map(|tooth| backends::on(tooth.on).map(move |engine| Self { tooth, engine }))
    }

    pub(crate) fn bug(&self) -> &'static str {
        self.tooth.bug.name()
    }

    pub(crate) fn engine(&self) -> &'static str {
        self.engine
    }

    pub(crate) fn seen_in(&self) -> String {
        match self.tooth.seen_in {
            Seen::Storm(nodes) => format!("storm of {nodes}"),
            Seen::Case(name) => name.to_owned(),
        }
    }

    /// Seed after seed, until a checker that is meant for it objects first.
    pub(crate) async fn run(self) -> Result<(Self, Hunt)> {
        let mut others = Vec::new();
        for seed in 1..=self.tooth.seeds {
            let Some(found) = self.bite(seed, false).await? else {
                return Ok((self, Hunt { ending: Ending::Endless { seed }, others }));
            };
            match found {
                None => {}
                Some(found) if self.tooth.killers.contains(&found.by.as_str()) => {
                    let ending = match self.bite(seed, true).await? {
                        Some(None) => Ending::Killed { by: found.by, seed },
                        Some(Some(Found { by, what, .. })) => Ending::Unsound { by, what, seed },
                        None => Ending::Endless { seed },
                    };
                    return Ok((self, Hunt { ending, others }));
                }
                Some(other) => others.push(other),
            }
        }
        Ok((self, Hunt { ending: Ending::Survived, others }))
    }

    /// What was objected to, if anything was; `None` if the run did not end.
    async fn bite(&self, seed: u64, control: bool) -> Result<Option<Option<Found>>> {
        let this = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(this);
        command.args(["bite", self.bug(), self.engine]).arg(seed.to_string());
        command.args(control.then_some("--control")).env("CP_SEED", seed.to_string());
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
        let Ok(output) = tokio::time::timeout(LONGEST, output).await else { return Ok(None) };
        let output = output.context("this program could not be started")?.stdout;
        let answer: serde_json::Value = serde_json::from_slice(&output)
            .with_context(|| format!("{} on {}, seed {seed}, ended without an answer", self.bug(), self.engine))?;
        let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
        let what = text("what").unwrap_or_default();
        Ok(Some(text("found_by").map(|by| Found { by, what, seed })))
    }
}
