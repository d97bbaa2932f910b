//! Both engines through the same faults with the same requests.

use crate::engine::Engine;
use crate::output::bar;
use crate::workers::{Span, each, jobs};
use anyhow::{Result, ensure};
use clap::Args;
use cp_conformance::differential::{Account, account, compare};
use cp_conformance::{Report, Shape};
use std::time::Duration;
use tokio::time::Instant;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many simulated seconds each storm lasts
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// How many requests are decided in each
    #[arg(long, value_name = "N", default_value_t = 60)]
    requests: usize,
    /// How many seeds at once [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

fn accounts(options: &Options, seed: u64) -> Result<Vec<Account>, String> {
    let shape = Shape::Mixed.options(seed, Duration::from_secs(options.seconds));
    let shape = cp_conformance::Options { think: Duration::from_millis(200), ..shape };
    let run = |engine: Engine| {
        account(engine.backend(), seed, &shape, options.requests).map_err(|mut violation| {
            let (seconds, requests) = (options.seconds, options.requests);
            violation.reproduce =
                format!("cargo xtask differential --seed {seed} --seeds 1 --seconds {seconds} --requests {requests}");
            violation.to_string()
        })
    };
    let accounts: Vec<Account> = Engine::ALL.into_iter().map(run).collect::<Result<_, _>>()?;
    match accounts.as_slice() {
        [one, two] => compare(one, two).map_err(|broken| format!("seed {seed}: {broken}"))?,
        _ => return Err("there are not two engines to compare".to_owned()),
    }
    Ok(accounts)
}

/// Whether both engines answered alike under every seed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    ensure!(options.seconds > 0 && options.seeds > 0, "--seconds and --seeds must be above zero");
    let begun = Instant::now();
    let span = Span { first: options.seed, count: Some(options.seeds), until: None, jobs: jobs(options.jobs)? };
    let bar = bar(Some(options.seeds));
    let (mut sums, mut decided, mut differ): (Vec<Report>, usize, Option<String>) = (Vec::new(), 0, None);
    let ran = each(
        span,
        |seed| accounts(options, seed),
        |_, accounts| {
            bar.inc(1);
            match accounts {
                Ok(accounts) => {
                    decided += accounts.first().map_or(0, |account| account.verdicts.len());
                    let reports = accounts.into_iter().map(|account| account.report);
                    sums = if sums.is_empty() {
                        reports.collect()
                    } else {
                        sums.iter().zip(reports).map(|(sum, report)| sum.and(&report)).collect()
                    };
                }
                Err(difference) => differ = Some(difference),
            }
            Ok(differ.is_none())
        },
    )?;
    bar.finish_and_clear();
    for sum in &sums {
        let t = &sum.tally;
        anstream::println!(
            "{}: {:.0} s simulated, {} elections, {} restarts, {} snapshots installed, {} refused and {} unknown on the way",
            sum.backend,
            sum.simulated.as_secs_f64(),
            t.elections,
            sum.restarts,
            t.snapshot_installs,
            t.refused,
            t.unknown
        );
    }
    let verdict = if differ.is_none() { "answered alike" } else { "NOT answered alike" };
    anstream::println!("{ran} schedules, {decided} requests {verdict}, {:.0} s", begun.elapsed().as_secs_f64());
    if let Some(difference) = &differ {
        anstream::println!("{difference}");
    }
    Ok(differ.is_none())
}
