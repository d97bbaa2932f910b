//! `cargo xtask bench`: both engines side by side, next to etcd and to what the disk and
//! the loopback allow, in one run and in turns, so that the machine's noise hits all alike.

mod clusters;
mod dial;
mod elections;
mod embedded;
mod floor;
mod latency;
mod load;
mod machine;
mod micro;
mod nodes;
mod ours;
mod peer;
mod report;
mod run;
mod section;
mod signals;
mod subject;
mod transition;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Both engines side by side, next to etcd and the physical floor
    Bench(Options),
    /// Runs a node that takes load from within; the bench starts it
    #[command(hide = true)]
    Serve(Box<embedded::Serve>),
}

/// What can be chosen.
#[derive(Debug, Clone, Args)]
struct Options {
    /// Fewer rounds and kills: a first look in less than three minutes, once all is built
    #[arg(long)]
    quick: bool,
    /// Also measure this, installed on this machine
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<section::Section>,
    /// How often each load runs; the median counts
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How often each leader is killed
    #[arg(long, value_name = "COUNT")]
    kills: Option<usize>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// Compare two reports instead: what moved beyond the noise
    #[arg(long, num_args = 2, value_names = ["BEFORE.json", "AFTER.json"], conflicts_with_all = ["quick", "peer", "only", "rounds", "kills"])]
    compare: Option<Vec<PathBuf>>,
    /// The operator's commands go through this cp-supervisor, built already, with both engines. It is not what is
    /// measured: the nodes are the bench's own program
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// A three-node etcd on loopback
    Etcd,
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().task {
        Task::Serve(serve) => serve.run(),
        Task::Bench(Options { compare: Some(files), .. }) => report::compare::run(&files),
        Task::Bench(options) => run::run(options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
