//! What comes over the network and is not an engine's or the transport's own.

use bytes::Bytes;
use cp_driver::wire::{
    Body, Chunk, ConfigurationMessage, Ended, Envelope, Majority, MemberMessage, Members, Offer, PositionMessage, Pull,
    RecordMessage, Recorded, SnapshotMetaMessage,
};
use cp_store::{LogRecord, SnapshotMeta};
use cp_supervisor::api::messages as api;
use prost::Message;

pub(crate) fn envelope(data: &[u8]) {
    if let Ok(record) = RecordMessage::decode(data)
        && let Ok(record) = LogRecord::try_from(record)
    {
        assert_eq!(LogRecord::try_from(RecordMessage::from(&record)), Ok(record));
    }
    if let Ok(records) = Members::read(Bytes::copy_from_slice(data)) {
        assert!(records.iter().all(|(_, configuration)| !configuration.voters.is_empty()));
        assert_eq!(Members::read(Members::say(&records)), Ok(records));
    }
    let Ok(envelope) = Envelope::read(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(Envelope::read(envelope.encode_to_vec().into()), Ok(envelope.clone()));
    if let Some(Body::Offer(offer)) = envelope.body
        && let Some(Ok(meta)) = offer.meta.map(SnapshotMeta::try_from)
    {
        assert_eq!(SnapshotMeta::try_from(SnapshotMetaMessage::from(&meta)), Ok(meta));
    }
}

pub(crate) fn envelope_corpus() -> Vec<Vec<u8>> {
    let member = |incarnation| MemberMessage {
        incarnation,
        id: format!("n{incarnation}"),
        witness: false,
        address: "h:1".into(),
    };
    let configuration = ConfigurationMessage {
        voters: vec![member(1), member(2)],
        outgoing: vec![member(1)],
        learners: vec![member(3)],
    };
    let at = PositionMessage { term: 4, index: 9 };
    let meta = SnapshotMetaMessage {
        position: Some(at),
        configuration: Some(configuration.clone()),
        configuration_at: Some(at),
        terms: vec![PositionMessage { term: 1, index: 1 }, PositionMessage { term: 4, index: 7 }],
        digest: vec![7; 32].into(),
    };
    let bodies = [
        Body::Engine(Bytes::from(vec![3; 20])),
        Body::Offer(Offer {
            transfer: 3,
            meta: Some(meta),
            chunk_count: 2,
            header: Bytes::from(vec![8, 5]),
            hash: Bytes::from(vec![7; 32]),
        }),
        Body::Pull(Pull { transfer: 3, ordinal: 1 }),
        Body::Chunk(Chunk { transfer: 3, ordinal: 1, bytes: Bytes::from(vec![9; 60]) }),
        Body::Ended(Ended { transfer: 3, failure: "full".to_owned() }),
        Body::Majority(Majority { index: 9, digest: vec![7; 32].into(), differing: vec![3] }),
    ];
    let frame =
        |body| Envelope { version: Envelope::VERSION, applied: 9, digest: vec![7; 32].into(), body: Some(body) };
    let members = Members { records: vec![Recorded { configuration: Some(configuration), at: Some(at) }] };
    bodies.map(|body| frame(body).encode_to_vec()).into_iter().chain([members.encode_to_vec()]).collect()
}

fn comes_back<M: Message + Default + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(message) = M::decode(data) {
        assert_eq!(M::decode(message.encode_to_vec().as_slice()), Ok(message));
    }
}

/// The first byte says which message.
pub(crate) fn api(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 9 {
        0 => comes_back::<api::ProposeRequest>(data),
        1 => comes_back::<api::ProposeReply>(data),
        2 => comes_back::<api::TransferRequest>(data),
        3 => comes_back::<api::TransferReply>(data),
        4 => comes_back::<api::JoinRequest>(data),
        5 => comes_back::<api::JoinChunk>(data),
        6 => comes_back::<api::ReadRequest>(data),
        7 => comes_back::<api::ReadReply>(data),
        _ => comes_back::<api::WatchEvent>(data),
    }
}

pub(crate) fn api_corpus() -> Vec<Vec<u8>> {
    let position = api::Position { term: 4, index: 9 };
    let member = api::WireMember { incarnation: 2, id: "n2".into(), witness: true, address: "h:1".into() };
    let state = api::SnapshotHeader {
        cluster: vec![7; 16],
        generation: api::GenerationMessage { number: 1, id: vec![9; 8] },
        member: "n1".into(),
        engine: "raftrs".into(),
        position,
        terms: vec![position],
        digest: vec![5; 32],
    };
    let welcome = api::Welcome {
        state,
        incarnation: 4,
        configuration: api::WireConfiguration { voters: vec![member], ..Default::default() },
        chunks: 3,
        ..Default::default()
    };
    let refused = api::Refused { code: 3, message: "busy".into() };
    let committed = api::Committed { position, verdict: vec![1, 2, 3].into(), settled: true };
    let change = api::ChangeMessage {
        position,
        kind: 1,
        request: vec![1; 9].into(),
        verdict: vec![2; 9].into(),
        repeated: false,
    };
    let propose = api::ProposeRequest { kind: 1, request: vec![1; 30].into(), wait_ms: 9, number: 3 };
    let join = api::JoinRequest { token: "7-00".into(), member: "n2".into(), since: 8, ..Default::default() };
    let all = [
        (0, propose.encode_to_vec()),
        (1, api::ProposeReply { number: 3, result: Some(api::ProposeResult::Committed(committed)) }.encode_to_vec()),
        (1, api::ProposeReply { number: 3, result: Some(api::ProposeResult::Refused(refused)) }.encode_to_vec()),
        (2, api::TransferRequest { to: "n3".into() }.encode_to_vec()),
        (3, api::TransferReply { result: Some(api::TransferResult::Leader("n3".into())) }.encode_to_vec()),
        (4, join.encode_to_vec()),
        (5, api::JoinChunk { item: Some(api::JoinItem::Welcome(Box::new(welcome))) }.encode_to_vec()),
        (6, Vec::new()),
        (7, Vec::new()),
        (8, api::WatchEvent { item: Some(api::WatchItem::Change(change)) }.encode_to_vec()),
    ];
    all.map(|(which, bytes)| [vec![which], bytes].concat()).into()
}
