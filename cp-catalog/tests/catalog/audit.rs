//! The audit: every attempt is there, in a chain that shows when one is changed.

use crate::access::{OPERATE, grant, name};
use crate::common::*;
use cp_catalog::*;
use cp_seam::ControlPlaneStateMachine;
use proptest::prelude::*;

const FORCE: Privileges = Privileges { read: false, operate: false, force: true };

fn force(range: &RangeKey, to: &str, reason: &str) -> OwnershipCommand {
    OwnershipCommand::Force { range: range.clone(), to: id(to), reason: reason.to_owned() }
}

fn dispositions(node: &Node) -> Vec<(Action, Disposition, String)> {
    let catalog = node.catalog();
    let of = |record: &AuditRecord| (record.action, record.disposition, record.reason.clone());
    catalog.audit_above(0).map(of).collect()
}

/// Allowed, denied and failed: each leaves who, when, why and of what.
#[test]
fn every_attempt_to_force_is_on_record() {
    let (mut node, range) = library_at(2);
    node.done(grant("ann", OPERATE));
    node.done(grant("fay", FORCE));
    assert!(matches!(
        node.refused_by("ann", force(&range, "c", "disk gone")),
        Refusal::Access(AccessRefusal::MissingPrivilege { .. })
    ));
    assert_eq!(node.refused_by("fay", force(&range, "c", " \t")), Refusal::Access(AccessRefusal::BlankReason));
    assert!(matches!(
        node.refused_by("fay", force(&rk("books", 9), "c", "disk gone")),
        Refusal::Standing(StandingRefusal::UnknownRange { .. })
    ));
    assert!(node.run_of("fay", force(&range, "c", "disk gone")).is_done());
    use Disposition::{Allowed, Denied, Failed};
    let seen: Vec<_> = dispositions(&node).into_iter().filter(|(action, ..)| *action == Action::Force).collect();
    let expected = [(Denied, "disk gone"), (Denied, " \t"), (Failed, "disk gone"), (Allowed, "disk gone")];
    assert_eq!(seen, expected.map(|(disposition, reason)| (Action::Force, disposition, reason.to_owned())));
    let catalog = node.catalog();
    let last = catalog.audit_above(0).last().unwrap();
    assert_eq!(last.target, "books/1 to c");
    assert_eq!(last.origin, Some(client_origin("fay", last.index.0)));
    let denied = catalog.audit_above(0).find(|record| record.disposition == Denied).unwrap();
    assert_ne!(denied.refusal, 0);
}

#[test]
fn administration_is_on_record_and_what_members_do_is_not() {
    let mut node = Node::new(founded_at(2));
    let (a, c) = (node.life("a"), node.life("c"));
    node.done(MembershipCommand::Drain { member: c });
    node.done(MembershipCommand::SetAddresses { member: a, addresses: addresses("a") });
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("b") });
    let seen: Vec<_> = dispositions(&node).into_iter().map(|(action, ..)| action).collect();
    assert_eq!(seen, [Action::Drain, Action::AssignAuthority]);
}

/// A retry is not a second attempt.
#[test]
fn a_retry_is_recorded_once() {
    let mut node = Node::new(founded_at(2));
    let drain = MembershipCommand::Drain { member: node.life("c") };
    let id = RequestId { client: ClientId([1; 16]), since: cp_seam::ControlPlaneLogIndex(0), sequence: 1 };
    node.run_as(Some(id), drain.clone());
    node.run_as(Some(id), drain);
    assert_eq!(node.catalog().audit_chain().count, 1);
}

/// The oldest go by count alone, and what is kept still shows that it is a chain.
#[test]
fn the_audit_is_bounded_and_stays_a_chain() {
    let mut node = Node::new(founded_at(2));
    let member = node.life("c");
    for number in 0..AUDIT_COUNT_MAX + 10 {
        let member = member.clone();
        node.run(match number % 2 {
            0 => MembershipCommand::Drain { member },
            _ => MembershipCommand::Undrain { member },
        });
    }
    // What is so already is no event, and drives nothing out.
    for _ in 0..10 {
        node.run(MembershipCommand::Undrain { member: member.clone() });
    }
    let catalog = node.catalog();
    let chain = catalog.audit_chain();
    assert_eq!((chain.count, chain.forgotten), (AUDIT_COUNT_MAX as u64 + 10, 10));
    assert_eq!(catalog.audit_above(0).next().unwrap().sequence, 11);
    let head = catalog.audit_above(0).fold(chain.floor, |hash, record| record.chained(&hash));
    assert_eq!(head, chain.head);
    assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
    assert_eq!(catalog.violations(), vec![]);
}

/// A snapshot from which a record was taken, or in which one was changed, is not restored.
#[test]
fn a_changed_record_is_noticed() {
    let (mut node, range) = library_at(2);
    node.done(grant("fay", Privileges { operate: true, ..FORCE }));
    for reason in ["reason-1", "reason-2"] {
        assert!(node.run_of("fay", force(&range, "c", reason)).is_done());
    }
    let chunks = captured(&node.machine).0;
    let bytes = chunks[0].to_vec();
    let at = bytes.windows(8).position(|window| window == b"reason-1").unwrap();
    let mut changed = bytes.clone();
    changed[at + 7] = b'7';
    let error = Catalog::from_chunks(&[changed.into()]).unwrap_err();
    assert!(error.to_string().contains("audit"), "{error}");
    assert!(Catalog::from_chunks(&[bytes.into()]).is_ok());
}

#[test]
fn a_record_comes_back_as_it_went() {
    let (mut node, range) = library_at(2);
    node.done(grant("fay", Privileges { operate: true, ..FORCE }));
    node.refused_by("eve", force(&range, "c", "no"));
    node.run(MembershipCommand::Drain { member: node.life("c") });
    let catalog = node.catalog();
    for record in catalog.audit_above(0) {
        assert_eq!(codec::decode_audit(&codec::encode_audit(record)).as_ref(), Ok(record));
    }
    assert_eq!(catalog.grants().next().unwrap().0, &name("fay"));
}

#[derive(Debug, Clone)]
enum Asked {
    Grant(usize, u8),
    Force(usize, usize),
    Drain(usize),
}

fn asked() -> impl Strategy<Value = (usize, Asked)> {
    let what = prop_oneof![
        (0..3_usize, 0..8_u8).prop_map(|(client, bits)| Asked::Grant(client, bits)),
        (0..5_usize, 0..3_usize).prop_map(|(to, reason)| Asked::Force(to, reason)),
        (0..5_usize).prop_map(Asked::Drain),
    ];
    (0..3_usize, what)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whoever asks for what in whatever order: one record each, the invariants of every
    /// state and of every step hold, epochs rise under force, and a snapshot has all of it.
    #[test]
    fn any_course_leaves_a_whole_audit(course in prop::collection::vec(asked(), 1..40)) {
        let (mut node, range) = library_at(2);
        let mut recorded = 0;
        for (who, what) in course {
            let before = node.catalog();
            let members = ["a", "b", "c", "d", "w"];
            let command: Command = match what {
                Asked::Grant(client, bits) => {
                    let privileges = Privileges { read: bits & 1 > 0, operate: bits & 2 > 0, force: bits & 4 > 0 };
                    grant(["ann", "bob", "fay"][client], privileges).into()
                }
                Asked::Force(to, reason) => force(&range, members[to], ["", "why", "\u{7}"][reason]).into(),
                Asked::Drain(member) => MembershipCommand::Drain { member: node.life(members[member]) }.into(),
            };
            let forced = command.privilege() == Privilege::Force;
            let verdict = node.run_of(["ann", "bob", "fay"][who], command);
            let now = node.catalog();
            prop_assert_eq!(now.violations(), vec![]);
            prop_assert_eq!(now.violations_since(&before), vec![]);
            // A change or a refusal is an event; what was so already is none.
            let event = !verdict.is_done() || now.digest() != before.digest();
            recorded += u64::from(event);
            prop_assert_eq!(now.audit_chain().count, recorded);
            let (was, is) = (before.range(&range).unwrap().epoch, now.range(&range).unwrap().epoch);
            prop_assert_eq!(is > was, forced && verdict.is_done());
        }
        prop_assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
    }
}
