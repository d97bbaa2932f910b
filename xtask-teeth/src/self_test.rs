//! Bug 23: a checker is disabled. The self-test of the checkers must say so.

use crate::backends;
use anyhow::{Context, Result};
use clap::Args;
use cp_conformance::checks;
use cp_conformance::teeth::{blind, disable};
use serde_json::json;
use tokio::process::Command;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Which checker is disabled
    checker: Option<String>,
}

/// Prints the checkers that did not object, as a line of JSON.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(checker) = &options.checker {
        disable(checker);
    }
    let backend = backends::named("reference").context("there is no reference model")?;
    anstream::println!("{}", json!(blind(backend)));
    Ok(())
}

/// Each checker, and whether the self-test names it, and it alone, when it is disabled.
pub(crate) async fn all() -> Result<Vec<(&'static str, bool)>> {
    let whole = blind_without(None).await?;
    let mut noticed = Vec::new();
    for checker in checks::ALL.iter().map(|check| check.name) {
        noticed.push((checker, whole.is_empty() && blind_without(Some(checker)).await? == [checker]));
    }
    Ok(noticed)
}

async fn blind_without(checker: Option<&str>) -> Result<Vec<String>> {
    let this = std::env::current_exe().context("this program cannot be found")?;
    let output = Command::new(this).arg("self-test").args(checker).output().await?;
    serde_json::from_slice(&output.stdout).context("the self-test ended without an answer")
}
