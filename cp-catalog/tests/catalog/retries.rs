//! CP-P5: a request takes effect at most once, and what is remembered is bounded.

use crate::common::*;
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine};

fn request(client: u8, since: u64, sequence: u64) -> RequestId {
    RequestId { client: ClientId([client; 16]), since: ControlPlaneLogIndex(since), sequence }
}

fn numbered(n: u64) -> RequestId {
    let mut client = [0; 16];
    client[..8].copy_from_slice(&n.to_be_bytes());
    RequestId { client: ClientId(client), since: ControlPlaneLogIndex(0), sequence: 1 }
}

/// A command that has another effect each time it is applied.
fn toggle(node: &Node) -> MembershipCommand {
    let draining = node.catalog().member(&id("a")).unwrap().service == Service::Draining;
    let member = node.life("a");
    if draining { MembershipCommand::Undrain { member } } else { MembershipCommand::Drain { member } }
}

fn split(node: &Node, range: &RangeKey) -> OwnershipCommand {
    OwnershipCommand::Split { range: range.clone(), fence: node.fence(range), at: key("m"), new_id: RangeId(2) }
}

#[test]
fn a_retry_gets_the_same_verdict_and_no_second_application() {
    let (mut node, range) = library();
    let command = split(&node, &range);
    let first = node.run_as(Some(request(1, 0, 1)), command.clone());
    assert!(first.is_done());
    let state = node.machine.digest();
    let again = node.run_as(Some(request(1, 0, 1)), command.clone());
    assert_eq!(again, first);
    assert_eq!(node.machine.digest(), state);
    assert!(node.machine.change(ControlPlaneLogIndex(node.index)).unwrap().repeated);
    assert!(!node.machine.change(ControlPlaneLogIndex(node.index - 1)).unwrap().repeated);
    assert!(
        matches!(node.run(command), Verdict::Refused(Refusal::Standing(StandingRefusal::StaleVersion { .. }))),
        "without an id it is a new request"
    );
}

#[test]
fn a_refusal_is_repeated_too() {
    let (mut node, range) = library();
    let good = split(&node, &range);
    let bad = OwnershipCommand::AbortMove { range: range.clone(), fence: node.fence(&range) };
    let first = node.run_as(Some(request(1, 0, 1)), bad);
    assert!(matches!(first, Verdict::Refused(Refusal::Standing(StandingRefusal::NotMoving { .. }))));
    // The same id with another command is still the first request.
    assert_eq!(node.run_as(Some(request(1, 0, 1)), good), first);
    assert_eq!(node.machine.read(Catalog::range_count), 1);
}

#[test]
fn below_the_low_water_mark_a_request_is_expired() {
    let mut node = Node::new(founded());
    let count = REPLY_COUNT_MAX as u64;
    for sequence in 1..=count + 1 {
        let command = toggle(&node);
        assert!(node.run_as(Some(request(1, 0, sequence)), command).is_done());
    }
    let state = node.machine.digest();
    let command = toggle(&node);
    assert_eq!(
        node.run_as(Some(request(1, 0, 1)), command.clone()),
        Verdict::Refused(Refusal::Request(RequestRefusal::Expired { low_water: 1 }))
    );
    assert_eq!(node.machine.digest(), state);
    assert!(node.run_as(Some(request(1, 0, 2)), command).is_done());
    assert_eq!(node.machine.digest(), state, "the oldest that is remembered is repeated, not applied");
}

#[test]
fn requests_may_arrive_out_of_order() {
    let mut node = Node::new(founded());
    for sequence in [3, 1, 2] {
        let command = toggle(&node);
        assert!(node.run_as(Some(request(1, 0, sequence)), command).is_done());
    }
    let state = node.machine.digest();
    for sequence in [1, 2, 3] {
        let command = toggle(&node);
        node.run_as(Some(request(1, 0, sequence)), command);
    }
    assert_eq!(node.machine.digest(), state);
}

#[test]
fn a_client_that_was_forgotten_is_not_taken_for_a_new_one() {
    let mut node = Node::new(founded());
    let command = toggle(&node);
    node.run_as(Some(numbered(0)), command);
    for n in 1..=CLIENT_COUNT_MAX as u64 {
        let drain = MembershipCommand::Drain { member: node.life("b") };
        assert!(node.run_as(Some(numbered(n)), drain).is_done());
    }
    assert_eq!(node.machine.read(Catalog::client_count), CLIENT_COUNT_MAX + 1);
    let command = toggle(&node);
    let state = |node: &Node| node.catalog().member(&id("a")).unwrap().service;
    let before = state(&node);
    assert_eq!(
        node.run_as(Some(numbered(0)), command.clone()),
        Verdict::Refused(Refusal::Request(RequestRefusal::Expired { low_water: 0 }))
    );
    assert_eq!(state(&node), before);
    assert_eq!(node.machine.read(Catalog::client_count), CLIENT_COUNT_MAX);
    // A client that is provably newer than any that was forgotten is welcome.
    let fresh = RequestId { since: ControlPlaneLogIndex(node.index), ..numbered(9_999_999) };
    assert!(node.run_as(Some(fresh), command).is_done());
    assert_ne!(state(&node), before);
    assert!(node.catalog().violations().is_empty());
}

#[test]
fn an_idle_client_is_forgotten_by_log_index() {
    let mut catalog = founded();
    let drain = MembershipCommand::Drain { member: life(&catalog, "a") };
    let undrain = MembershipCommand::Undrain { member: life(&catalog, "a") };
    let mut apply = |index, id, command: &MembershipCommand| {
        let entry = Request::new(id, command.clone()).to_entry().unwrap();
        let verdict = catalog.apply(ControlPlaneLogIndex(index), &entry).verdict;
        (verdict, catalog.client_count(), catalog.digest())
    };
    let id = request(1, 0, 1);
    let (first, ..) = apply(10, Some(id), &drain);
    let (again, count, _) = apply(10 + CLIENT_IDLE_MAX_ENTRIES, Some(id), &undrain);
    assert_eq!((again, count), (first, 1), "remembered to the last");
    let (_, count, _) = apply(11 + CLIENT_IDLE_MAX_ENTRIES, None, &drain);
    assert_eq!(count, 0);
    let (late, ..) = apply(12 + CLIENT_IDLE_MAX_ENTRIES, Some(id), &undrain);
    assert_eq!(late, Verdict::Refused(Refusal::Request(RequestRefusal::Expired { low_water: 0 })));
}

#[test]
fn replies_are_bounded_over_all_clients() {
    let mut catalog = founded();
    let drain = MembershipCommand::Drain { member: life(&catalog, "a") };
    let clients = (REPLY_TOTAL_MAX / REPLY_COUNT_MAX) as u64;
    let mut index = 0;
    let mut apply = |client: u64, sequence| {
        index += 1;
        let id = RequestId { sequence, ..numbered(client) };
        catalog.apply(ControlPlaneLogIndex(index), &Request::new(Some(id), drain.clone()).to_entry().unwrap());
        catalog.client_count() as u64
    };
    for client in 0..clients {
        for sequence in 1..=REPLY_COUNT_MAX as u64 {
            apply(client, sequence);
        }
    }
    assert_eq!(apply(clients, 1), clients + 1, "as many as there may be, and one");
    assert_eq!(apply(clients, 2), clients, "the longest idle client is forgotten");
}

#[test]
fn a_client_id_is_one_clients() {
    let mut node = Node::new(founded());
    for _ in 0..3 {
        let command = toggle(&node);
        node.run(command);
    }
    let command = toggle(&node);
    let future = request(1, 4, 1);
    let refused = Refusal::Request(RequestRefusal::ClientFromFuture { since: ControlPlaneLogIndex(4) });
    assert_eq!(node.run_as(Some(future), command.clone()), Verdict::Refused(refused));
    assert!(node.run_as(Some(request(1, 2, 1)), command.clone()).is_done());
    assert_eq!(
        node.run_as(Some(request(1, 3, 2)), command.clone()),
        Verdict::Refused(Refusal::Request(RequestRefusal::ClientIdTaken))
    );
    assert_eq!(
        node.run_as(Some(request(2, 2, 0)), command),
        Verdict::Refused(Refusal::Request(RequestRefusal::Expired { low_water: 0 }))
    );
}

#[test]
fn what_is_remembered_survives_a_snapshot() {
    let (mut node, range) = library();
    let command = split(&node, &range);
    let first = node.run_as(Some(request(1, 0, 1)), command.clone());
    let mut restored = Node {
        machine: CatalogMachine::new(rebuilt(&node.machine), ControlPlaneLogIndex(node.index)),
        index: node.index,
    };
    assert_eq!(restored.run_as(Some(request(1, 0, 1)), command), first);
    assert_eq!(restored.machine.digest(), node.machine.digest());
}
