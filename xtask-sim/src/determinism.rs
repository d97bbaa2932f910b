//! A seed is a run: the same trace whatever ran before it, beside it, or never.

use crate::engine::Engine;
use crate::output::bar;
use crate::workers::{Span, each, jobs};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cp_conformance::{Report, Shape, run_seed};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The consensus engine [default: each in turn]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many simulated seconds each storm lasts
    #[arg(long, value_name = "S", default_value_t = 3)]
    seconds: u64,
    /// How many seeds at once [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Only print the hash of one run: what a fresh process is started for
    #[arg(long, hide = true)]
    hash: bool,
}

/// Whether every trace was the same each time.
pub(crate) fn run(options: &Options) -> Result<bool> {
    ensure!(options.seconds > 0 && options.seeds > 0, "--seconds and --seeds must be above zero");
    let engines = options.engine.map_or_else(|| Engine::ALL.to_vec(), |engine| vec![engine]);
    if options.hash {
        for engine in engines {
            anstream::println!("{}", hash(engine, options.seed, options.seconds)?);
        }
        return Ok(true);
    }
    let mut same = true;
    for engine in engines {
        same &= engine_is_deterministic(engine, options)?;
    }
    Ok(same)
}

fn hash(engine: Engine, seed: u64, seconds: u64) -> Result<String> {
    let options = Shape::Mixed.options(seed, Duration::from_secs(seconds));
    match run_seed(engine.backend(), seed, &options) {
        Ok(Report { trace: (hash, lines), simulated, .. }) => {
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("{hex} {lines} {}", simulated.as_millis()))
        }
        // Too short a storm may prove nothing; what it did not prove is the same each time.
        Err(violation) if violation.broken.checker == "not vacuous" => Ok(violation.broken.to_string()),
        Err(violation) => bail!("{violation}"),
    }
}

fn fresh(engine: Engine, seed: u64, seconds: u64) -> Result<String> {
    let me = std::env::current_exe().context("this program is not to be found")?;
    let numbers = (seed.to_string(), seconds.to_string());
    let output = Command::new(me)
        .args(["determinism", "--hash", "--engine", &engine.to_string(), "--seed", &numbers.0, "--seconds", &numbers.1])
        .output()
        .context("a fresh process could not be started")?;
    ensure!(output.status.success(), "a fresh process failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn engine_is_deterministic(engine: Engine, options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let span = Span { first: options.seed, count: Some(options.seeds), until: None, jobs: jobs(options.jobs)? };
    let last = options.seed.saturating_add(options.seeds - 1);
    let bar = bar(Some(options.seeds.saturating_mul(2)));
    let mut base = BTreeMap::new();
    let mut differ: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let forth = |seed| {
        let first = hash(engine, seed, options.seconds)?;
        let again = hash(engine, seed, options.seconds)?;
        anyhow::Ok((first, again, fresh(engine, seed, options.seconds)?))
    };
    each(span, forth, |seed, hashes| {
        let (first, again, fresh) = hashes?;
        bar.inc(1);
        for (mode, hash) in [("same thread", &again), ("fresh process", &fresh)] {
            if *hash != first {
                differ.entry(mode).or_default().push(seed);
            }
        }
        base.insert(seed, first);
        Ok(true)
    })?;
    // The other way round, on threads that have run other seeds.
    let back = |number: u64| {
        let seed = last - (number - options.seed);
        (seed, hash(engine, seed, options.seconds))
    };
    each(span, back, |_, (seed, hash)| {
        bar.inc(1);
        if base.get(&seed) != Some(&hash?) {
            differ.entry("other order").or_default().push(seed);
        }
        Ok(true)
    })?;
    bar.finish_and_clear();
    for (mode, seeds) in &differ {
        anstream::println!("{engine}: {} seeds give another trace in mode `{mode}`: {seeds:?}", seeds.len());
    }
    anstream::println!(
        "{engine}: {} seeds x (same thread, other order, fresh process), {} mismatches, {} distinct traces, {:.0} s",
        options.seeds,
        differ.values().map(Vec::len).sum::<usize>(),
        base.values().collect::<std::collections::BTreeSet<_>>().len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(differ.is_empty())
}
