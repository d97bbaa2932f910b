//! Cargo, called from within a cargo task.

use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Builds one binary with these arguments, and answers where cargo put it.
pub fn build(arguments: &[&str]) -> Result<PathBuf> {
    build_with(arguments, &[])
}

/// As [`build`], with more in cargo's environment.
pub fn build_with(arguments: &[&str], environment: &[(&str, &OsStr)]) -> Result<PathBuf> {
    let built = targets_with(arguments, environment)?;
    built.into_iter().next_back().map(|target| target.executable).context("cargo named no executable")
}

/// An executable that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The package it is of.
    pub package: String,
    /// Its own name.
    pub name: String,
    /// Where it is.
    pub executable: PathBuf,
}

/// Builds with these arguments, and answers what can be run of it.
pub fn targets(arguments: &[&str]) -> Result<Vec<Target>> {
    targets_with(arguments, &[])
}

fn targets_with(arguments: &[&str], environment: &[(&str, &OsStr)]) -> Result<Vec<Target>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo sets for this task makes build scripts of dependencies run again, there and back.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| ["CARGO_MANIFEST", "CARGO_PKG_"].iter().any(|set| n.starts_with(set))) {
            command.env_remove(name);
        }
    }
    let output = command
        .arg("build")
        .args(arguments)
        .args(["--message-format", "json-render-diagnostics"])
        .envs(environment.iter().copied())
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be run")?;
    ensure!(output.status.success(), "`cargo build {}` failed; see above", arguments.join(" "));
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter_map(|said| target(&said)).collect())
}

/// The executable that a message of cargo's is about; packages are in directories of their names.
fn target(said: &serde_json::Value) -> Option<Target> {
    let manifest = Path::new(said.get("manifest_path")?.as_str()?);
    Some(Target {
        package: manifest.parent()?.file_name()?.to_str()?.to_owned(),
        name: said.get("target")?.get("name")?.as_str()?.to_owned(),
        executable: said.get("executable")?.as_str()?.into(),
    })
}
