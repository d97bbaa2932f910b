//! The figures of a million ranges, as `docs/performance.md` records them.
//!
//! `cargo bench -p cp-catalog --bench scale`, with `-- COLLECTIONS RANGES KEY_BYTES` for one layout.
//! Each layout is measured in a process of its own, so that its resident memory is its own.
#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark fails loudly and times")]

#[path = "load/mod.rs"]
mod load;

use cp_catalog::{Catalog, CatalogMachine, CollectionName};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, Term};
use load::{Draws, Layout};
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

const LAYOUTS: [[&str; 3]; 4] =
    [["1", "1000000", "16"], ["1", "1000000", "32"], ["10000", "100", "16"], ["10000", "100", "32"]];
/// Transitions are timed in batches, after the first few: those fill the history.
const BATCH: usize = 20_000;
const WARM: usize = 4;
const TRANSITIONS: usize = 24 * BATCH;
const LOOKUPS: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [collections, ranges, key_len] = arguments.as_slice() {
        let number = |text: &String| text.parse().expect("a number");
        let (collections, ranges, key_len) = (number(collections), number(ranges), number(key_len));
        return measure(Layout { collections, ranges, key_len: key_len as usize });
    }
    for layout in LAYOUTS {
        let own = std::env::current_exe().expect("this program");
        assert!(Command::new(own).args(layout).status().expect("it starts").success());
    }
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// For how long this thread has had a core, to about a millisecond: others may want it too.
fn on_core() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

fn spent<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = on_core();
    let done = work();
    (on_core().saturating_sub(begun), done)
}

/// The best of three.
fn best<T>(work: impl Fn() -> T) -> Duration {
    (0..3).map(|_| spent(|| black_box(work())).0).min().unwrap_or_default()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = work();
    (begun.elapsed(), done)
}

fn say(what: &str, value: f64, unit: &str) {
    println!("  {what:<52} {value:>12.1} {unit}");
}

fn measure(layout: Layout) {
    let Layout { collections, ranges, key_len } = layout;
    println!("{collections} collections of {ranges} ranges, bounds of {key_len} bytes");
    let count = (collections * ranges) as f64;

    // What filling leaves on the heap's free lists is measured with it, so members come first.
    drop(load::founded());
    let before = resident();
    let (took, filling) = spent(|| load::filled(layout));
    let grown = resident() - before;
    say("resident after filling by entries, at most", grown as f64 / count, "bytes a range");
    say("filling, entries made and applied", took.as_nanos() as f64 / count, "ns a range");
    let load::Filling { catalog, index } = filling;

    say("for comparison: a dependent read of 256 MiB, p50", dependent_reads(), "ns");
    lookups(&catalog, layout);

    let recomputed = best(|| catalog.recompute_digest());
    assert_eq!(catalog.recompute_digest(), catalog.digest());
    say("digest update: one record hashed", recomputed.as_nanos() as f64 / count, "ns");

    say("snapshot", best(|| catalog.to_genesis().expect("captured")).as_secs_f64() * 1e3, "ms");
    let genesis = catalog.to_genesis().expect("captured");
    let entries = load::transitions(&catalog, layout, TRANSITIONS);
    drop(catalog.clone());
    let before = resident();
    let (first, restored) = spent(|| Catalog::from_chunks(&genesis.chunks).expect("restored"));
    say("resident after a restore, over the rest", resident().saturating_sub(before) as f64 / count, "bytes a range");
    let restores = first.min(best(|| Catalog::from_chunks(&genesis.chunks).expect("restored")));
    say("restore, every check and the digest", restores.as_secs_f64() * 1e3, "ms");
    assert_eq!(restored.digest(), genesis.digest);
    drop((restored, genesis));

    // Once the history is full and the heap has dealt with what was dropped: alternately alone and
    // with a reader that clones the state every 100 entries.
    let machine = CatalogMachine::new(catalog, ControlPlaneLogIndex(index - 1));
    let mut index = index;
    let (mut alone, mut read) = (Duration::ZERO, Duration::ZERO);
    for (turn, batch) in entries.chunks(BATCH).enumerate() {
        let shared = turn % 2 == 1;
        let (took, ()) = spent(|| {
            let mut reader = None;
            for (at, entry) in batch.iter().enumerate() {
                if shared && at % 100 == 0 {
                    reader = Some(machine.read(Catalog::clone));
                }
                machine.apply(LogPosition::new(Term(1), ControlPlaneLogIndex(index)), entry).expect("applied");
                index += 1;
            }
            drop(reader);
        });
        if turn >= WARM {
            *(if shared { &mut read } else { &mut alone }) += took;
        }
    }
    let done = |index| machine.verdict(ControlPlaneLogIndex(index)).is_some_and(|verdict| verdict.is_done());
    assert!((index - 60_000..index).all(done), "every transition takes effect");
    let half = entries.len().saturating_sub(WARM * BATCH) as f64 / 2.0;
    say("apply, mixed transitions", half / alone.as_secs_f64(), "a second");
    say("apply, the state cloned every 100 entries", half / read.as_secs_f64(), "a second");
}

/// What one read costs that has to wait for the one before it, anywhere in 256 MiB.
fn dependent_reads() -> f64 {
    let mut next: Vec<[u64; 8]> = (0..4u64 << 20).map(|at| [at; 8]).collect();
    let mut draws = Draws(5);
    // One cycle through all (Sattolo).
    for at in (1..next.len()).rev() {
        next.swap(at, draws.below(at as u64) as usize);
    }
    let mut at = 0;
    let mut batches: Vec<_> = (0..5000)
        .map(|_| {
            let read = || (0..100).for_each(|_| at = next.get(at as usize).map_or(0, |line| line[0]));
            timed(read).0.as_nanos() as f64 / 100.0
        })
        .collect();
    black_box(at);
    batches.sort_by(f64::total_cmp);
    batches.get(batches.len() / 2).copied().unwrap_or_default()
}

fn lookups(catalog: &Catalog, layout: Layout) {
    // Names of their own, as requests bring them.
    let names: Vec<CollectionName> = (0..layout.collections).map(load::collection).collect();
    let mut draws = Draws(3);
    let queries: Vec<_> = (0..LOOKUPS).map(|_| (draws.below(layout.collections), draws.key(layout.key_len))).collect();
    let ask = |(number, key): &(u64, Vec<u8>)| {
        let name = names.get(*number as usize).expect("it was made");
        black_box(catalog.owner_of(name, key).expect("covered").as_str().len())
    };
    // Whoever asks has just had the name and the key in hand.
    let at_hand = |query: &(u64, Vec<u8>)| {
        let name = names.get(query.0 as usize).expect("it was made");
        black_box((name.as_str().bytes().map(u64::from).sum::<u64>(), query.1.first().copied()));
    };
    let mut nanos: Vec<_> = (0..2)
        .flat_map(|_| &queries)
        .map(|query| {
            at_hand(query);
            timed(|| ask(query)).0.as_nanos() as f64
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    let at = |share: usize| nanos.get(nanos.len() * share / 1000).copied().unwrap_or_default();
    say("owner lookup one by one, the timer included: p50", at(500), "ns");
    say("owner lookup one by one, the timer included: p99", at(990), "ns");
    let mut batches: Vec<_> = queries
        .chunks(100)
        .map(|batch| {
            batch.iter().for_each(at_hand);
            timed(|| batch.iter().map(ask).sum::<usize>()).0.as_nanos() as f64 / batch.len() as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    say("owner lookup, batches of 100: p50", batches.get(batches.len() / 2).copied().unwrap_or_default(), "ns");
}
