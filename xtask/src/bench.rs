//! The bench, in the profile meant for it.

use std::ffi::OsString;
use std::process::ExitCode;

/// Builds the bench and runs it with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    crate::sim::run_of(&["--release", "--package", "xtask-bench"], "bench", arguments)
}
