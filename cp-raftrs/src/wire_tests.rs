use super::*;
use crate::testing::configuration;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Term};
use cp_store::RecordBody;
use proptest::prelude::*;
use raft::eraftpb::EntryType;

const ME: Incarnation = Incarnation(1);
const PEER: Incarnation = Incarnation(2);

fn message(kind: MessageType) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.from, message.to, message.term) = (PEER.0, ME.0, 5);
    message
}

fn body(n: u64) -> RecordBody {
    match n % 3 {
        0 => RecordBody::Blank,
        1 => RecordBody::Configuration(configuration([1, 2], [2, 3], [3])),
        _ => {
            let payload = ControlPlanePayload::new(vec![7; usize::try_from(n).expect("small")]).expect("short");
            RecordBody::Entry(ControlPlaneEntry::MembershipChange(payload))
        }
    }
}

fn append(after: (u64, u64), records: u64) -> Message {
    let mut append = message(MessageType::MsgAppend);
    (append.log_term, append.index, append.commit) = (after.0, after.1, after.1);
    let record = |n| {
        let position = LogPosition::new(Term(after.0), ControlPlaneLogIndex(after.1 + n));
        translate::entry(&LogRecord { position, body: body(n) })
    };
    append.set_entries((1..=records).map(record).collect::<Vec<_>>().into());
    append
}

fn over(message: &Message) -> Vec<Message> {
    let frames = encode(message.clone(), 1 << 20).expect("encodes").expect("is sent");
    frames.into_iter().map(|frame| decode(PEER, ME, frame).expect("decodes")).collect()
}

#[test]
fn messages_arrive_as_they_were_sent() {
    let mut rejection = message(MessageType::MsgAppendResponse);
    (rejection.reject, rejection.index, rejection.reject_hint, rejection.log_term) = (true, 9, 4, 3);
    let mut accepted = message(MessageType::MsgAppendResponse);
    accepted.index = 9;
    let mut ballot = message(MessageType::MsgRequestVote);
    (ballot.log_term, ballot.index, ballot.commit_term, ballot.commit, ballot.priority) = (4, 9, 3, 8, -1);
    let mut handover = ballot.clone();
    handover.context = Bytes::from_static(raft::CAMPAIGN_TRANSFER);
    let mut trial = ballot.clone();
    trial.set_msg_type(MessageType::MsgRequestPreVote);
    let mut granted = message(MessageType::MsgRequestVoteResponse);
    (granted.commit_term, granted.commit) = (3, 8);
    let mut refused = granted.clone();
    refused.reject = true;
    let mut trial_granted = granted.clone();
    trial_granted.set_msg_type(MessageType::MsgRequestPreVoteResponse);
    let mut heartbeat = message(MessageType::MsgHeartbeat);
    (heartbeat.commit, heartbeat.context) = (8, Bytes::from_static(b"round"));
    let mut alive = message(MessageType::MsgHeartbeatResponse);
    alive.context = Bytes::from_static(b"round");
    let stand = message(MessageType::MsgTimeoutNow);
    let all = [rejection, accepted, ballot, handover, trial, granted, refused, trial_granted, heartbeat, alive, stand];
    for message in all.into_iter().chain([append((4, 9), 6), append((4, 9), 0), append((0, 0), 1)]) {
        assert_eq!(over(&message), [message]);
    }
}

/// The reported commit of an answer need not be durable, so it does not travel (CP-D3).
#[test]
fn an_answer_reports_no_commit() {
    let mut accepted = message(MessageType::MsgAppendResponse);
    (accepted.index, accepted.commit) = (9, 8);
    assert_eq!(over(&accepted).first().map(|m| m.commit), Some(0));
}

#[test]
fn local_messages_and_forwarded_proposals_do_not_travel() {
    use MessageType as T;
    for kind in [T::MsgHup, T::MsgBeat, T::MsgPropose, T::MsgSnapshot, T::MsgTransferLeader, T::MsgReadIndex] {
        assert_eq!(encode(message(kind), 1 << 20).expect("encodes"), None, "{kind:?}");
    }
}

/// The engine batches past any size; frames stay bounded, and the parts follow each other.
#[test]
fn a_long_append_is_split() {
    let long = append((4, 9), 40);
    let frames = encode(long.clone(), 200).expect("encodes").expect("is sent");
    assert!(frames.len() > 2, "{} frames", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < 400));
    let parts: Vec<_> = frames.into_iter().map(|frame| decode(PEER, ME, frame).expect("decodes")).collect();
    let mut end = (long.log_term, long.index);
    for part in &parts {
        assert_eq!((part.log_term, part.index), end);
        end = part.entries.last().map(|e| (e.term, e.index)).expect("no part is empty");
        assert_eq!((part.term, part.commit), (long.term, long.commit));
    }
    let entries: Vec<_> = parts.iter().flat_map(|part| part.entries.iter().cloned()).collect();
    assert_eq!(entries, long.entries.to_vec());
}

/// A frame takes as many records as fit.
#[test]
fn a_frame_is_filled_before_the_next() {
    let long = append((4, 9), 40);
    let len = |entry| RecordMessage::from(&translate::record(entry).expect("a record")).encoded_len();
    let all: usize = long.entries.iter().map(len).sum();
    let frames = |bytes_max| encode(long.clone(), bytes_max).expect("encodes").expect("is sent").len();
    assert_eq!(frames(all), 1);
    assert_eq!(frames(all - 1), 2);
}

fn refused(frame: Frame) -> String {
    decode(PEER, ME, frame.encode_to_vec().into()).expect_err("it is not legal").0
}

/// What would make the engine panic or believe nonsense is not let in.
#[test]
fn illegal_frames_are_refused() {
    let at = |term, index| Some(PositionMessage { term, index });
    let record = |term, index| {
        let position = LogPosition::new(Term(term), ControlPlaneLogIndex(index));
        RecordMessage::from(&LogRecord { position, body: RecordBody::Blank })
    };
    let append = |after, records| Some(Body::Append(Append { after, committed: 0, records }));
    assert!(refused(Frame { term: 0, body: Some(Body::StandNow(true)) }).contains("term 0"));
    assert!(refused(Frame { term: 5, body: None }).contains("body"));
    assert!(refused(Frame { term: u64::MAX, body: Some(Body::StandNow(true)) }).contains("out of range"));
    assert!(refused(Frame { term: 5, body: Some(Body::Appended(u64::MAX)) }).contains("out of range"));
    assert!(refused(Frame { term: 5, body: append(None, vec![]) }).contains("after"));
    assert!(refused(Frame { term: 5, body: append(at(4, 9), vec![record(4, 11)]) }).contains("4.11"), "a gap");
    assert!(refused(Frame { term: 5, body: append(at(4, 9), vec![record(3, 10)]) }).contains("3.10"), "a falling term");
    assert!(refused(Frame { term: 5, body: append(at(4, 9), vec![record(6, 10)]) }).contains("6.10"), "a later term");
    assert!(refused(Frame { term: 5, body: append(at(6, 9), vec![]) }).contains("6.9"), "after a later term");
    assert!(refused(Frame { term: 5, body: append(at(0, 9), vec![]) }).contains("0.9"), "only genesis has term 0");
    assert!(refused(Frame { term: 5, body: append(at(4, 0), vec![]) }).contains("4.0"), "genesis has no other");
    let long = Body::Alive(Bytes::from(vec![0; CONTEXT_MAX_BYTES + 1]));
    assert!(refused(Frame { term: 5, body: Some(long) }).contains("context"));
    let own = Frame { term: 5, body: Some(Body::StandNow(true)) }.encode_to_vec();
    assert!(decode(ME, ME, own.into()).is_err(), "a node does not write to itself");
}

#[test]
fn implausible_messages_are_refused() {
    let mut heartbeat = message(MessageType::MsgHeartbeat);
    heartbeat.commit = 10;
    assert!(plausible(&heartbeat, 5, Some(PEER), 10).is_ok());
    assert!(plausible(&heartbeat, 5, Some(PEER), 9).is_err());
    assert!(
        plausible(&heartbeat, 6, None, 9).is_ok(),
        "of an earlier term: the engine answers it, and does not commit"
    );
    assert!(plausible(&heartbeat, 5, Some(Incarnation(3)), 10).is_err(), "two leaders in one term");
    assert!(plausible(&heartbeat, 4, Some(Incarnation(3)), 10).is_ok(), "a new leader");
    let mut answer = message(MessageType::MsgAppendResponse);
    answer.index = 10;
    assert!(plausible(&answer, 5, Some(ME), 10).is_ok());
    assert!(plausible(&answer, 5, Some(ME), 9).is_err());
    answer.reject = true;
    assert!(plausible(&answer, 5, Some(ME), 9).is_ok());
}

proptest! {
    /// Arbitrary bytes, and damaged frames, give a message or an error.
    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let decoded = |bytes: Vec<u8>| decode(PEER, ME, bytes.into()).map(|m| m.term).unwrap_or(1);
        prop_assert!(decoded(bytes) > 0);
        let frame = encode(append((4, 9), 6), 1 << 20).expect("encodes").expect("is sent").remove(0);
        let mut damaged = frame.to_vec();
        let at = at.index(damaged.len());
        damaged[at] = with;
        prop_assert!(decoded(damaged) > 0);
    }

    /// Whatever decodes holds records that the store and the engine can take.
    #[test]
    fn what_decodes_is_sound(after in (1_u64..4, 1_u64..9), term in 1_u64..9, records in 0_u64..9) {
        let mut sent = append(after, records);
        sent.term = term;
        let frame = encode(sent, 1 << 20).expect("encodes").expect("is sent").remove(0);
        if let Ok(message) = decode(PEER, ME, frame) {
            prop_assert!(message.log_term <= message.term);
            for (n, entry) in message.entries.iter().enumerate() {
                prop_assert_eq!(entry.index, message.index + 1 + n as u64);
                prop_assert!(translate::record(entry).is_ok());
                prop_assert!(entry.get_entry_type() != EntryType::EntryConfChangeV2 || entry.data.is_empty());
            }
        } else {
            prop_assert!(after.0 > term);
        }
    }
}
