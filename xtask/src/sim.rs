//! The simulator, in the profile meant for it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use xtask_cluster::cargo;

/// Builds the simulator and runs it with `arguments`, its first being the task.
pub(crate) fn run(task: &str, arguments: &[OsString]) -> ExitCode {
    run_of(&["--profile", "sim", "--package", "xtask-sim"], task, arguments)
}

/// Builds a program by what `cargo build` is told, and runs it as [`run`] does.
pub(crate) fn run_of(build: &[&str], task: &str, arguments: &[OsString]) -> ExitCode {
    let ended = cargo::build(build).and_then(|binary| Ok(Command::new(binary).arg(task).args(arguments).status()?));
    match ended {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
