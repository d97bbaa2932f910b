//! Repository tasks. `cargo xtask demo` is the first thing to run.

mod bench;
mod demo;
mod lag;
mod sim;
mod teeth;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Demonstrates and checks the control plane", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Three real processes: elect, commit, lose the leader, recover, and prove that nothing was lost
    Demo(demo::Options),
    /// A member a million entries behind catches up: how long it takes and what the leader needs for it
    Lag(lag::Options),
    /// Both engines side by side, next to etcd and to what the disk allows
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Storms of faults in the simulator, seed after seed
    #[command(disable_help_flag = true)]
    Sim(Passed),
    /// Shows that a seed is a run: the same trace each time, wherever it runs
    #[command(disable_help_flag = true)]
    Determinism(Passed),
    /// Both engines through the same faults with the same requests
    #[command(disable_help_flag = true)]
    Differential(Passed),
    /// Plants bugs, one at a time, and fails unless the checker that is meant for each finds it
    #[command(disable_help_flag = true)]
    Teeth(Passed),
}

/// What is passed on; what it is passed to has a help of its own.
#[derive(Debug, Args)]
struct Passed {
    /// See --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    if let Some(compiled) = teeth::as_compiler() {
        return compiled;
    }
    match Arguments::parse().task {
        Task::Demo(options) => on_runtime(demo::run(options)),
        Task::Lag(options) => on_runtime(lag::run(options)),
        Task::Bench(passed) => bench::run(&passed.arguments),
        Task::Sim(passed) => sim::run("sim", &passed.arguments),
        Task::Differential(passed) => sim::run("differential", &passed.arguments),
        Task::Determinism(passed) => sim::run("determinism", &passed.arguments),
        Task::Teeth(passed) => teeth::run(&passed.arguments),
    }
}

fn on_runtime(task: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(task)
}
