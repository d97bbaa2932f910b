//! What a catalog of 100,000 ranges costs to change, ask, capture and restore.
//!
//! `cargo bench -p cp-catalog`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark fails loudly")]

use cp_catalog::{
    Addresses, Bound, Bounds, Catalog, ClosedGate, CollectionName, Copies, DataPosition, Evidence, Features,
    FoundingMember, GroupName, Locality, Mode, NewRange, OwnershipCommand, Placement, RangeId, RangeKey, Request,
    Transfer,
};
use cp_seam::{ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, Generation, MemberId, MemberKind};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const RANGES: u64 = 100_000;

fn member(number: u64) -> MemberId {
    MemberId::new(&format!("m{number}")).expect("a legal name")
}

fn bound(number: u64) -> Bound {
    if number == 0 || number == RANGES { Bound::Min } else { Bound::at(&number.to_be_bytes()).expect("short") }
}

fn entry(command: OwnershipCommand) -> ControlPlaneEntry {
    Request::new(None, command).to_entry().expect("short")
}

/// Three members and one collection of [`RANGES`] ordered ranges, applied as entries; and the next index.
fn filled() -> (Catalog, CollectionName, u64) {
    let founding = (1..=3)
        .map(|number| FoundingMember {
            id: member(number),
            kind: MemberKind::Data,
            addresses: Addresses {
                peer: format!("10.0.0.{number}:7401"),
                client: format!("10.0.0.{number}:7402"),
                http: String::new(),
            },
            locality: Locality { domain: None, weight: 100 },
            features: Features::default(),
        })
        .collect();
    let mut catalog = Catalog::genesis(ClusterId([7; 16]), Generation::default(), founding).expect("a founding state");
    let collection = CollectionName::new("orders").expect("a legal name");
    let group = GroupName::new("shop").expect("a legal name");
    let mut index = 0;
    let mut apply = |command| {
        index += 1;
        let applied = catalog.apply(ControlPlaneLogIndex(index), &entry(command));
        assert!(applied.verdict.is_done(), "{}", applied.verdict);
    };
    apply(OwnershipCommand::CreateCollection {
        collection: collection.clone(),
        group: group.clone(),
        mode: Mode::Ordered,
    });
    apply(OwnershipCommand::AssignAuthority { group, holder: member(1) });
    for number in 0..RANGES {
        let upper = if number + 1 == RANGES { Bound::Max } else { bound(number + 1) };
        apply(OwnershipCommand::CreateRange(NewRange {
            range: RangeKey::new(collection.clone(), RangeId(number + 1)),
            mode: Mode::Ordered,
            bounds: Bounds::new(bound(number), upper).expect("ascending"),
            owner: member(number % 3 + 1),
            replicas: (1..=3).filter(|other| *other != number % 3 + 1).map(member).collect::<Copies>(),
            archives: Copies::default(),
            placement: Placement::default(),
        }));
    }
    (catalog, collection, index + 1)
}

/// The handoff of a range from its owner to one of its replicas.
fn handoff(catalog: &Catalog, collection: &CollectionName, id: u64) -> ControlPlaneEntry {
    let key = RangeKey::new(collection.clone(), RangeId(id));
    let range = catalog.range(&key).expect("it was made");
    let to = range.replicas.iter().next().expect("it has replicas").clone();
    let at = DataPosition { term: 1, lsn: 1 };
    let closed_gate = Some(ClosedGate { epoch: range.epoch, last: at });
    let evidence = Some(Evidence { candidate: to.clone(), applied: at, watermark: at, closed_gate });
    entry(OwnershipCommand::Handoff(Transfer {
        range: key,
        from: range.owner.clone(),
        fence: range.fence(),
        to,
        evidence,
    }))
}

fn benches(criterion: &mut Criterion) {
    let (catalog, collection, next) = filled();
    let mut group = criterion.benchmark_group("catalog of 100,000 ranges");
    group.sample_size(10).throughput(Throughput::Elements(1));

    let mut id = 0;
    let mut turn = |step: u64| {
        id = (id + step) % RANGES;
        id
    };
    group.bench_function("apply a handoff", |bencher| {
        let mut changing = catalog.clone();
        let mut index = next;
        bencher.iter_batched(
            || handoff(&catalog, &collection, turn(7919) + 1),
            |entry| {
                index += 1;
                black_box(changing.apply(ControlPlaneLogIndex(index), &entry))
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("who owns this key", |bencher| {
        bencher.iter(|| black_box(catalog.locate(&collection, &turn(7919).to_be_bytes())));
    });
    group.bench_function("plan the drain of a member that is in every range", |bencher| {
        let observed = cp_catalog::plan::Observed::default();
        bencher.iter(|| black_box(cp_catalog::plan::drain(&catalog, &observed, &member(1))));
    });
    group.throughput(Throughput::Elements(RANGES));
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
