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

/// How it ended, and in the run of which seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Found by a checker that is meant for it, and not without it.
    Killed { by: String, seed: u64 },
    /// Another checker had to find it.
    Mistaken { by: String, what: String, seed: u64 },
    /// The run that found it fails without it too.
    Unsound { by: String, what: String, seed: u64 },
    /// The run did not end.
    Endless { seed: u64 },
    /// Not found.
    Survived,
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

    /// Seed after seed, until something objects.
    pub(crate) async fn run(self) -> Result<(Self, Ending)> {
        for seed in 1..=self.tooth.seeds {
            let Some((found, what)) = self.bite(seed, false).await? else {
                return Ok((self, Ending::Endless { seed }));
            };
            let Some(by) = found else { continue };
            if !self.tooth.killers.contains(&by.as_str()) {
                return Ok((self, Ending::Mistaken { by, what, seed }));
            }
            return Ok((
                self,
                match self.bite(seed, true).await? {
                    Some((None, _)) => Ending::Killed { by, seed },
                    Some((Some(by), what)) => Ending::Unsound { by, what, seed },
                    None => Ending::Endless { seed },
                },
            ));
        }
        Ok((self, Ending::Survived))
    }

    /// Which checker objected, if one did, and to what; `None` if the run did not end.
    async fn bite(&self, seed: u64, control: bool) -> Result<Option<(Option<String>, String)>> {
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
        Ok(Some((text("found_by"), text("what").unwrap_or_default())))
    }
}
