//! What came with feature level 2 means nothing below it, whatever its bytes.

use crate::codec::{KINDS, entry, raw, request_id};
use crate::common::*;
use cp_catalog::*;
use cp_seam::ControlPlaneLogIndex;

/// What is attached to a request is skipped by a release without feature level 2, whatever it is:
/// below that level, one that knows it comes to the same state.
#[test]
fn what_is_attached_and_malformed_counts_from_level_2_on() {
    let drain = |node: &Node| MembershipCommand::Drain { member: node.life("c") };
    for attached in [
        &[0x2a, 1, 0xff][..],
        &[0x28, 1],
        &[0x2a, 2, 8, 9],
        &[0x2a, 4, 8, 2, 0x12, 0],
        &[0x32, 1, 0xff],
        &[0x30, 1],
        &[0x32, 2, 0x10, 1],
    ] {
        for level in [0, 1, 2] {
            let mut node = Node::new(founded_at(level));
            let plain = Request::new(Some(RequestId { since: ControlPlaneLogIndex(0), ..request_id() }), drain(&node));
            let plain = plain.to_entry().unwrap();
            let bytes = [plain.payload().as_bytes(), attached].concat();
            let mut catalog = node.catalog();
            let applied = catalog.apply(ControlPlaneLogIndex(1), &entry(KINDS[0], bytes));
            node.index += 1;
            let mut other = node.catalog();
            let expected = other.apply(ControlPlaneLogIndex(1), &plain);
            if level < 2 {
                assert_eq!((applied.verdict, catalog.digest()), (expected.verdict, other.digest()), "{attached:x?}");
            } else {
                assert_eq!(applied.verdict, Verdict::Refused(RequestRefusal::Undecodable.into()), "{attached:x?}");
                assert_eq!(catalog.digest(), node.catalog().digest());
            }
        }
    }
}

/// What is wrong with a command comes before what is wrong with what is attached to it.
#[test]
fn a_command_is_refused_for_itself_whatever_is_attached() {
    let (node, broken) = (Node::new(founded_at(2)), [0x2a, 1, 0xff]);
    let refused = |kind, command: &[u8]| {
        let bytes = [command, &broken].concat();
        node.catalog().apply(ControlPlaneLogIndex(1), &entry(kind, bytes)).verdict
    };
    let plain = raw(MembershipCommand::Drain { member: node.life("c") });
    let other = KINDS.into_iter().find(|kind| *kind != KINDS[0]).unwrap();
    assert_eq!(refused(KINDS[0], &[8, 2]), Verdict::Refused(RequestRefusal::UnknownCommand.into()));
    assert_eq!(refused(KINDS[0], &[8, 1]), Verdict::Refused(RequestRefusal::UnknownCommand.into()));
    assert_eq!(refused(other, &plain), Verdict::Refused(RequestRefusal::WrongKind.into()));
    assert_eq!(refused(KINDS[0], &plain), Verdict::Refused(RequestRefusal::Undecodable.into()));
}

/// A field of a message, as its bytes.
fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(tag, &content.to_vec(), &mut bytes);
    bytes
}

/// CP-R3: a release without feature level 2 skips what came with it, malformed or not, and so do all
/// below that level.
#[test]
fn what_came_with_level_2_is_skipped_below_it() {
    for level in [0, 1, 2] {
        let node = Node::new(founded_at(level));
        let verdict = |mut catalog: Catalog, kind, bytes: &[u8]| {
            let verdict = catalog.apply(ControlPlaneLogIndex(1), &entry(kind, bytes.to_vec())).verdict;
            (verdict, catalog.digest())
        };
        let id = RequestId { since: ControlPlaneLogIndex(0), ..request_id() };
        let request = Request::new(Some(id), MembershipCommand::Drain { member: node.life("c") });
        let plain = request.to_entry().unwrap().payload().as_bytes().to_vec();
        let drained = verdict(node.catalog(), KINDS[0], &plain);
        assert!(drained.0.is_done());
        // Neither a reason that is none in the drain itself, nor another command beside it, whatever that holds.
        let life = field(1, &[field(1, b"c"), vec![0x10, 3]].concat());
        let with = |more: &[u8]| {
            let drain = field(5, &[&life[..], more].concat());
            [&[8, 1][..], &field(2, &[field(1, &[0xc1; 16]), vec![0x18, 41]].concat()), &field(3, &drain)].concat()
        };
        assert_eq!(with(&[]), plain);
        for reason in [&[0x38, 1][..], &field(7, &[0xff]), &field(7, b"why")] {
            assert_eq!(verdict(node.catalog(), KINDS[0], &with(reason)), drained, "level {level}: {reason:x?}");
        }
        let refused = |refusal: RequestRefusal| (Verdict::Refused(refusal.into()), node.catalog().digest());
        for later in [field(23, &life), field(23, &[0xff]), vec![0xb8, 1, 1], field(22, b""), field(22, &[0x08])] {
            let beside = [plain.clone(), field(3, &later)].concat();
            let alone = [vec![8, 1], field(3, &later)].concat();
            if level < 2 {
                assert_eq!(verdict(node.catalog(), KINDS[0], &beside), drained, "level {level}: {later:x?}");
                let unknown = refused(RequestRefusal::UnknownCommand);
                assert_eq!(verdict(node.catalog(), KINDS[0], &alone), unknown, "level {level}: {later:x?}");
            } else {
                assert!(!verdict(node.catalog(), KINDS[0], &beside).0.is_done(), "{later:x?}");
            }
        }
        // What it does not skip is malformed at every level.
        let broken = [plain.clone(), vec![0x1a, 2, 0x2a, 9]].concat();
        assert_eq!(verdict(node.catalog(), KINDS[0], &broken), refused(RequestRefusal::Undecodable));
        let (library, _) = library_at(level);
        let create =
            raw(OwnershipCommand::CreateCollection { collection: coll("x"), group: group("g"), mode: Mode::Hash });
        let created = verdict(library.catalog(), KINDS[1], &create);
        for later in [field(19, &[0xff]), field(20, b""), vec![0x98, 1, 1]] {
            let beside = [create.clone(), field(4, &later)].concat();
            let same = verdict(library.catalog(), KINDS[1], &beside) == created;
            assert_eq!(same, level < 2, "level {level}: {later:x?}");
        }
    }
}
