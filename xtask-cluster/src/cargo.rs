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
    let executable = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable").and_then(|path| path.as_str()).map(PathBuf::from))
        .next_back();
    executable.context("cargo named no executable")
}
