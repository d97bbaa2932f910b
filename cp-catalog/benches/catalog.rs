//! What a catalog costs to change, ask, capture and restore, by its number of ranges, and its entries
//! to encode and decode.
//!
//! `cargo bench -p cp-catalog --bench catalog`
#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark fails loudly and times")]

#[expect(dead_code, reason = "mixed transitions are the other benchmark's")]
mod load;

use cp_catalog::plan::{self, Observed};
use cp_catalog::{Catalog, Range, RangeId, RangeKey, Request};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use load::{Draws, Filling, Layout};
use std::cell::{OnceCell, RefCell};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// In one collection.
const RANGES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Whatever reads all ranges is measured up to here; `scale` has the figures of a million.
const READ_WHOLE_MAX: u64 = 100_000;
/// How many handoffs are made before they are timed; each of another range.
const BATCH: u64 = 500;

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let Filling { catalog, .. } = load::filled(Layout { collections: 1, ranges: 10, key_len: 16 });
    let (key, range) = nth(&catalog, 1);
    let request = Request::new(None, load::handoff(key, range));
    group.bench_function("encode an ownership transition", |bencher| {
        bencher.iter(|| black_box(&request).to_entry());
    });
    let entry = request.to_entry().expect("short");
    group.bench_function("decode an ownership transition", |bencher| {
        bencher.iter(|| Request::from_entry(black_box(&entry)));
    });
    group.finish();
}

fn catalog(criterion: &mut Criterion) {
    for ranges in RANGES {
        let layout = Layout { collections: 1, ranges, key_len: 16 };
        // Made for the first benchmark that is not filtered out.
        let state = OnceCell::new();
        let state = || state.get_or_init(|| RefCell::new(load::filled(layout)));
        let mut group = criterion.benchmark_group("catalog");
        let id = |what| BenchmarkId::new(what, ranges);
        group.bench_function(id("who owns this key"), |bencher| {
            let (state, name, mut draws) = (state().borrow(), load::collection(0), Draws(4));
            bencher.iter_batched(
                || draws.key(layout.key_len),
                |key| black_box(state.catalog.owner_of(&name, &key)).is_some(),
                BatchSize::SmallInput,
            );
        });
        if ranges <= READ_WHOLE_MAX {
            group.bench_function(id("plan the drain of a member"), |bencher| {
                let (state, observed) = (state().borrow(), Observed::default());
                bencher.iter(|| black_box(plan::drain(&state.catalog, &observed, &load::member(1))));
            });
            group.bench_function(id("recompute the digest"), |bencher| {
                let state = state().borrow();
                bencher.iter(|| black_box(state.catalog.recompute_digest()));
            });
            group.bench_function(id("capture a snapshot"), |bencher| {
                let state = state().borrow();
                bencher.iter(|| black_box(state.catalog.to_genesis()).expect("captured"));
            });
            group.bench_function(id("restore it, its digest recomputed"), |bencher| {
                let genesis = state().borrow().catalog.to_genesis().expect("captured");
                bencher.iter(|| black_box(Catalog::from_chunks(&genesis.chunks)).expect("restored"));
            });
        }
        group.bench_function(id("apply a handoff"), |bencher| {
            let mut state = state().borrow_mut();
            let mut numbers: Vec<u64> = (1..=ranges).collect();
            Draws(5).shuffle(&mut numbers);
            let mut numbers = numbers.into_iter().cycle();
            bencher.iter_custom(|count| apply(&mut state, &mut numbers, count));
        });
        group.finish();
    }
}

/// Hands `count` ranges over, the next in turn. Each entry is made for the state as it then is, a batch
/// of other ranges at a time, so that each takes effect.
fn apply(state: &mut Filling, numbers: &mut impl Iterator<Item = u64>, count: u64) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let handoff = |number| {
            let (key, range) = nth(&state.catalog, number);
            load::entry(load::handoff(key, range))
        };
        let entries: Vec<_> = numbers.by_ref().take(batch as usize).map(handoff).collect();
        let begun = Instant::now();
        entries.iter().for_each(|entry| state.apply(entry));
        took += begun.elapsed();
    }
    took
}

fn nth(catalog: &Catalog, number: u64) -> (RangeKey, &Range) {
    let key = RangeKey::new(load::collection(0), RangeId(number));
    let range = catalog.range(&key).expect("it was made");
    (key, range)
}

criterion_group!(benches, codec, catalog);
criterion_main!(benches);
