//! Planners that act by a placement authority: refused once it has moved.

use crate::access::grant;
use crate::common::*;
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, Term};

fn under(node: &mut Node, claim: (&str, u64), id: Option<RequestId>, command: impl Into<Command>) -> Verdict {
    node.index += 1;
    let claim = AuthorityClaim { group: group(claim.0), epoch: Epoch(claim.1) };
    let entry = Request::new(id, command).under(claim).to_entry().unwrap();
    let index = ControlPlaneLogIndex(node.index);
    node.machine.apply(LogPosition::new(Term(1), index), &entry).unwrap();
    node.machine.verdict(index).unwrap()
}

fn begin(node: &Node, range: &RangeKey) -> OwnershipCommand {
    OwnershipCommand::BeginMove { range: range.clone(), fence: node.fence(range), target: id("c") }
}

fn stale(node: &Node, name: &str) -> Verdict {
    let catalog = node.catalog();
    let Authority { group, holder, .. } = catalog.authority(&group(name)).unwrap().clone();
    let fence = catalog.authority(&group).unwrap().fence();
    Verdict::Refused(GroupRefusal::StaleAuthority { group, holder, fence }.into())
}

fn authorities(level: u32) -> (Node, RangeKey) {
    let (mut node, range) = library_at(level);
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("a") });
    node.done(OwnershipCommand::AssignAuthority { group: group("desk"), holder: id("b") });
    (node, range)
}

fn reassign(node: &mut Node, holder: &str) {
    let fence = node.catalog().authority(&group("shelf")).unwrap().fence();
    node.done(OwnershipCommand::ReassignAuthority { group: group("shelf"), fence, holder: id(holder) });
}

/// Whoever planned by an authority that has moved is told who has it now.
#[test]
fn a_planner_whose_authority_has_moved_is_refused() {
    let (mut node, range) = authorities(2);
    let begun = begin(&node, &range);
    assert!(under(&mut node, ("shelf", 1), None, begun).is_done());
    reassign(&mut node, "b");
    let abort = OwnershipCommand::AbortMove { range: range.clone(), fence: node.fence(&range) };
    let refused = under(&mut node, ("shelf", 1), None, abort.clone());
    assert_eq!(refused, stale(&node, "shelf"));
    assert!(refused.to_string().contains("group shelf is b at epoch 0:2"), "{refused}");
    assert!(node.range(&range).moving.is_some());
    assert!(under(&mut node, ("shelf", 2), None, abort).is_done());
}

/// An authority covers its own group, whatever the command is about; a group without one covers nothing.
#[test]
fn a_claim_is_about_the_group_of_the_command() {
    let (mut node, range) = authorities(2);
    let begun = begin(&node, &range);
    assert_eq!(under(&mut node, ("desk", 1), None, begun.clone()), stale(&node, "shelf"));
    let create = |group: &str, name: &str| OwnershipCommand::CreateCollection {
        collection: coll(name),
        group: crate::common::group(group),
        mode: Mode::Ordered,
    };
    assert_eq!(under(&mut node, ("desk", 1), None, create("shelf", "x")), stale(&node, "shelf"));
    assert!(under(&mut node, ("desk", 1), None, create("desk", "x")).is_done());
    let unknown = Verdict::Refused(GroupRefusal::UnknownAuthority { group: group("attic") }.into());
    assert_eq!(under(&mut node, ("attic", 1), None, create("attic", "y")), unknown);
    // What is about no group is refused by a claim that does not hold, too.
    let drain = MembershipCommand::Drain { member: node.life("d") };
    assert_eq!(under(&mut node, ("desk", 7), None, drain.clone()), stale(&node, "desk"));
    assert!(under(&mut node, ("desk", 1), None, drain).is_done());
    let new = new_range(&rk("x", 1), Bounds::ALL, "b", &[], &[]);
    assert_eq!(under(&mut node, ("shelf", 1), None, OwnershipCommand::CreateRange(new.clone())), stale(&node, "desk"));
    assert!(under(&mut node, ("desk", 1), None, OwnershipCommand::CreateRange(new)).is_done());
}

/// The order: privilege, authority, and then what the command itself is refused for.
#[test]
fn a_claim_is_judged_after_the_privilege_and_before_the_range() {
    let (mut node, range) = authorities(2);
    node.done(grant("ann", Privileges { read: false, operate: true, force: true }));
    let fence = Fence { epoch: Epoch(9), version: Version(9) };
    let abort = OwnershipCommand::AbortMove { range: range.clone(), fence };
    let claim = AuthorityClaim { group: group("shelf"), epoch: Epoch(7) };
    let mut of = |client: &str, command: OwnershipCommand| {
        node.index += 1;
        let request = Request::new(None, command).of(client_origin(client, 1)).under(claim.clone());
        let index = ControlPlaneLogIndex(node.index);
        node.machine.apply(LogPosition::new(Term(1), index), &request.to_entry().unwrap()).unwrap();
        node.machine.verdict(index).unwrap()
    };
    let denied = of("eve", abort.clone());
    assert!(matches!(denied, Verdict::Refused(Refusal::Access(AccessRefusal::MissingPrivilege { .. }))), "{denied}");
    let refused = of("ann", abort);
    assert!(matches!(refused, Verdict::Refused(Refusal::Group(GroupRefusal::StaleAuthority { .. }))), "{refused}");
    // Forcing is past authorities, as it is past fences.
    let forced = of("ann", OwnershipCommand::Force { range, to: id("c"), reason: "why".to_owned() });
    assert!(forced.is_done(), "{forced}");
}

/// A retry has the verdict that the first had, though the authority has moved meanwhile (CP-P5).
#[test]
fn a_retry_under_an_authority_is_the_same_request() {
    let (mut node, range) = authorities(2);
    let begun = begin(&node, &range);
    let request = Some(RequestId { client: ClientId([1; 16]), since: ControlPlaneLogIndex(1), sequence: 1 });
    let first = under(&mut node, ("shelf", 1), request, begun.clone());
    assert!(first.is_done());
    reassign(&mut node, "b");
    let before = node.machine.digest();
    assert_eq!(under(&mut node, ("shelf", 1), request, begun), first);
    assert_eq!(node.machine.digest(), before);
}

/// Below feature level 2 a claim is skipped, as by a release that knows of none.
#[test]
fn below_level_2_nothing_depends_on_a_claim() {
    for level in [0, 1] {
        let (mut node, range) = authorities(level);
        let (mut plain, _) = authorities(level);
        let begun = begin(&node, &range);
        assert!(under(&mut node, ("desk", 9), None, begun.clone()).is_done());
        plain.done(begun);
        assert_eq!(node.machine.digest(), plain.machine.digest());
    }
}
