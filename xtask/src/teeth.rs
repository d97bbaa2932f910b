//! `cargo xtask teeth`: builds the planted bugs, and starts what plants them.
//!
//! The bugs are compiled under `--cfg planted_bugs`, which our own crates alone are
//! given: this program stands between cargo and the compiler for members of the
//! workspace, so what they depend on is built once, for every build.

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use xtask_cluster::cargo::{self, workspace};

/// Called by cargo in place of the compiler, with its path first: calls it with the cfg.
/// `None` if this was started for something else.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let compiler = arguments.next().filter(|first| Path::new(first).file_stem().is_some_and(|stem| stem == "rustc"))?;
    let status = Command::new(compiler).args(arguments).args(["--cfg", "planted_bugs"]).status();
    Some(if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds, and runs with these arguments.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let ended = build().and_then(|binary| Ok(Command::new(binary).arg("teeth").args(arguments).status()?));
    match ended {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Builds on top of everything that the workspace's own build has built, into a folder of its own.
fn build() -> Result<PathBuf> {
    let shared = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let (own, this) = (shared.join("planted"), std::env::current_exe().context("this program cannot be found")?);
    // All members, so that what they depend on has the features that it has in their own build.
    cargo::build_with(
        &["--workspace", "--bin", "xtask-teeth"],
        &[
            ("RUSTC_WORKSPACE_WRAPPER", this.as_os_str()),
            ("CARGO_TARGET_DIR", own.as_os_str()),
            ("CARGO_BUILD_BUILD_DIR", shared.as_os_str()),
        ],
    )
}
