//! What leases cost at a million ranges over a thousand members, as `docs/performance.md` records it.
//!
//! `cargo bench -p cp-lease --bench scale`, with `-- COLLECTIONS RANGES` for another layout.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark fails loudly")]
#![allow(clippy::disallowed_methods, reason = "a benchmark times")]
#![allow(dead_code, reason = "the load has more than this needs")]

#[path = "../../cp-catalog/benches/load/mod.rs"]
mod load;

use cp_catalog::{CatalogMachine, MemberLife, Range, RangeKey, Role};
use cp_lease::{Grants, Holder, Margin, Monotonic, Policy};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, Term};
use load::{Draws, Layout};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TRANSITIONS: usize = 20_000;
const RENEWALS: u64 = 200_000;
const ADMISSIONS: usize = 2_000_000;

fn at(millis: u64) -> Monotonic {
    Monotonic::from_nanos(millis * 1_000_000)
}

/// Runs `work` so many times; nanoseconds each.
fn each(count: usize, mut work: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    for turn in 0..count {
        work(turn);
    }
    begun.elapsed().as_nanos() as f64 / count as f64
}

fn say(what: &str, nanos: f64) {
    println!("  {what:<66} {nanos:>12.0} ns");
}

fn main() {
    let arguments: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (collections, ranges) = match arguments.as_slice() {
        [collections, ranges] => (*collections, *ranges),
        _ => (1, 1_000_000),
    };
    let layout = Layout { collections, ranges, key_len: 16 };
    let load::Filling { catalog, index } = load::filled(layout);
    println!("{collections} collections of {ranges} ranges over {} members", load::MEMBERS);
    let entries = load::transitions(&catalog, layout, TRANSITIONS);
    let lives: Vec<MemberLife> = catalog.members().map(cp_catalog::Member::life).collect();
    let owned: Vec<RangeKey> =
        catalog.held_by(&lives[0].id).filter(|held| held.1 == Role::Owner).map(|h| h.0).collect();
    let machine = CatalogMachine::new(catalog, ControlPlaneLogIndex(index - 1));

    let length = Duration::from_secs(9);
    let policy = Policy::new(length, Margin::for_drift(length, 200)).expect("a policy");
    let (applied, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    let mut grants = Grants::begin(Term(1), applied, catalog, policy, at(0));
    let mut now = 1_000;
    let renew = |grants: &mut Grants, now: u64, turn: usize| {
        let life = &lives[turn % lives.len()];
        grants.grant(life, at(now), at(now)).expect("a member")
    };
    let unsettled = each(RENEWALS as usize, |turn| drop(black_box(renew(&mut grants, now, turn))));
    say("the leader renews a member, not settled yet", unsettled);
    now = 20_000;
    let settled = each(RENEWALS as usize, |turn| drop(black_box(renew(&mut grants, now, turn))));
    say("the leader renews a member", settled);

    // Alone, and with the rest of what a leader does between two transitions.
    let (mut applying, mut following) = (Duration::ZERO, Duration::ZERO);
    for (turn, (index, entry)) in (index..).zip(&entries).enumerate() {
        let begun = Instant::now();
        machine.apply(LogPosition::new(Term(1), ControlPlaneLogIndex(index)), entry).expect("applied");
        applying += begun.elapsed();
        let batch = if turn < TRANSITIONS / 2 { 1 } else { 100 };
        if turn % batch == 0 {
            let begun = Instant::now();
            let (applied, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
            let changes = machine.changes_from(grants.next(), usize::MAX);
            grants.follow(applied, catalog, &changes).expect("followed");
            following += begun.elapsed();
        }
        if turn + 1 == TRANSITIONS / 2 || turn + 1 == TRANSITIONS {
            let count = TRANSITIONS as f64 / 2.0;
            let how = if batch == 1 { "one by one" } else { "by the hundred" };
            say(&format!("a transition applied, the book following {how}"), applying.as_nanos() as f64 / count);
            say(&format!("a transition followed by the book, {how}"), following.as_nanos() as f64 / count);
            (applying, following) = (Duration::ZERO, Duration::ZERO);
        }
    }
    let awaiting = grants.awaiting(at(now)).count();
    let busy = each(RENEWALS as usize, |turn| drop(black_box(renew(&mut grants, now + 1, turn))));
    say(&format!("the leader renews a member, {awaiting} ranges awaiting"), busy);

    let (applied, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    let changes = machine.changes_from(grants.next(), usize::MAX);
    grants.follow(applied, catalog.clone(), &changes).expect("followed");
    let begun = Instant::now();
    let mut holder = Holder::new(lives[0].clone(), policy.margin(), applied, &catalog, []);
    say(&format!("a member begins from the catalog, {} ranges", owned.len()), begun.elapsed().as_nanos() as f64);
    let renewal = renew(&mut grants, 100_000, 0);
    let taking = each(1_000, |turn| {
        holder.renew(&renewal, at(100_000 + turn as u64)).map(drop).expect("taken");
    });
    say(&format!("a member takes a renewal for {} ranges", owned.len()), taking);
    let mut draws = Draws(3);
    let writes: Vec<(RangeKey, _)> = owned
        .iter()
        .filter_map(|key| Some((key.clone(), catalog.range(key).map(Range::standing)?)))
        .filter(|(_, standing)| standing.owner == lives[0].id)
        .collect();
    let order: Vec<usize> = (0..4096).map(|_| draws.below(writes.len() as u64) as usize).collect();
    let mut admitted = 0_usize;
    let admitting = each(ADMISSIONS, |turn| {
        let (range, standing) = &writes[order[turn % order.len()]];
        admitted += usize::from(holder.admit(black_box(range), standing.epoch, at(101_500)).is_ok());
    });
    assert!(admitted * 10 > ADMISSIONS * 9, "{admitted} admitted");
    say("a gate admits a write", admitting);
}
