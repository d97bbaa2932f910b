//! Random faults, aimed ones among them, under load.

use crate::backend::Backend;
use crate::options::Options;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::scenario;
use std::time::Duration;

/// One storm: clients write and read while everything goes wrong, then all heals
/// and every member is held to its promises.
pub fn storm(backend: &'static dyn Backend, seed: u64, options: &Options) -> Verdict {
    named("storm::random_faults_break_nothing", backend, seed, options)
}

pub(super) fn named(name: &'static str, backend: &'static dyn Backend, seed: u64, options: &Options) -> Verdict {
    // What any storm reaches; the cases demand more of all their seeds together.
    let least = Least { elections: 1, acknowledged: 3, ..Least::default() };
    Scenario::new(name)
        .seed(seed)
        .options(options.clone())
        .least(least)
        .run(backend, async |world| Box::pin(world.storm()).await)
}

/// The seeds to run: `1` to `count`, or the one in `CP_SEED`, or the first and last in
/// `CP_SEEDS`, as in `100-199`.
pub(super) fn seeds(count: u64) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().ok();
    if let Some(seed) = std::env::var("CP_SEED").ok().and_then(|seed| number(&seed)) {
        return vec![seed];
    }
    let range = std::env::var("CP_SEEDS").ok();
    let range = range.as_deref().and_then(|range| range.split_once('-'));
    match range.and_then(|(first, last)| Some(number(first)?..=number(last)?)) {
        Some(range) => range.collect(),
        None => (1..=count).collect(),
    }
}

fn several(name: &'static str, backend: &'static dyn Backend, count: u64, options: &Options) -> Verdict {
    let mut total: Option<crate::Report> = None;
    for seed in seeds(count) {
        let report = named(name, backend, seed, options)?;
        println!("{report}");
        total = Some(match total {
            None => report,
            Some(sum) => sum.and(&report),
        });
    }
    let none = || scenario("no seed was run");
    let total = total.ok_or_else(|| Box::new(crate::Violation::of(none(), name, backend, options)))?;
    if std::env::var("CP_SEED").is_ok() {
        return Ok(total);
    }
    let least = Least {
        elections: 3 * count,
        commits: 40 * count,
        acknowledged: 20 * count,
        transitions: 5 * count,
        restarts: 3 * count,
        snapshot_installs: 1,
        cut: count,
        aimed: count,
        failed_operations: 1,
        lost_changes: 1,
        stalls: count / 3,
        ..Least::default()
    };
    match total.reaches(&least) {
        Ok(()) => Ok(total),
        Err(broken) => Err(Box::new(crate::Violation::of(broken, name, backend, options))),
    }
}

/// Three nodes through several storms: crashes and power losses, aimed right after
/// grants and acknowledgements too, cuts, loss, stalls, failing disks, transfers
/// (CP-S1, CP-S2, CP-S3, CP-S5, CP-D1, CP-D2, CP-D3, CP-P1, CP-P3, CP-P4, CP-R3, CP-L1).
pub fn random_faults_break_nothing(backend: &'static dyn Backend) -> Verdict {
    several("storm::random_faults_break_nothing", backend, 4, &Options::storm(3))
}

/// The same among five (CP-S1, CP-S2, CP-S3, CP-L1).
pub fn random_faults_break_nothing_among_five(backend: &'static dyn Backend) -> Verdict {
    let options = Options { storm: Duration::from_secs(15), ..Options::storm(5) };
    several("storm::random_faults_break_nothing_among_five", backend, 2, &options)
}

/// The same while members are admitted, get a vote, are removed, by force too, and are
/// exchanged for another life under their name (CP-M1, CP-M3, CP-S1, CP-S2).
pub fn random_faults_break_nothing_while_members_change(backend: &'static dyn Backend) -> Verdict {
    let options = Options { churn: true, ..Options::storm(3) };
    several("storm::random_faults_break_nothing_while_members_change", backend, 3, &options)
}

/// The same with two data members and a witness (CP-M2, CP-S1, CP-S2).
pub fn random_faults_break_nothing_with_a_witness(backend: &'static dyn Backend) -> Verdict {
    let options = Options { witnesses: 1, ..Options::storm(3) };
    several("storm::random_faults_break_nothing_with_a_witness", backend, 2, &options)
}

/// The same with every transition of ranges: handoffs, moves, cuts, merges, archives,
/// placements. The catalog's invariants hold after every step (CP-S5, CP-R3, CP-P4).
pub fn random_faults_break_no_transition(backend: &'static dyn Backend) -> Verdict {
    let options = Options { every_transition: true, ..Options::storm(3) };
    several("storm::random_faults_break_no_transition", backend, 4, &options)
}
