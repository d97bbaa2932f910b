//! What was run, so that two reports can be told apart: which commit, how much, of which crates.

use crate::load::Period;
use crate::section::{Extent, Section};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::Command;
use std::time::Duration;

/// How a run was set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// None outside a repository.
    pub(crate) commit: Option<Commit>,
    /// Whether the daemon was not built for the run: it may be of another commit.
    pub(crate) binary_given: bool,
    /// What was chosen, by the names on the command line.
    pub(crate) sections: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) kills: usize,
    pub(crate) transfers: usize,
    pub(crate) changes: usize,
    pub(crate) restarts: usize,
    pub(crate) catch_ups: usize,
    /// How each load was run.
    pub(crate) load: Span,
    /// How the number of connections was found.
    pub(crate) scout: Span,
    /// For how long the floor was measured before each round.
    pub(crate) floor_ms: u64,
}

/// For how long a load ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) warm_ms: u64,
    pub(crate) counted_ms: u64,
}

/// Of what the bench was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) id: String,
    /// Whether the tree differed from it, by changed files or new ones.
    pub(crate) dirty: bool,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if self.dirty { f.write_str(" with changes") } else { Ok(()) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Period> for Span {
    fn from(period: Period) -> Self {
        Self { warm_ms: millis(period.warm), counted_ms: millis(period.counted) }
    }
}

impl Setup {
    pub(crate) fn of(extent: &Extent, sections: &[Section], binary_given: bool) -> Self {
        Self {
            commit: Commit::current(),
            binary_given,
            sections: sections.iter().copied().map(name).collect(),
            rounds: extent.rounds,
            kills: extent.kills,
            transfers: extent.transfers,
            changes: extent.changes,
            restarts: extent.restarts,
            catch_ups: extent.catch_ups,
            load: extent.load.into(),
            scout: extent.scout.into(),
            floor_ms: millis(extent.floor),
        }
    }

    /// Whether that part of the bench was run.
    pub(super) fn has(&self, section: Section) -> bool {
        self.sections.contains(&name(section))
    }

    /// In a sentence or two.
    pub(super) fn describe(&self) -> String {
        let commit = self.commit.as_ref().map_or_else(|| "unknown".to_owned(), Commit::to_string);
        let given = if self.binary_given { ", the daemon given and perhaps of another" } else { "" };
        let (load, scout) = (self.load, self.scout);
        format!(
            "Commit {commit}{given}. {} rounds of {} ms after {} ms that are not counted, {} ms each to find the number of \
             connections, {} ms of the floor before each; {} kills. Sections: {}.",
            self.rounds,
            load.counted_ms,
            load.warm_ms,
            scout.counted_ms,
            self.floor_ms,
            self.kills,
            self.sections.join(", ")
        )
    }
}

/// As on the command line.
pub(super) fn name(section: Section) -> String {
    section.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Commit {
    /// Of the tree that this was built from.
    fn current() -> Option<Self> {
        let id = git(&["rev-parse", "HEAD"])?;
        Some(Self { id: id.trim().to_owned(), dirty: !git(&["status", "--porcelain"])?.is_empty() })
    }
}

/// What git answers; nothing without it, or outside a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

/// The release of an engine of ours, by the lock file that it was built with.
pub(crate) fn engine_version(engine: &str) -> &'static str {
    let package = if engine == "raftrs" { "raft" } else { engine };
    locked(include_str!("../../../Cargo.lock"), package).unwrap_or("unknown")
}

fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let value = |line: &'a str, key: &str| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"');
    let mut lines = lock.lines().skip_while(|line| value(line, "name") != Some(package));
    lines.find_map(|line| value(line, "version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::ENGINES;

    #[test]
    fn both_engines_are_in_the_lock_file() {
        for engine in ENGINES {
            let version = engine_version(engine);
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{engine} {version}");
        }
    }

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let lock = "[[package]]\nname = \"raft-proto\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"raft\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked(lock, "raft"), Some("2.0.0"));
        assert_eq!(locked(lock, "openraft"), None);
    }

    #[test]
    fn what_was_chosen_is_known_by_its_name() {
        let setup = Setup::of(&Extent::quick(), &[Section::CatchUp], false);
        assert_eq!(setup.sections, ["catch-up"]);
        assert!(setup.has(Section::CatchUp) && !setup.has(Section::Load));
    }
}
