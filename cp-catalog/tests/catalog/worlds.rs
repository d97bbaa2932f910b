//! Catalogs for planners: many members, ranges in every standing, and what was seen of them.

use crate::common::*;
use cp_catalog::plan::{Awaits, MemberObserved, Observed, Plan, RangeObserved, Step};
use cp_catalog::*;
use cp_seam::{Generation, MemberId, MemberKind};
use proptest::prelude::*;

pub(crate) const DATA: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
pub(crate) const WATERMARK: DataPosition = at(3, 10);

/// A range to be made: owner, two bits of role for each member, factor, move, what was seen.
#[derive(Debug, Clone)]
pub(crate) struct RangeDraw {
    owner: usize,
    roles: [u8; 7],
    factor: u32,
    moving: Option<(usize, u8)>,
    seen: [u8; 7],
    watermark: bool,
    gate: bool,
    load: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    domains: [u8; 7],
    weights: [u32; 7],
    disks: Option<[u64; 7]>,
    draining: [bool; 7],
    holders: [usize; 3],
    ranges: Vec<RangeDraw>,
}

fn range_draw() -> impl Strategy<Value = RangeDraw> {
    let roles = prop::array::uniform7(prop_oneof![3 => Just(0_u8), 2 => Just(1), 1 => Just(2)]);
    let moving = prop::option::weighted(0.3, (0..7_usize, 0..3_u8));
    let seen = prop::array::uniform7(0..5_u8);
    let load = prop::option::weighted(0.8, prop_oneof![9 => 0..100_u64, 1 => 0..1000_u64, 1 => Just(u64::MAX)]);
    (0..7_usize, roles, 1..5_u32, moving, seen, any::<bool>(), any::<bool>(), load).prop_map(
        |(owner, roles, factor, moving, seen, watermark, gate, load)| RangeDraw {
            owner,
            roles,
            factor,
            moving,
            seen,
            watermark,
            gate,
            load,
        },
    )
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let domains = prop::array::uniform7(0..4_u8);
    let weights = prop::array::uniform7(0..4_u32);
    let disks = prop::option::of(prop::array::uniform7(prop_oneof![5 => 1..9_u64, 1 => Just(u64::MAX)]));
    let draining = prop::array::uniform7(prop::bool::weighted(0.2));
    let holders = prop::array::uniform3(0..7_usize);
    let ranges = prop::collection::vec(range_draw(), 1..14);
    (domains, weights, disks, draining, holders, ranges).prop_map(
        |(domains, weights, disks, draining, holders, ranges)| World {
            domains,
            weights,
            disks,
            draining,
            holders,
            ranges,
        },
    )
}

pub(crate) fn keys(world: &World) -> impl Iterator<Item = RangeKey> {
    (1..=world.ranges.len() as u64).map(|number| rk("books", number))
}

/// Members `names`, each in the domain and of the weight given, and the witness w.
pub(crate) fn placed(names: &[(&str, Option<&str>, u32)]) -> Node {
    let mut founding = vec![founder("w", MemberKind::Witness)];
    founding.extend(names.iter().map(|(name, domain, weight)| FoundingMember {
        locality: Locality { domain: domain.map(|domain| FailureDomain::new(domain).unwrap()), weight: *weight },
        ..founder(name, MemberKind::Data)
    }));
    let mut node = Node::new(Catalog::genesis(CLUSTER, Generation { number: 0, id: [1; 8] }, founding).unwrap());
    node.done(OwnershipCommand::CreateCollection {
        collection: coll("books"),
        group: group("shelf"),
        mode: Mode::Ordered,
    });
    node
}

impl World {
    pub(crate) fn build(&self) -> (Node, Observed) {
        let domain = |n: usize| ["x", "y", "z"].get(usize::from(self.domains[n])).copied();
        let names: Vec<_> = (0..7).map(|n| (DATA[n], domain(n), self.weights[n])).collect();
        let mut node = placed(&names);
        for (number, holder) in self.holders.iter().enumerate() {
            let (group, holder) = (group(&format!("g{number}")), id(DATA[*holder]));
            node.done(OwnershipCommand::AssignAuthority { group, holder });
        }
        let mut observed = Observed::default();
        for (draw, (number, key)) in self.ranges.iter().zip((1_u8..).zip(keys(self))) {
            draw.build(&mut node, number, self.ranges.len(), &key);
            observed.ranges.insert(key.clone(), draw.seen(&key, &node.range(&key)));
        }
        for (n, name) in DATA.iter().enumerate() {
            let disk_bytes = self.disks.map(|disks| disks[n]);
            observed.members.insert(id(name), MemberObserved { disk_bytes, lost: false });
            if self.draining[n] {
                node.done(MembershipCommand::Drain { member: node.life(name) });
            }
        }
        (node, observed)
    }
}

impl RangeDraw {
    fn build(&self, node: &mut Node, number: u8, count: usize, key: &RangeKey) {
        let in_role = |role: u8| {
            let mine = (0..7).filter(move |n| *n != self.owner && self.roles[*n] == role);
            mine.map(|n| DATA[n]).collect::<Vec<_>>()
        };
        let lower = if number == 1 { Bound::Min } else { Bound::at(&[number]).unwrap() };
        let upper = if usize::from(number) == count { Bound::Max } else { Bound::at(&[number + 1]).unwrap() };
        let bounds = Bounds::new(lower, upper).unwrap();
        let placement = Placement { replication_factor: self.factor, ..Placement::default() };
        let new = new_range(key, bounds, DATA[self.owner], &in_role(1), &in_role(2));
        node.done(OwnershipCommand::CreateRange(NewRange { placement, ..new }));
        let Some((target, phases)) = self.moving else { return };
        if target != self.owner && self.roles[target] == 0 {
            let (range, fence, target) = (key.clone(), node.fence(key), id(DATA[target]));
            node.done(OwnershipCommand::BeginMove { range, fence, target });
            for phase in [MovePhase::Copying, MovePhase::CatchingUp].into_iter().take(usize::from(phases)) {
                node.done(OwnershipCommand::AdvanceMove { range: key.clone(), fence: node.fence(key), phase });
            }
        }
    }

    fn seen(&self, key: &RangeKey, range: &Range) -> RangeObserved {
        let position = |n: usize| [None, Some(at(2, 99)), Some(at(3, 9)), Some(at(3, 10)), Some(at(4, 1))][n];
        let applied = (0..7).filter_map(|n| Some((id(DATA[n]), position(usize::from(self.seen[n]))?)));
        RangeObserved {
            applied: applied.collect(),
            watermark: self.watermark.then_some(WATERMARK),
            closed_gate: self.gate.then(|| closed(key, range.epoch, WATERMARK)),
            load: self.load,
            ..RangeObserved::default()
        }
    }
}

/// Everything of `range` is seen to be whole.
pub(crate) fn whole(range: &Range, was: &RangeObserved) -> RangeObserved {
    let copies = [&range.owner].into_iter().chain(&range.replicas).chain(&range.archives);
    let applied = copies.map(|member| (member.clone(), WATERMARK)).collect();
    RangeObserved { applied, watermark: Some(WATERMARK), load: was.load, ..RangeObserved::default() }
}

/// The step's command, its evidence brought.
pub(crate) fn ready(step: &Step) -> OwnershipCommand {
    match &step.awaits {
        Some(Awaits::Cutover { range, epoch, candidate, .. }) => step.with_evidence(Evidence {
            candidate: candidate.clone(),
            applied: WATERMARK,
            watermark: WATERMARK,
            closed_gate: Some(closed(range, *epoch, WATERMARK)),
        }),
        Some(Awaits::Shown { candidate, .. }) => step.with_evidence(Evidence {
            candidate: candidate.clone(),
            applied: WATERMARK,
            watermark: WATERMARK,
            closed_gate: None,
        }),
        Some(Awaits::Caught { .. }) | None => step.command.clone(),
    }
}

/// Runs a plan: every step is accepted, and leaves a state in which nothing is wrong.
pub(crate) fn run(node: &mut Node, plan: &Plan) -> Result<(), TestCaseError> {
    for step in &plan.steps {
        let before = node.catalog();
        let verdict = node.run(ready(step));
        prop_assert!(verdict.is_done(), "{step} gave {verdict}");
        prop_assert_eq!(node.catalog().violations(), vec![], "{}", step);
        prop_assert_eq!(node.catalog().violations_since(&before), vec![], "{}", step);
    }
    Ok(())
}

/// A plan, made twice: it is the same, and the state is as it was.
pub(crate) fn planned(catalog: &Catalog, planner: impl Fn(&Catalog) -> Plan) -> Result<Plan, TestCaseError> {
    let before = (catalog.digest(), rebuilt(&CatalogMachine::new(catalog.clone(), cp_seam::ControlPlaneLogIndex(0))));
    let plan = planner(catalog);
    prop_assert_eq!(&plan, &planner(&before.1), "the same state gives the same plan");
    prop_assert_eq!(catalog.digest(), before.0);
    prop_assert_eq!(catalog.violations(), vec![]);
    Ok(plan)
}

pub(crate) fn eligible(catalog: &Catalog, member: &MemberId) -> bool {
    catalog.member(member).is_some_and(|member| member.eligibility().is_ok())
}
