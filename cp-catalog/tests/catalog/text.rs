//! What people read of the catalog: commands, logs and refusals are made of these.

use crate::common::*;
use cp_catalog::*;

#[test]
fn names_and_numbers() {
    let fence = Fence { epoch: Epoch::first(2), version: Version(7) };
    assert_eq!(fence.to_string(), "epoch 2:1 version 7");
    let shown = [fence.epoch.to_string(), fence.version.to_string(), RangeId(4).to_string()];
    assert_eq!(shown, ["2:1", "7", "4"]);
    assert_eq!(rk("books", 4).to_string(), "books/4");
    assert_eq!(at(3, 10).to_string(), "3.10");
    assert_eq!(ClientId([0xab; 16]).to_string(), "ab".repeat(16));
    assert_eq!(life(&founded(), "b").to_string(), "b#2");
}

#[test]
fn keys_and_bounds() {
    assert_eq!([Mode::Hash, Mode::Ordered].map(|mode| mode.to_string()), ["hash", "ordered"]);
    assert_eq!(Key::new(b"a\x00\"").unwrap().to_string(), r#"a\x00\""#);
    assert_eq!(Bounds::ALL.to_string(), "[min, max)");
    assert_eq!(bounds("b", "m").to_string(), r#"["b", "m")"#);
}

#[test]
fn states_of_members_and_ranges() {
    let why = [Ineligible::Witness, Ineligible::Draining, Ineligible::NotJoined, Ineligible::Fenced]
        .map(|why| why.to_string());
    let fenced = "a forced recovery has fenced it and it has not joined anew";
    assert_eq!(why, ["it is a witness", "it is draining", "it has not joined yet", fenced]);
    let roles = [Role::Owner, Role::Replica, Role::Archive].map(|role| role.to_string());
    assert_eq!(roles, ["owner", "replica", "archive replica"]);
    let phases = [MovePhase::Begun, MovePhase::Copying, MovePhase::CatchingUp].map(|phase| phase.to_string());
    assert_eq!(phases, ["begun", "copying", "catching up"]);
    let (node, key) = library();
    assert_eq!(node.range(&key).standing().to_string(), "owner a at epoch 0:1 version 1");
}

#[test]
fn verdicts() {
    let (mut node, key) = library();
    let drained = node.run(MembershipCommand::Drain { member: node.life("c") });
    assert_eq!(drained.to_string(), "c#3 changed");
    let again = OwnershipCommand::CreateRange(new_range(&key, Bounds::ALL, "a", &[], &[]));
    let refused = node.run(again);
    let reason = refused.clone().into_result().unwrap_err().to_string();
    assert_eq!(refused.to_string(), format!("refused: {reason}"));
    assert!(reason.contains("books/1"), "{reason}");
}
