//! What a catalog of a million ranges costs to change, ask, capture and restore.
//!
//! `cargo bench -p cp-catalog --bench catalog`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark fails loudly")]

mod load;

use cp_catalog::{Catalog, CollectionName};
use cp_seam::ControlPlaneLogIndex;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use load::{Draws, Layout};
use std::hint::black_box;

const RANGES: u64 = 1_000_000;
/// More than the steps of one run.
const TRANSITIONS: usize = 900_000;

fn benches(criterion: &mut Criterion) {
    for (name, collections) in [("one collection of a million ranges", 1), ("10,000 collections of 100 ranges", 10_000)]
    {
        of(criterion, name, Layout { collections, ranges: RANGES / collections, key_len: 16 });
    }
}

fn of(criterion: &mut Criterion, name: &str, layout: Layout) {
    let load::Filling { catalog, index } = load::filled(layout);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(1));

    let names: Vec<CollectionName> = (0..layout.collections).map(load::collection).collect();
    let mut draws = Draws(4);
    group.bench_function("who owns this key", |bencher| {
        bencher.iter_batched(
            || (draws.below(layout.collections) as usize, draws.key(layout.key_len)),
            |(number, key)| black_box(catalog.owner_of(names.get(number).expect("it was made"), &key)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("plan the drain of a member", |bencher| {
        let observed = cp_catalog::plan::Observed::default();
        bencher.iter(|| black_box(cp_catalog::plan::drain(&catalog, &observed, &load::member(1))));
    });
    let entries = load::transitions(&catalog, layout, TRANSITIONS);
    group.bench_function("apply a transition", |bencher| {
        let (mut changing, mut index) = (catalog.clone(), index);
        let mut entries = entries.iter().cycle();
        bencher.iter_batched(
            || entries.next().expect("there are some"),
            |entry| {
                index += 1;
                black_box(changing.apply(ControlPlaneLogIndex(index), entry))
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(RANGES));
    group.bench_function("recompute the digest", |bencher| {
        bencher.iter(|| black_box(catalog.recompute_digest()));
    });
    group.bench_function("capture a snapshot", |bencher| {
        bencher.iter(|| black_box(catalog.to_genesis()).expect("captured"));
    });
    let genesis = catalog.to_genesis().expect("captured");
    group.bench_function("restore it, its digest recomputed", |bencher| {
        bencher.iter(|| black_box(Catalog::from_chunks(&genesis.chunks)).expect("restored"));
    });
    group.finish();
}

criterion_group!(catalog, benches);
criterion_main!(catalog);
