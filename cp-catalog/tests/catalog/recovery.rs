//! The step into a new generation (CP-R2, CP-S5).

use crate::common::*;
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, MemberKind, Term};

pub(crate) fn asked(survivor: &str, id: u8) -> Successor {
    Successor {
        cause: Cause::Forced,
        generation_id: [id; 8],
        after_generation: 0,
        survivor: crate::common::id(survivor),
        addresses: None,
        operator: "ann".to_owned(),
        reason: "two racks burnt".to_owned(),
        at_unix_ms: 1_700_000_000_000,
        position: LogPosition::new(Term(4), ControlPlaneLogIndex(90)),
        committed: ControlPlaneLogIndex(88),
    }
}

/// CP-S5: nothing that was issued before compares equal or higher, and every old fence is refused.
#[test]
fn every_epoch_rises_into_the_new_generation() {
    let (node, key) = library();
    // Leases of the generation before may last for as long: that is kept as well.
    let before = node.catalog().with_longest_lease(LongestLease::new(std::time::Duration::from_secs(5)).unwrap());
    let after = before.succeed(&asked("a", 9)).unwrap();
    assert_eq!(after.longest_lease(), before.longest_lease());
    assert_eq!((after.violations(), after.violations_since(&before)), (vec![], vec![]));
    let mut seen = 0;
    for spec in before.collections() {
        for was in before.ranges(&spec.name) {
            let is = after.range(&RangeKey::new(spec.name.clone(), was.id)).unwrap();
            assert_eq!((is.epoch, is.version.0), (Epoch::first(1), was.version.0 + 1));
            assert!(is.epoch > was.epoch && Epoch(u64::from(u16::MAX)) < is.epoch);
            assert_eq!((&is.owner, &is.replicas, &is.archives), (&was.owner, &was.replicas, &was.archives));
            seen += 1;
        }
    }
    assert!(seen > 0);
    for (was, is) in before.authorities().zip(after.authorities()) {
        assert_eq!((is.epoch, is.version.0), (Epoch::first(1), was.version.0 + 1));
    }
    let stale = before.range(&key).unwrap().fence();
    let mut later = Node::new(after);
    let placement = Placement { replication_factor: 2, ..Placement::default() };
    let edit = |fence| OwnershipCommand::SetPlacement { range: key.clone(), fence, placement: placement.clone() };
    assert!(matches!(later.refused(edit(stale)), Refusal::Standing(StandingRefusal::StaleEpoch { .. })));
    later.done(edit(later.fence(&key)));
}

/// CP-M3: one voter under a new life, and nobody else in the quorum.
#[test]
fn all_members_but_one_are_fenced() {
    let before = founded();
    let after = before.succeed(&asked("b", 9)).unwrap();
    let [voter] = &*after.quorum().voters else { panic!("{:?}", after.quorum()) };
    assert_eq!((voter.id.as_str(), voter.incarnation), ("b", Incarnation((1 << 32) + 1)));
    assert!(after.quorum().learners.is_empty());
    for name in ["a", "c", "d", "w"] {
        let member = after.member(&id(name)).unwrap();
        assert_eq!((member.join, member.addresses.peer.as_str()), (Join::Fenced, ""));
        assert_eq!(member.incarnation, before.member(&id(name)).unwrap().incarnation);
    }
    assert_eq!(after.member(&id("a")).unwrap().eligibility(), Err(Ineligible::Fenced));
}

#[test]
fn a_fenced_member_comes_back_in_a_new_life_only() {
    let mut node = Node::new(founded().succeed(&asked("b", 9)).unwrap());
    let old = node.life("a");
    let admit = |kind| {
        let admission = Admission {
            member: id("a"),
            kind,
            token_hash: TokenHash([3; 32]),
            locality: Locality { domain: None, weight: 1 },
            standby: false,
        };
        MembershipCommand::Admit(admission)
    };
    let joining = |member| {
        MembershipCommand::Joined(Joining {
            cluster: CLUSTER,
            member,
            kind: MemberKind::Data,
            token_hash: TokenHash([3; 32]),
            addresses: addresses("a"),
            features: Features::default(),
        })
    };
    assert!(matches!(
        node.refused(MembershipCommand::SetVoting { member: old.clone() }),
        Refusal::Member(MemberRefusal::NotJoined { .. })
    ));
    assert!(matches!(node.refused(joining(old.clone())), Refusal::Member(MemberRefusal::TokenSpent { .. })));
    assert!(matches!(node.refused(admit(MemberKind::Witness)), Refusal::Member(MemberRefusal::KindMismatch { .. })));
    assert!(matches!(node.done(admit(MemberKind::Data)), Effect::Admitted { .. }));
    assert!(matches!(node.done(admit(MemberKind::Data)), Effect::AlreadyMember { .. }));
    let new = node.life("a");
    assert!(new.incarnation > old.incarnation);
    assert!(matches!(node.refused(joining(old.clone())), Refusal::Member(MemberRefusal::OtherIncarnation { .. })));
    assert_eq!(node.catalog().violations(), vec![]);
    node.done(joining(new.clone()));
    node.done(MembershipCommand::SetVoting { member: new });
    assert_eq!(node.catalog().quorum().voters.len(), 2);
    assert_eq!(node.catalog().violations(), vec![]);
}

/// CP-S5: of a backup or a survivor that is older than the last generation that served, the
/// next one is above that, with its epochs and its incarnations.
#[test]
fn a_generation_is_above_every_one_that_served() {
    let (node, _) = library();
    let state = node.catalog();
    let after = |after_generation| state.succeed(&Successor { after_generation, ..asked("a", 9) });
    let (next, seventh) = (after(0).unwrap(), after(6).unwrap());
    assert_eq!((next.generation().number, seventh.generation().number), (1, 7));
    assert_eq!(seventh.violations_since(&state), vec![]);
    let voter = |catalog: &Catalog| catalog.quorum().voters[0].incarnation;
    assert_eq!((voter(&next), voter(&seventh)), (Incarnation((1 << 32) + 1), Incarnation((7 << 32) + 1)));
    let all = || seventh.collections().flat_map(|spec| seventh.ranges(&spec.name));
    assert!(all().count() > 0 && all().all(|range| range.epoch == Epoch::first(7)));
    let eighth = seventh.succeed(&asked("a", 1)).unwrap();
    assert_eq!((eighth.generation().number, eighth.violations()), (8, vec![]));
    let back = Catalog::from_chunks(&eighth.to_genesis().unwrap().chunks).unwrap();
    assert_eq!((back.recoveries(), back.recoveries()[0].generation), (eighth.recoveries(), 7));
    assert!(matches!(after(u16::MAX), Err(BadRecovery::Exhausted { .. })));
}

/// CP-R2, CP-R3: the audit is state, so snapshots carry it and the digest speaks for it.
#[test]
fn the_audit_survives_snapshots_and_is_in_the_digest() {
    let (node, _) = library();
    let once = node.catalog().succeed(&asked("a", 9)).unwrap();
    let twice = once.succeed(&Successor { cause: Cause::Restored, ..asked("a", 8) }).unwrap();
    assert_eq!(twice.violations_since(&once), vec![]);
    let genesis = twice.to_genesis().unwrap();
    let back = Catalog::from_chunks(&genesis.chunks).unwrap();
    assert_eq!((back.digest(), back.recoveries()), (twice.digest(), twice.recoveries()));
    let [first, second] = back.recoveries() else { panic!("{:?}", back.recoveries()) };
    assert_eq!((first.cause, first.previous.number, first.operator.as_str()), (Cause::Forced, 0, "ann"));
    assert_eq!((first.lost_voters.len(), first.fenced, first.former), (4, 4, Some(Incarnation(1))));
    assert_eq!((second.previous.number, second.previous.id, second.fenced), (1, [9; 8], 4));
    assert!(second.lost_voters.is_empty(), "they were fenced before");
    assert_eq!(codec::decode_recovery(&codec::encode_recovery(first)).as_ref(), Ok(first));

    let digests: std::collections::BTreeSet<[u8; 32]> = [
        asked("a", 9),
        asked("a", 8),
        Successor { operator: "bob".to_owned(), ..asked("a", 9) },
        Successor { reason: "other".to_owned(), ..asked("a", 9) },
        Successor { at_unix_ms: 1, ..asked("a", 9) },
    ]
    .map(|asked| node.catalog().succeed(&asked).unwrap().digest().0)
    .into();
    assert_eq!(digests.len(), 5);
}

/// A recorded text is no longer than what is recorded, also when it is read back.
#[test]
fn a_state_with_a_longer_text_is_not_restored() {
    let recovery = Successor { reason: "x".repeat(1024), operator: "o".repeat(128), ..asked("a", 9) };
    let state = founded().succeed(&recovery).unwrap();
    let recorded = &state.recoveries()[0];
    assert_eq!(codec::decode_recovery(&codec::encode_recovery(recorded)).as_ref(), Ok(recorded));
    for (field, max) in [("operator", 128), ("reason", 1024)] {
        let mut longer = recorded.clone();
        let text = if field == "operator" { &mut longer.operator } else { &mut longer.reason };
        text.push('x');
        let source = BadValue::Long { field, length: max + 1, max };
        let refused = codec::decode_recovery(&codec::encode_recovery(&longer));
        assert_eq!(refused, Err(codec::DecodeError::Value { what: "recovery", source }));
    }
    let chunk = state.to_genesis().unwrap().chunks.remove(0);
    let record = codec::encode_recovery(recorded);
    let start = chunk.windows(record.len()).position(|window| window == record).unwrap();
    let mut longer = recorded.clone();
    longer.reason.push('x');
    let longer = codec::encode_recovery(&longer);
    // A record is a message in a message: both lengths before it grow by one.
    let mut edited = chunk[..start].to_vec();
    edited.extend_from_slice(&longer);
    edited.extend_from_slice(&chunk[start + record.len()..]);
    for back in [start - 2, start - 5] {
        edited[back] += 1;
    }
    let refused = Catalog::from_chunks(&[bytes::Bytes::from(edited)]).unwrap_err();
    assert!(refused.to_string().contains("value that is not allowed"), "{refused}");
}

#[test]
fn what_cannot_be_recovered_says_why() {
    let state = founded();
    let why = |asked: Successor| state.succeed(&asked).unwrap_err().to_string();
    assert!(why(asked("z", 9)).starts_with("z is not a joined member"));
    assert_eq!(why(Successor { operator: String::new(), ..asked("a", 9) }), "the request cannot be recorded");
    assert_eq!(why(Successor { reason: "x".repeat(1025), ..asked("a", 9) }), "the request cannot be recorded");
    let value = |asked: Successor| match state.succeed(&asked).unwrap_err() {
        BadRecovery::Value(bad) => bad,
        other => panic!("{other:?}"),
    };
    let operator = |operator: &str| Successor { operator: operator.to_owned(), ..asked("a", 9) };
    let reason = |reason: &str| Successor { reason: reason.to_owned(), ..asked("a", 9) };
    for blank in ["", " ", "\u{2003}\u{a0}"] {
        assert_eq!(value(operator(blank)), BadValue::Missing { field: "operator" }, "{blank:?}");
        assert_eq!(value(reason(blank)), BadValue::Missing { field: "reason" }, "{blank:?}");
    }
    for character in ['\n', '\t', '\0', '\u{1b}', '\u{7f}', '\u{9b}'] {
        let text = format!("ann{character}[2J");
        assert_eq!(value(operator(&text)), BadValue::Control { field: "operator", character });
        assert_eq!(value(reason(&text)), BadValue::Control { field: "reason", character });
    }
    assert!(state.succeed(&reason("zwei Schr\u{e4}nke: \u{706b}\u{4e8b}")).is_ok());
    assert_eq!(Catalog::vacant().succeed(&asked("a", 9)).unwrap_err(), BadRecovery::Vacant);
    let stranger = state.succeed(&Successor { addresses: Some(addresses("z")), ..asked("z", 9) }).unwrap();
    assert_eq!((stranger.quorum().voters.len(), stranger.recoveries()[0].former), (1, None));
    assert_eq!(stranger.violations(), vec![]);
}
