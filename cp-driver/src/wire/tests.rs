use super::*;
use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LogPosition, MemberId, MemberKind,
    QuorumMember, StateDigest, Term,
};
use cp_store::{Configuration, LogRecord, RecordBody, SnapshotMeta, TermRun, TermRuns};
use proptest::prelude::*;
use prost::Message;

prop_compose! {
    fn member()(incarnation in 1_u64..9, witness: bool, port: u16) -> QuorumMember {
        QuorumMember {
            incarnation: Incarnation(incarnation),
            id: MemberId::new(&format!("m{incarnation}")).expect("legal"),
            kind: if witness { MemberKind::Witness } else { MemberKind::Data },
            address: format!("h:{port}"),
        }
    }
}

fn list(from: usize) -> impl Strategy<Value = Vec<QuorumMember>> {
    prop::collection::vec(member(), from..5).prop_map(|mut list| {
        list.sort();
        list.dedup_by_key(|m| m.incarnation);
        list
    })
}

prop_compose! {
    fn configuration()(voters in list(1), outgoing in list(0), mut learners in list(0)) -> Configuration {
        learners.retain(|l| voters.iter().all(|v| v.incarnation != l.incarnation));
        Configuration { voters, outgoing, learners }
    }
}

fn body() -> impl Strategy<Value = RecordBody> {
    let entry = |kind: ControlPlaneEntryKind| {
        prop::collection::vec(any::<u8>(), 0..64)
            .prop_map(move |bytes| RecordBody::Entry(kind.entry(ControlPlanePayload::new(bytes).expect("short"))))
    };
    prop_oneof![
        Just(RecordBody::Blank),
        entry(ControlPlaneEntryKind::MembershipChange),
        entry(ControlPlaneEntryKind::OwnershipTransition),
        configuration().prop_map(RecordBody::Configuration),
    ]
}

proptest! {
    #[test]
    fn records_survive_the_wire(term: u64, index in 1_u64.., body in body()) {
        let record = LogRecord { position: LogPosition::new(Term(term), ControlPlaneLogIndex(index)), body };
        let bytes = RecordMessage::from(&record).encode_to_vec();
        let back = LogRecord::try_from(RecordMessage::decode(bytes.as_slice()).expect("decodes"));
        prop_assert_eq!(back, Ok(record));
    }

    #[test]
    fn snapshot_metadata_survive_the_wire(configuration in configuration(), term in 2_u64..9, digest: [u8; 32]) {
        let position = LogPosition::new(Term(term), ControlPlaneLogIndex(50));
        let runs = [(1, 1), (term, 20)].map(|(t, i)| TermRun { term: Term(t), first: ControlPlaneLogIndex(i) });
        let configuration_at = LogPosition::new(Term(1), ControlPlaneLogIndex(3));
        let terms = TermRuns(runs.to_vec());
        let meta = SnapshotMeta { position, configuration, configuration_at, terms, digest: StateDigest(digest) };
        prop_assert_eq!(SnapshotMeta::try_from(SnapshotMetaMessage::from(&meta)), Ok(meta));
    }

    /// No bytes make the decoder panic, and none that decode hold what a node must not believe.
    #[test]
    fn arbitrary_bytes_are_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(envelope) = Envelope::read(Bytes::from(bytes.clone())) {
            prop_assert!(envelope.body.is_some());
        }
        if let Ok(Ok(record)) = RecordMessage::decode(bytes.as_slice()).map(LogRecord::try_from) {
            prop_assert!(record.position.index > ControlPlaneLogIndex(0));
        }
    }
}

/// All else is as this release writes it; the receiver reads a frame before it believes anything in it.
#[test]
fn a_frame_of_a_newer_version_is_refused_whatever_it_says() {
    let bodies = [
        Body::Engine(Bytes::from_static(b"vote")),
        Body::Pull(Pull { transfer: 1, ordinal: 0 }),
        Body::Ended(Ended { transfer: 1, failure: String::new() }),
    ];
    for body in bodies {
        let frame =
            Envelope { version: Envelope::VERSION, applied: 9, digest: Bytes::from_static(&[7; 32]), body: Some(body) };
        let mut bytes = frame.encode_to_vec();
        assert_eq!(Envelope::read(bytes.clone().into()), Ok(frame));
        assert_eq!(bytes.get(..2), Some(&[8, 1][..]), "the version is the first field");
        bytes.splice(1..2, [2]);
        let refused = Envelope::read(bytes.into()).expect_err("refused");
        assert!(refused.0.contains("envelope version 2"), "{refused}");
    }
}

#[test]
fn what_a_node_must_not_believe_is_refused() {
    let voter = MemberMessage { incarnation: 1, id: "a".to_owned(), ..MemberMessage::default() };
    let refuse = |message: ConfigurationMessage| Configuration::try_from(message).expect_err("refused").0;
    let both =
        ConfigurationMessage { voters: vec![voter.clone()], learners: vec![voter.clone()], ..Default::default() };
    assert!(refuse(both).contains("both voter and learner"));
    assert!(refuse(ConfigurationMessage::default()).contains("no voter"));
    let twice = ConfigurationMessage { voters: vec![voter.clone(), voter], ..Default::default() };
    assert!(refuse(twice).contains("not ascending"));
    let digest = Bytes::from_static(&[0; 32]);
    let voters = ConfigurationMessage {
        voters: vec![MemberMessage { id: "a".to_owned(), incarnation: 1, ..Default::default() }],
        ..Default::default()
    };
    let (at, first) = (Some(PositionMessage { term: 4, index: 50 }), PositionMessage { term: 3, index: 1 });
    let meta = SnapshotMetaMessage {
        position: at,
        configuration: Some(voters),
        configuration_at: at,
        terms: vec![first],
        digest,
    };
    assert!(SnapshotMeta::try_from(meta).expect_err("refused").0.contains("does not lead to 4.50"));
}
