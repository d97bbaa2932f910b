//! Runs the simulator by the seed: what `cargo xtask sim`, `determinism` and
//! `differential` start, in the profile meant for it.

mod determinism;
mod differential;
mod engine;
mod output;
mod record;
mod sim;
mod workers;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Runs the simulator by the seed", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Storms of faults, seed after seed; a violation is shrunk and printed with the command that shows it again
    Sim(sim::Options),
    /// The same seed gives the same trace: again on the same thread, in another order, in a fresh process
    Determinism(determinism::Options),
    /// Both engines through the same faults with the same requests: the same answers and the same state
    Differential(differential::Options),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().task {
        Task::Sim(options) => sim::run(&options),
        Task::Determinism(options) => determinism::run(&options),
        Task::Differential(options) => differential::run(&options),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
