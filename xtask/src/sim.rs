//! The simulator, in the profile meant for it.

use crate::cargo;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// Builds the simulator and runs it with `arguments`, its first being the task.
pub(crate) fn run(task: &str, arguments: &[OsString]) -> ExitCode {
    let ended = cargo::build(&["--profile", "sim", "--package", "xtask-sim"])
        .and_then(|binary| Ok(Command::new(binary).arg(task).args(arguments).status()?));
    match ended {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
