//! Repository tasks. `cargo xtask demo` is the first thing to run.

mod demo;

use clap::{Parser, Subcommand};
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
}

fn main() -> ExitCode {
    let Task::Demo(options) = Arguments::parse().task;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(demo::run(options))
}
