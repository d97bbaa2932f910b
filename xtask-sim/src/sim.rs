//! Storms, seed after seed.

use crate::engine::Engine;
use crate::output::{Format, bar};
use crate::record::{Record, Run};
use crate::workers::{Span, each, jobs};
use anyhow::{Context, Result, ensure};
use clap::Args;
use cp_conformance::{Kept, Report, Schedule, Shape, Violation, run_seed};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The consensus engine
    #[arg(long, value_enum, default_value_t = Engine::Openraft)]
    engine: Engine,
    /// How many seeds; with --minutes, as many as fit unless given
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; with --record, the first that is not in the record
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Begin no further seed after so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// The cluster: mixed, three, five, churn or witness
    #[arg(long, default_value_t)]
    shape: Shape,
    /// How many simulated seconds each storm lasts
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Which steps of the schedule take place: all, none, or numbers and spans such as 3,7-9
    #[arg(long, value_name = "STEPS", default_value_t)]
    keep: Kept,
    /// How many runs a violation may be shrunk by
    #[arg(long, value_name = "N", default_value_t = 150)]
    shrink_runs: u32,
    /// How many seeds at once [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Add what ran to this file, and begin where it ends
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Options {
    fn of(&self, seed: u64, kept: &Kept) -> cp_conformance::Options {
        let options = self.shape.options(seed, Duration::from_secs(self.seconds));
        cp_conformance::Options { kept: kept.clone(), ..options }
    }

    fn command(&self, seed: u64, kept: &Kept) -> String {
        let keep = if *kept == Kept::All { String::new() } else { format!(" --keep {kept}") };
        let (engine, shape, seconds) = (self.engine, self.shape, self.seconds);
        format!("cargo xtask sim --engine {engine} --shape {shape} --seconds {seconds} --seed {seed} --seeds 1{keep}")
    }
}

/// Whether no promise was broken.
pub(crate) fn run(options: &Options) -> Result<bool> {
    ensure!(options.seconds > 0, "--seconds 0 leaves no time for anything to go wrong; give 1 or more");
    let backend = options.engine.backend();
    let mut record = options.record.as_deref().map(Record::read).transpose()?;
    let begun = Instant::now();
    let until = match options.minutes {
        Some(minutes) => {
            let time = Duration::try_from_secs_f64(minutes * 60.0);
            Some(begun + time.with_context(|| format!("--minutes {minutes} is no length of time"))?)
        }
        None => None,
    };
    let next = record.as_ref().map_or(1, |r| r.next_seed(backend.name(), options.shape.name(), options.seconds));
    let first = options.seed.unwrap_or(next);
    let count = options.seeds.or(if until.is_none() { Some(100) } else { None });
    let span = Span { first, count, until, jobs: jobs(options.jobs)? };

    let bar = bar(count);
    let (mut sum, mut violation): (Option<Report>, Option<Box<Violation>>) = (None, None);
    let work = |seed| run_seed(backend, seed, &options.of(seed, &options.keep));
    let ran = each(span, work, |_, verdict| {
        bar.inc(1);
        match verdict {
            Ok(report) => {
                let total = sum.take().map_or_else(|| report.clone(), |sum| sum.and(&report));
                let hours = total.simulated.as_secs_f64() / 3600.0;
                bar.set_message(format!("{hours:.1} h simulated, {} elections", total.tally.elections));
                sum = Some(total);
            }
            // The earliest seed is kept: which thread was first is chance.
            Err(found) => {
                violation = Some(match violation.take() {
                    Some(before) if before.seed <= found.seed => before,
                    _ => found,
                });
            }
        }
        Ok(violation.is_none())
    })?;
    bar.finish_and_clear();
    let wall = begun.elapsed();
    let found = violation.map(|violation| shrunk(options, &violation));

    if let (Some(record), Some(path), Some(sum), None) = (&mut record, &options.record, &sum, &found) {
        let run = Run {
            engine: backend.name().to_owned(),
            shape: options.shape.to_string(),
            storm_s: options.seconds,
            first,
            last: first.saturating_add(ran.saturating_sub(1)),
            simulated_s: sum.simulated.as_secs(),
            acknowledged: sum.tally.acknowledged,
            elections: sum.tally.elections,
            restarts: sum.restarts,
            commit: commit(),
        };
        record.add(path, run)?;
        let days = Duration::from_secs(record.simulated_s(backend.name())).as_secs_f64() / 86_400.0;
        anstream::eprintln!("{}: {days:.2} simulated days of {backend:?} in all", path.display());
    }
    match options.output {
        Format::Text => text(options, ran, wall, sum.as_ref(), found.as_ref()),
        Format::Json => anstream::println!("{}", document(options, (first, ran), wall, sum.as_ref(), found.as_ref())),
    }
    Ok(found.is_none())
}

/// A violation, with as little of its schedule as still shows it.
struct Found {
    violation: Violation,
    steps: Vec<String>,
    runs: u32,
}

fn shrunk(options: &Options, first: &Violation) -> Found {
    anstream::eprintln!("seed {} broke {}; shrinking its schedule ...", first.seed, first.broken.promise);
    let (seed, backend) = (first.seed, options.engine.backend());
    let schedule = Schedule::draw(seed, &options.of(seed, &Kept::All));
    let mut last = None;
    let shrunk = cp_conformance::schedule::shrink(&schedule, options.shrink_runs, |kept| {
        match run_seed(backend, seed, &options.of(seed, kept)) {
            Err(violation) if violation.broken.checker == first.broken.checker => {
                last = Some((kept.clone(), violation));
                true
            }
            _ => false,
        }
    });
    let (kept, mut violation) = match last {
        Some((kept, violation)) if kept == shrunk.kept => (kept, *violation),
        _ => (options.keep.clone(), first.clone()),
    };
    violation.reproduce = options.command(seed, &kept);
    Found { steps: schedule.lines(&kept), violation, runs: shrunk.runs }
}

fn text(options: &Options, ran: u64, wall: Duration, sum: Option<&Report>, found: Option<&Found>) {
    if let Some(Found { violation, steps, runs }) = found {
        anstream::println!("{violation}");
        anstream::println!("  the schedule, shrunk in {runs} runs to {} steps:", steps.len());
        steps.iter().for_each(|step| anstream::println!("    {step}"));
        anstream::println!();
    }
    let engine = options.engine;
    let Some(sum) = sum else {
        anstream::println!("{engine}: {ran} seeds, none without a violation");
        return;
    };
    let simulated = sum.simulated.as_secs_f64();
    anstream::println!(
        "{engine}, {}: {ran} seeds, {:.2} h simulated in {:.0} s ({:.0}x real time), {:.0} acknowledged per simulated \
         minute, {} violations",
        options.shape,
        simulated / 3600.0,
        wall.as_secs_f64(),
        simulated / wall.as_secs_f64(),
        per_minute(sum),
        u64::from(found.is_some())
    );
    for (what, count) in sum.counts() {
        anstream::println!("  {count:>12}  {what}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_minute(sum: &Report) -> f64 {
    sum.tally.acknowledged as f64 * 60.0 / sum.simulated.as_secs_f64()
}

fn document(
    options: &Options,
    (first, ran): (u64, u64),
    wall: Duration,
    sum: Option<&Report>,
    found: Option<&Found>,
) -> serde_json::Value {
    let counts: serde_json::Map<_, _> =
        sum.map(Report::counts).into_iter().flatten().map(|(what, n)| (what.to_owned(), n.into())).collect();
    let violations: Vec<_> = found
        .iter()
        .map(|Found { violation: v, steps, runs }| {
            json!({
                "seed": v.seed,
                "checker": v.broken.checker,
                "promise": v.broken.promise.id(),
                "what": v.broken.what,
                "reproduce": v.reproduce,
                "schedule": steps,
                "shrunk_in_runs": runs,
                "options": v.options,
                "trace": v.trace,
            })
        })
        .collect();
    json!({
        "version": 1,
        "kind": "sim",
        "engine": options.engine.to_string(),
        "shape": options.shape.name(),
        "storm_s": options.seconds,
        "first_seed": first,
        "seeds": ran,
        "simulated_hours": sum.map_or(0.0, |sum| sum.simulated.as_secs_f64() / 3600.0),
        "wall_s": wall.as_secs_f64(),
        "counts": counts,
        "violations": violations,
    })
}

/// The commit that is checked out, as far as git tells.
fn commit() -> String {
    let told = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    match told {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
