//! States to run plans against.

use crate::double::World;
use cp_catalog::plan::{Health, HealthSettings, Heard};
use cp_catalog::*;
use cp_seam::{ClusterId, Generation, MemberId, MemberKind};
use cp_supervisor::executor::Goal;

pub(crate) fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub(crate) fn key(number: u64) -> RangeKey {
    RangeKey::new(CollectionName::new("books").unwrap(), RangeId(number))
}

/// Range `number`: owner, hot replicas, archives, and the factor.
pub(crate) type Draw<'a> = (&'a str, &'a [&'a str], &'a [&'a str], u32);

/// Data members a, b, c and d and the witness w; a holds the authority of the shelf.
pub(crate) fn founded(ranges: &[Draw<'_>]) -> World {
    let founder = |(name, kind): (&str, MemberKind)| FoundingMember {
        id: id(name),
        kind,
        addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
        locality: Locality { domain: None, weight: 1 },
        features: Features::default(),
    };
    let data = ["a", "b", "c", "d"].map(|name| (name, MemberKind::Data));
    let founding = data.into_iter().chain([("w", MemberKind::Witness)]).map(founder).collect();
    let catalog = Catalog::genesis(ClusterId([7; 16]), Generation::default(), founding).unwrap();
    let world = World::new(catalog);
    let (collection, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
    world.done(OwnershipCommand::CreateCollection { collection, group: group.clone(), mode: Mode::Ordered });
    world.done(OwnershipCommand::AssignAuthority { group, holder: id("a") });
    for (number, (owner, replicas, archives, replication_factor)) in (1_u8..).zip(ranges) {
        let end = |at: u8| Bound::at(&[at]).unwrap();
        world.done(OwnershipCommand::CreateRange(NewRange {
            range: key(u64::from(number)),
            mode: Mode::Ordered,
            bounds: Bounds::new(end(number), end(number + 1)).unwrap(),
            owner: id(owner),
            replicas: replicas.iter().map(|name| id(name)).collect(),
            archives: archives.iter().map(|name| id(name)).collect(),
            placement: Placement { replication_factor: *replication_factor, ..Placement::default() },
        }));
    }
    world
}

fn begin_move(world: &World, number: u64, to: &str, phases: usize) {
    let fence = || world.catalog().range(&key(number)).unwrap().fence();
    world.done(OwnershipCommand::BeginMove { range: key(number), fence: fence(), target: id(to) });
    for phase in [MovePhase::Copying, MovePhase::CatchingUp].into_iter().take(phases) {
        world.done(OwnershipCommand::AdvanceMove { range: key(number), fence: fence(), phase });
    }
}

/// a has something of every kind.
pub(crate) fn crowded() -> World {
    let ranges: [Draw<'_>; 6] = [
        ("a", &["b"], &[], 2),
        ("a", &[], &[], 1),
        ("b", &["a"], &[], 2),
        ("c", &[], &["a"], 2),
        ("a", &[], &[], 1),
        ("b", &[], &[], 1),
    ];
    let world = founded(&ranges);
    begin_move(&world, 5, "d", 1);
    begin_move(&world, 6, "a", 1);
    world.begin();
    world
}

/// a has more than its share, and a move stands in each phase.
pub(crate) fn uneven() -> World {
    let ranges: [Draw<'_>; 7] = [
        ("a", &["b"], &[], 2),
        ("a", &["c"], &[], 2),
        ("a", &[], &[], 1),
        ("a", &[], &[], 1),
        ("a", &[], &[], 1),
        ("a", &[], &[], 1),
        ("b", &[], &[], 2),
    ];
    let world = founded(&ranges);
    begin_move(&world, 4, "d", 0);
    begin_move(&world, 5, "c", 1);
    begin_move(&world, 6, "b", 2);
    world.begin();
    world
}

/// a is lost, or is only said to be; its ranges have replicas, and b has one without.
pub(crate) fn bereft(dead: bool) -> (World, Goal) {
    let world = founded(&[("a", &["b"], &[], 2), ("a", &["c", "d"], &[], 3), ("b", &["a"], &[], 2)]);
    world.begin();
    // What was acknowledged is at the replicas too.
    world.inner().edit_everything();
    world.settle();
    if dead {
        world.kill_member(&id("a"));
    }
    let mut health = Health::new(HealthSettings::default());
    ["b", "c", "d"].iter().for_each(|name| health.observe(&id(name), 1000, Heard::default()));
    let lost = [id("a")].into();
    (world, Goal::Failover { health, now_ms: 1000, lost })
}
