//! What a broken promise looks like to a reader.

use super::Report;
use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::Effects;
use crate::monitor::Tally;
use crate::network::Traffic;
use crate::options::Options;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A broken promise, with all that is needed to see it again.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Violation {
    /// What was broken, and which checker says so.
    pub broken: Broken,
    /// The scenario.
    pub scenario: String,
    /// The engine.
    pub backend: &'static str,
    /// The seed.
    pub seed: u64,
    /// Everything else that the run was set up with.
    pub options: String,
    /// What each node did last.
    pub trace: Vec<String>,
    /// The command that shows it again.
    pub reproduce: String,
}

impl Violation {
    /// One that is not of a single run: there is no trace to show.
    pub fn of(broken: Broken, scenario: &str, backend: &dyn Backend, options: &Options) -> Self {
        Self {
            broken,
            scenario: scenario.to_owned(),
            backend: backend.name(),
            seed: 0,
            options: format!("{options:?}"),
            trace: Vec::new(),
            reproduce: format!("cargo test -p {} --test conformance -- --exact {scenario}", backend.package()),
        }
    }

    /// For planted bugs: being found is what the run was for.
    pub(crate) fn wanted(&self) -> Report {
        Report {
            scenario: format!("{} (found by `{}`)", self.scenario, self.broken.checker),
            backend: self.backend,
            seed: self.seed,
            simulated: Duration::ZERO,
            tally: Tally::default(),
            restarts: 0,
            pauses: 0,
            jumps: 0,
            blackouts: 0,
            exchanged: 0,
            expelled: 0,
            waits: BTreeMap::new(),
            traffic: Traffic::default(),
            disks: Effects::default(),
            trace: ([0; 32], 0),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broken, scenario, backend, seed, options, trace, reproduce } = self;
        writeln!(f, "{} is broken, says the checker `{}`", broken.promise, broken.checker)?;
        writeln!(f, "  promise    {}", broken.promise.what())?;
        writeln!(f, "  what       {}", broken.what)?;
        writeln!(f, "  where      {scenario} on {backend}, seed {seed}")?;
        writeln!(f, "  options    {options}")?;
        writeln!(f, "  reproduce  {reproduce}")?;
        writeln!(f, "  the last {} events:", trace.len())?;
        trace.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
