//! The catalog behind the seam: applying, history, snapshots.

use crate::common::{self, *};
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, SnapshotError, StateDigest, Term};

#[test]
fn a_snapshot_restores_the_same_state_and_the_same_bytes() {
    let (mut node, key) = library();
    let fence = node.fence(&key);
    let id = RequestId { client: ClientId([3; 16]), since: ControlPlaneLogIndex(0), sequence: 1 };
    node.run_as(Some(id), OwnershipCommand::Split { range: key, fence, at: common::key("m"), new_id: RangeId(2) });
    let (chunks, digest) = captured(&node.machine);
    let other = CatalogMachine::vacant();
    let mut writer = other.restore().unwrap();
    chunks.iter().for_each(|chunk| writer.push(chunk.clone()).unwrap());
    writer.finish(ControlPlaneLogIndex(node.index), digest).unwrap();
    assert_eq!(other.applied(), node.machine.applied());
    assert_eq!(other.digest(), node.machine.digest());
    assert_eq!(other.wanted_quorum(), node.machine.wanted_quorum());
    assert_eq!(captured(&other), (chunks, digest));
}

#[test]
fn a_restored_machine_has_forgotten_what_came_before() {
    let (node, _) = library();
    let (chunks, digest) = captured(&node.machine);
    assert!(node.machine.verdict(ControlPlaneLogIndex(1)).is_some());
    let mut writer = node.machine.restore().unwrap();
    chunks.iter().for_each(|chunk| writer.push(chunk.clone()).unwrap());
    let restored = ControlPlaneLogIndex(40);
    writer.finish(restored, digest).unwrap();
    assert_eq!(node.machine.verdict(ControlPlaneLogIndex(1)), None);
    let changes = node.machine.changes_from(ControlPlaneLogIndex(1), 9);
    assert_eq!(changes, Changes::Compacted { snapshot_index: restored });
    let changes = node.machine.changes_from(restored.next(), 9);
    assert_eq!(changes, Changes::Items { items: vec![], next: restored.next() });
}

#[test]
fn a_snapshot_that_is_not_whole_or_not_right_leaves_the_state() {
    let (node, _) = library();
    let (chunks, digest) = captured(&node.machine);
    let before = node.machine.digest();
    let finish = |chunks: &[bytes::Bytes], digest| {
        let mut writer = node.machine.restore().unwrap();
        chunks.iter().try_for_each(|chunk| writer.push(chunk.clone()))?;
        writer.finish(ControlPlaneLogIndex(99), digest)
    };
    assert!(matches!(finish(&[], digest), Err(SnapshotError::Damaged { .. })));
    assert!(matches!(finish(&[chunks[0].slice(..40)], digest), Err(SnapshotError::Damaged { .. })));
    assert!(matches!(finish(&[chunks[0].clone(), chunks[0].clone()], digest), Err(SnapshotError::Damaged { .. })));
    assert!(matches!(finish(&chunks, StateDigest([1; 32])), Err(SnapshotError::Digest { .. })));
    let newer = bytes::Bytes::from([&chunks[0][..], &[8, 9]].concat());
    assert_eq!(finish(&[newer], digest), Err(SnapshotError::Newer { found: 9, known: SNAPSHOT_FORMAT }));
    assert_eq!(node.machine.digest(), before);
    assert_eq!(node.machine.applied(), ControlPlaneLogIndex(node.index));
}

#[test]
fn genesis_is_a_snapshot_at_index_0() {
    let genesis = founded().to_genesis().unwrap();
    assert_eq!(genesis.quorum.voters.len(), 5);
    let machine = CatalogMachine::vacant();
    let mut writer = machine.restore().unwrap();
    genesis.chunks.into_iter().for_each(|chunk| writer.push(chunk).unwrap());
    writer.finish(ControlPlaneLogIndex(0), genesis.digest).unwrap();
    assert_eq!(machine.digest(), founded().digest());
}

/// Defect 12: the first entry is at index 1, and each comes after the one before.
#[test]
fn entries_come_one_after_the_other_from_1() {
    let machine = CatalogMachine::new(founded(), ControlPlaneLogIndex(0));
    let at = |index| LogPosition::new(Term(1), ControlPlaneLogIndex(index));
    let drain = MembershipCommand::Drain { member: life(&founded(), "a") };
    let entry = Request::new(None, drain).to_entry().unwrap();
    assert!(machine.apply(at(0), &entry).is_err());
    assert!(machine.apply(at(2), &entry).is_err());
    machine.skip(at(1)).unwrap();
    assert!(machine.skip(at(1)).is_err());
    machine.apply(at(2), &entry).unwrap();
    assert_eq!(machine.applied(), ControlPlaneLogIndex(2));
    assert!(CatalogMachine::vacant().apply(at(1), &entry).is_err(), "nothing is applied before genesis");
}

#[test]
fn history_is_bounded_and_says_so() {
    let mut node = Node::new(founded());
    node.machine = CatalogMachine::with_history(founded(), ControlPlaneLogIndex(0), 3);
    for _ in 0..2 {
        node.done(MembershipCommand::Drain { member: node.life("a") });
        node.done(MembershipCommand::Undrain { member: node.life("a") });
    }
    node.index += 1;
    node.machine.skip(LogPosition::new(Term(1), ControlPlaneLogIndex(node.index))).unwrap();
    let from = |index, count| node.machine.changes_from(ControlPlaneLogIndex(index), count);
    assert_eq!(from(1, 9), Changes::Compacted { snapshot_index: ControlPlaneLogIndex(5) });
    let Changes::Items { items, next } = from(2, 2) else { panic!("kept") };
    assert_eq!(items.iter().map(|change| change.position.index.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(next, ControlPlaneLogIndex(4));
    let Changes::Items { items, next } = from(4, 2) else { panic!("kept") };
    assert_eq!((items.len(), next), (1, ControlPlaneLogIndex(6)), "past the skipped entry");
    assert_eq!(from(6, 2), Changes::Items { items: Vec::new(), next: ControlPlaneLogIndex(6) });
    assert_eq!(node.machine.verdict(ControlPlaneLogIndex(1)), None);
    assert!(node.machine.verdict(ControlPlaneLogIndex(2)).is_some());
    assert_eq!(node.machine.verdict(ControlPlaneLogIndex(5)), None, "a skipped entry has no verdict");
}

#[test]
fn a_capture_stays_while_applying_goes_on() {
    let (mut node, key) = library();
    let mut reader = node.machine.snapshot().unwrap();
    let (index, digest) = (reader.index(), reader.digest());
    let fence = node.fence(&key);
    node.done(OwnershipCommand::Split { range: key, fence, at: common::key("m"), new_id: RangeId(2) });
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        chunks.push(chunk);
    }
    let old = Catalog::from_chunks(&chunks).unwrap();
    assert_eq!((old.digest(), old.range_count()), (digest, 1));
    assert_eq!(index, ControlPlaneLogIndex(node.index - 1));
    assert_ne!(node.machine.digest(), digest);
}

#[test]
fn a_large_state_goes_in_chunks_that_are_not_too_long() {
    let (mut node, _) = library();
    node.done(OwnershipCommand::CreateCollection { collection: coll("wide"), group: group("g"), mode: Mode::Ordered });
    let text = |n: usize| format!("{n:0>128}");
    let attributes = (0..Placement::ATTRIBUTES_MAX).map(|n| (text(n), text(n))).collect();
    let placement = Placement { replication_factor: 1, attributes };
    let long = |n: u64| Bound::at(&[&n.to_be_bytes()[..], &[7; 4000]].concat()).unwrap();
    for n in 1..=200 {
        let bounds = Bounds::new(long(n), long(n + 1)).unwrap();
        let new = NewRange { placement: placement.clone(), ..new_range(&rk("wide", n), bounds, "a", &["b"], &[]) };
        node.done(OwnershipCommand::CreateRange(new));
    }
    let (chunks, digest) = captured(&node.machine);
    assert!(chunks.len() > 3);
    assert!(chunks.iter().all(|chunk| chunk.len() <= <dyn cp_seam::SnapshotReader>::CHUNK_MAX_BYTES));
    let restored = Catalog::from_chunks(&chunks).unwrap();
    assert_eq!((restored.digest(), restored.range_count()), (digest, 201));
    assert_eq!(restored.violations(), vec![]);
    // Full, but for the last; and what is alike is kept once.
    let (_, full) = chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| chunk.len() > 480 << 10));
    let wide = restored.ranges(&coll("wide")).map(|range| &range.placement).collect::<Vec<_>>();
    assert!(wide.windows(2).all(|pair| std::sync::Arc::ptr_eq(pair[0], pair[1])));
    let without = |gap: usize| chunks.iter().enumerate().filter(move |(n, _)| *n != gap).map(|(_, chunk)| chunk);
    for gap in 0..chunks.len() {
        assert!(matches!(Catalog::from_chunks(without(gap)), Err(SnapshotError::Damaged { .. })), "chunk {gap}");
    }
}
