//! What this program is asked, and the run of the whole table.

use crate::line::{Ending, Line};
use crate::{bite, self_test, table};
use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use futures::StreamExt;
use std::process::ExitCode;
use tokio::time::Instant;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Plants bugs, and sees them found", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Plants each bug on its own, and fails unless the checker that is meant for it finds it
    Teeth(Options),
    /// One bug, one engine, one seed: says which checker found it
    #[command(hide = true)]
    Bite(bite::Options),
    /// Feeds every checker a bad history, with one of them disabled; says which did not object
    #[command(hide = true)]
    SelfTest(self_test::Options),
}

#[derive(Debug, Clone, Args)]
struct Options {
    /// Only the bugs whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    bug: String,
    /// Only this engine
    #[arg(long)]
    engine: Option<String>,
    /// How many processes at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(crate) fn main() -> ExitCode {
    let ended = match Arguments::parse().task {
        Task::Teeth(options) => teeth(&options),
        Task::Bite(options) => bite::run(&options).map(|()| true),
        Task::SelfTest(options) => self_test::run(&options).map(|()| true),
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

fn teeth(options: &Options) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(all(options))
}

async fn all(options: &Options) -> Result<bool> {
    let began = Instant::now();
    let wanted = |line: &Line| {
        line.bug().contains(&options.bug) && options.engine.as_ref().is_none_or(|engine| line.engine() == engine)
    };
    let lines: Vec<Line> = Line::all().filter(wanted).collect();
    ensure!(!lines.is_empty() || "checker-disabled".contains(&options.bug), "no bug and engine match");
    let mut endings = futures::stream::iter(lines).map(Line::run).buffered(options.jobs.max(1));
    let mut found = Vec::new();
    if options.output == Output::Table {
        table::head();
    }
    while let Some(ended) = endings.next().await {
        let (line, hunt) = ended?;
        match options.output {
            Output::Table => table::line(&line, &hunt),
            Output::Json => anstream::println!("{}", table::json(&line, &hunt)),
        }
        found.push(matches!(hunt.ending, Ending::Killed { .. }));
    }
    if options.engine.is_none() && "checker-disabled".contains(&options.bug) {
        for (checker, noticed) in self_test::all().await? {
            match options.output {
                Output::Table => table::disabled(checker, noticed),
                Output::Json => anstream::println!("{}", table::disabled_json(checker, noticed)),
            }
            found.push(noticed);
        }
    }
    let killed = found.iter().filter(|killed| **killed).count();
    if options.output == Output::Table {
        table::foot(killed, found.len(), began.elapsed());
    }
    Ok(killed == found.len())
}
