//! The bytes of every durable record, frozen. A change here is a new format.

use crate::codec::{Bad, Kind, seal, unseal};
use crate::convert::{identity_from_bytes, identity_to_bytes, record_from_bytes, record_to_bytes};
use crate::file_set::Home;
use crate::identity::Identity;
use crate::record::{Configuration, LogRecord, RecordBody, TermRun, TermRuns};
use crate::snapshot::SnapshotMeta;
use crate::state::{Change, Pointer};
use crate::wire;
use cp_seam::{
    ClusterId, ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LastVote,
    LogPosition, MemberId, MemberKind, QuorumMember, StateDigest, Term,
};
use std::sync::Arc;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn position(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), ControlPlaneLogIndex(index))
}

fn configuration() -> Configuration {
    let member = |n, kind| QuorumMember {
        incarnation: Incarnation(n),
        id: MemberId::new(&format!("n{n}")).unwrap(),
        kind,
        address: format!("h{n}:1"),
    };
    Configuration {
        voters: vec![member(1, MemberKind::Data)],
        outgoing: vec![member(2, MemberKind::Witness)],
        learners: vec![member(3, MemberKind::Data)],
    }
}

fn record(body: RecordBody) -> LogRecord {
    LogRecord { position: position(3, 300), body }
}

fn entry(kind: ControlPlaneEntryKind) -> RecordBody {
    RecordBody::Entry(kind.entry(ControlPlanePayload::new("body").unwrap()))
}

fn pointer() -> Pointer {
    let run = TermRun { term: Term(1), first: ControlPlaneLogIndex(1) };
    let meta = SnapshotMeta {
        position: position(1, 9),
        configuration: configuration(),
        configuration_at: position(1, 4),
        terms: TermRuns(vec![run]),
        digest: StateDigest([5; 32]),
    };
    Pointer { file: "snapshot-1-1".to_owned(), footer_hash: [6; 32], meta, body: None }
}

#[test]
fn identity() {
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation { number: 2, id: [8; 8] },
        member: MemberId::new("n1").unwrap(),
        incarnation: Incarnation(4),
        engine: "openraft".to_owned(),
    };
    let mut home = Home { identity, set: 0 };
    let bytes = identity_to_bytes(&home);
    assert_eq!(
        hex(&bytes),
        "0101f22006c90a100707070707070707070707070707070710021a08080808080808080822026e31280432086f70656e72616674"
    );
    assert_eq!(identity_from_bytes(&bytes), Ok(home.clone()));
    home.set = 1;
    let recovered = identity_to_bytes(&home);
    assert_eq!(hex(&recovered).strip_prefix("0101").map(|hex| hex.ends_with("3801")), Some(true));
    assert_eq!(identity_from_bytes(&recovered), Ok(home));
}

#[test]
fn log_records() {
    let frozen = [
        (RecordBody::Blank, "0301278cab9f0a05080310ac021001"),
        (entry(ControlPlaneEntryKind::MembershipChange), "0301a4536c470a05080310ac021a04626f6479"),
        (entry(ControlPlaneEntryKind::OwnershipTransition), "0301086d92620a05080310ac022204626f6479"),
        (
            RecordBody::Configuration(configuration()),
            "03013c7dc8e50a05080310ac022a300a0e080112026e311801220468313a31120e080212026e321802220468323a311a0e080312026e331801220468333a31",
        ),
    ];
    for (body, expected) in frozen {
        let record = record(body);
        let bytes = record_to_bytes(&record);
        assert_eq!(hex(&bytes), expected);
        assert_eq!(record_from_bytes(&bytes), Ok(record));
    }
}

#[test]
fn a_group_of_changes() {
    let change = Change {
        vote: Some(LastVote { term: Term(3), granted_to: Some(Incarnation(1)), following: Some(Incarnation(2)) }),
        truncate_from: Some(ControlPlaneLogIndex(300)),
        append: vec![record(RecordBody::Blank)],
        committed: Some(ControlPlaneLogIndex(299)),
        snapshot: Some(Arc::new(pointer())),
        compact_to: Some(ControlPlaneLogIndex(8)),
    };
    let sealed = wire::Change::from(&change);
    assert_eq!(
        hex(&seal(Kind::Group, &wire::Group { changes: vec![sealed.clone()] })),
        "0401ddceb1570abc010a0608031001180210ac021a0f0301278cab9f0a05080310ac02100120ab022a98010a0c736e617073686f742d312d31122006060606060606060606060606060606060606060606060606060606060606061a660a040801100912300a0e080112026e311801220468313a31120e080212026e321802220468323a311a0e080312026e331801220468333a311a04080110042204080110012a2005050505050505050505050505050505050505050505050505050505050505053008"
    );
    let read = Change::try_from(&sealed).unwrap();
    assert_eq!((read.vote, read.truncate_from, &read.append), (change.vote, change.truncate_from, &change.append));
    assert_eq!((read.committed, read.compact_to), (change.committed, change.compact_to));
    assert_eq!(read.snapshot.unwrap().meta, pointer().meta);
}

#[test]
fn the_state_of_the_database() {
    let state = wire::State {
        boot: 1,
        lap: 2,
        seq: 3,
        segment_bytes: 4 << 20,
        cluster: vec![7; 16],
        incarnation: 4,
        vote: LastVote { term: Term(3), ..LastVote::default() }.into(),
        committed: 299,
        purged: position(1, 8).into(),
        last: position(3, 300).into(),
        snapshot: (&pointer()).into(),
    };
    assert_eq!(
        hex(&seal(Kind::State, &state)),
        "0201a75677d108011002180320808080022a100707070707070707070707070707070730043a02080340ab024a04080110085205080310ac025a98010a0c736e617073686f742d312d31122006060606060606060606060606060606060606060606060606060606060606061a660a040801100912300a0e080112026e311801220468313a31120e080212026e321802220468323a311a0e080312026e331801220468333a311a04080110042204080110012a200505050505050505050505050505050505050505050505050505050505050505"
    );
}

#[test]
fn a_segment_header_and_a_footer() {
    let segment = wire::Segment { lap: 2, segment_bytes: 4 << 20, cluster: vec![7; 16], incarnation: 4 };
    assert_eq!(
        hex(&seal(Kind::Segment, &segment)),
        "0501ef59e8a2080210808080021a10070707070707070707070707070707072004"
    );
    let meta = (&pointer().meta).into();
    let footer = wire::Footer { meta, chunks: vec![wire::Chunk { len: 7, crc: 8 }], body_hash: vec![9; 32] };
    assert_eq!(
        hex(&seal(Kind::Footer, &footer)),
        "0601d5db25690a660a040801100912300a0e080112026e311801220468313a31120e080212026e321802220468323a311a0e080312026e331801220468333a311a04080110042204080110012a2005050505050505050505050505050505050505050505050505050505050505051207080715080000001a200909090909090909090909090909090909090909090909090909090909090909"
    );
}

#[test]
fn a_record_that_is_not_one_is_refused() {
    let sealed = record_to_bytes(&record(RecordBody::Blank));
    for cut in 0..sealed.len() {
        assert!(matches!(record_from_bytes(&sealed[..cut]), Err(Bad::Damaged(_))));
    }
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(record_from_bytes(&flipped).is_err(), "bit {bit}");
    }
    let mut newer = sealed.to_vec();
    newer[1] = 9;
    assert_eq!(record_from_bytes(&newer), Err(Bad::Newer(9)));
    assert!(unseal::<wire::LogRecord>(Kind::Group, &sealed).is_err(), "one kind is not taken for another");
}

#[test]
fn a_frame_of_the_write_ahead_log() {
    let frame = crate::wal::encode(2, 3, 4, b"payload");
    assert_eq!(frame.len(), crate::wal::BLOCK_BYTES);
    assert_eq!(
        hex(frame.trim_ascii_end().get(..40).unwrap()),
        "63707766a570824f0200000000000000030000000000000004000000070000007061796c6f616400"
    );
}
