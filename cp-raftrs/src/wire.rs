//! The engine's messages as prost messages of our own.
//!
//! Decoding is total and suspicious: whatever would make the engine panic, or let
//! it believe what its sender cannot have meant, ends here or at
//! [`plausible`]. Sender and receiver are not in the frame: the transport has
//! proved them.

use crate::translate;
use bytes::Bytes;
use cp_driver::Observed;
use cp_driver::wire::{BadFrame, PositionMessage, RecordMessage, required};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::LogRecord;
use prost::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};

/// Higher terms and indexes cannot be reached by counting, so they are no engine's.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;
const CONTEXT_MAX_BYTES: usize = 64;

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(oneof = "Body", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "2")]
    Append(Append),
    #[prost(uint64, tag = "3")]
    Appended(u64),
    #[prost(message, tag = "4")]
    NotAppended(NotAppended),
    #[prost(message, tag = "5")]
    Ballot(Ballot),
    #[prost(message, tag = "6")]
    Voted(Voted),
    #[prost(message, tag = "7")]
    Heartbeat(Heartbeat),
    #[prost(bytes = "bytes", tag = "8")]
    Alive(Bytes),
    #[prost(bool, tag = "9")]
    StandNow(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Append {
    #[prost(message, optional, tag = "1")]
    after: Option<PositionMessage>,
    #[prost(uint64, tag = "2")]
    committed: u64,
    #[prost(message, repeated, tag = "3")]
    records: Vec<RecordMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct NotAppended {
    #[prost(uint64, tag = "1")]
    after: u64,
    #[prost(message, optional, tag = "2")]
    hint: Option<PositionMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Ballot {
    #[prost(bool, tag = "1")]
    trial: bool,
    #[prost(message, optional, tag = "2")]
    last: Option<PositionMessage>,
    #[prost(message, optional, tag = "3")]
    committed: Option<PositionMessage>,
    #[prost(bool, tag = "4")]
    handover: bool,
    #[prost(sint64, tag = "5")]
    priority: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Voted {
    #[prost(bool, tag = "1")]
    trial: bool,
    #[prost(bool, tag = "2")]
    granted: bool,
    #[prost(message, optional, tag = "3")]
    committed: Option<PositionMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Heartbeat {
    #[prost(uint64, tag = "1")]
    committed: u64,
    #[prost(bytes = "bytes", tag = "2")]
    context: Bytes,
}

fn at(term: u64, index: u64) -> Option<PositionMessage> {
    Some(PositionMessage { term, index })
}

/// The frames of a message of this engine; several if its records exceed
/// `bytes_max`, because the engine batches without looking at the size. `None`
/// for a message that is not sent as a frame.
pub(crate) fn encode(mut message: Message, bytes_max: usize) -> Result<Option<Vec<Bytes>>, translate::NotARecord> {
    let body = match message.get_msg_type() {
        MessageType::MsgAppend => return appends(&mut message, bytes_max).map(Some),
        MessageType::MsgAppendResponse if message.reject => {
            let hint = at(message.log_term, message.reject_hint);
            Body::NotAppended(NotAppended { after: message.index, hint })
        }
        // Its commit is left out: it need not be durable yet (CP-D3).
        MessageType::MsgAppendResponse => Body::Appended(message.index),
        kind @ (MessageType::MsgRequestVote | MessageType::MsgRequestPreVote) => Body::Ballot(Ballot {
            trial: kind == MessageType::MsgRequestPreVote,
            last: at(message.log_term, message.index),
            committed: at(message.commit_term, message.commit),
            handover: message.context == raft::CAMPAIGN_TRANSFER,
            priority: message.priority,
        }),
        kind @ (MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse) => Body::Voted(Voted {
            trial: kind == MessageType::MsgRequestPreVoteResponse,
            granted: !message.reject,
            committed: at(message.commit_term, message.commit),
        }),
        MessageType::MsgHeartbeat => {
            Body::Heartbeat(Heartbeat { committed: message.commit, context: message.context.clone() })
        }
        MessageType::MsgHeartbeatResponse => Body::Alive(message.context.clone()),
        MessageType::MsgTimeoutNow => Body::StandNow(true),
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgSnapshot
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => return Ok(None),
    };
    Ok(Some(vec![frame(message.term, body)]))
}

fn frame(term: u64, body: Body) -> Bytes {
    Frame { term, body: Some(body) }.encode_to_vec().into()
}

fn appends(message: &mut Message, bytes_max: usize) -> Result<Vec<Bytes>, translate::NotARecord> {
    let (term, committed) = (message.term, message.commit);
    let mut frames = Vec::new();
    let mut after = at(message.log_term, message.index);
    let mut records: Vec<RecordMessage> = Vec::new();
    let mut bytes = 0;
    for entry in message.take_entries() {
        let record = RecordMessage::from(&translate::record(&entry)?);
        let len = record.encoded_len();
        if !records.is_empty() && bytes + len > bytes_max {
            let next = records.last().and_then(|last| last.position);
            let records = std::mem::take(&mut records);
            frames.push(frame(term, Body::Append(Append { after, committed, records })));
            after = next;
            bytes = 0;
        }
        bytes += len;
        records.push(record);
    }
    frames.push(frame(term, Body::Append(Append { after, committed, records })));
    Ok(frames)
}

/// The message in a frame that `from` sent to `to`.
pub(crate) fn decode(from: Incarnation, to: Incarnation, frame: Bytes) -> Result<Message, BadFrame> {
    let frame = Frame::decode(frame)?;
    if from == to || from.0 == raft::INVALID_ID {
        return Err(BadFrame(format!("member {from} cannot be its sender")));
    }
    if frame.term == 0 {
        // The engine takes it for a message of its own.
        return Err(BadFrame("term 0".to_owned()));
    }
    let term = number("term", frame.term)?;
    let mut message = Message { from: from.0, to: to.0, term, ..Message::default() };
    match required(frame.body, "body")? {
        Body::Append(append) => append_from(&mut message, append)?,
        Body::Appended(index) => {
            message.set_msg_type(MessageType::MsgAppendResponse);
            message.index = number("appended", index)?;
        }
        Body::NotAppended(NotAppended { after, hint }) => {
            message.set_msg_type(MessageType::MsgAppendResponse);
            message.reject = true;
            message.index = number("after", after)?;
            (message.log_term, message.reject_hint) = pair("hint", hint)?;
        }
        Body::Ballot(ballot) => {
            message.set_msg_type(match ballot.trial {
                true => MessageType::MsgRequestPreVote,
                false => MessageType::MsgRequestVote,
            });
            (message.log_term, message.index) = pair("last", ballot.last)?;
            (message.commit_term, message.commit) = pair("committed", ballot.committed)?;
            message.priority = ballot.priority;
            if ballot.handover {
                message.context = Bytes::from_static(raft::CAMPAIGN_TRANSFER);
            }
        }
        Body::Voted(voted) => {
            message.set_msg_type(match voted.trial {
                true => MessageType::MsgRequestPreVoteResponse,
                false => MessageType::MsgRequestVoteResponse,
            });
            message.reject = !voted.granted;
            (message.commit_term, message.commit) = pair("committed", voted.committed)?;
        }
        Body::Heartbeat(heartbeat) => {
            message.set_msg_type(MessageType::MsgHeartbeat);
            message.commit = number("committed", heartbeat.committed)?;
            message.context = context(heartbeat.context)?;
        }
        Body::Alive(bytes) => {
            message.set_msg_type(MessageType::MsgHeartbeatResponse);
            message.context = context(bytes)?;
        }
        Body::StandNow(_) => message.set_msg_type(MessageType::MsgTimeoutNow),
    }
    Ok(message)
}

/// What the message in a frame lets its receiver rely on.
pub(crate) fn explain(from: Incarnation, to: Incarnation, frame: Bytes) -> Vec<Observed> {
    let Ok(message) = decode(from, to, frame) else { return Vec::new() };
    let term = Term(message.term);
    match message.get_msg_type() {
        MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgTimeoutNow => {
            vec![Observed::Leads { term }]
        }
        MessageType::MsgRequestVote => vec![Observed::Candidacy { term }],
        MessageType::MsgRequestVoteResponse if !message.reject => vec![Observed::Grant { term, candidate: to }],
        MessageType::MsgAppendResponse if !message.reject => {
            vec![Observed::AppendAck { term, up_to: ControlPlaneLogIndex(message.index) }]
        }
        _ => Vec::new(),
    }
}

fn append_from(message: &mut Message, append: Append) -> Result<(), BadFrame> {
    message.set_msg_type(MessageType::MsgAppend);
    (message.log_term, message.index) = pair("after", append.after)?;
    message.commit = number("committed", append.committed)?;
    let mut previous = LogPosition::from(PositionMessage { term: message.log_term, index: message.index });
    // The engine takes term 0 for the term of whatever lies beyond its log.
    let genesis_alone = (previous.term.0 == 0) == (previous.index.0 == 0);
    if previous.term.0 > message.term || !genesis_alone {
        return Err(BadFrame(format!("it follows {previous} in term {}", message.term)));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(append.records.len());
    for record in append.records {
        let record = LogRecord::try_from(record)?;
        let position = record.position;
        if position.index != previous.index.next() || position.term < previous.term || position.term.0 > message.term {
            return Err(BadFrame(format!("a record at {position} after {previous} in term {}", message.term)));
        }
        previous = position;
        entries.push(translate::entry(&record));
    }
    message.set_entries(entries.into());
    Ok(())
}

fn number(name: &str, number: u64) -> Result<u64, BadFrame> {
    if number <= NUMBER_MAX { Ok(number) } else { Err(BadFrame(format!("{name} {number} is out of range"))) }
}

fn pair(name: &str, position: Option<PositionMessage>) -> Result<(u64, u64), BadFrame> {
    let position = required(position, name)?;
    Ok((number(name, position.term)?, number(name, position.index)?))
}

fn context(bytes: Bytes) -> Result<Bytes, BadFrame> {
    if bytes.len() <= CONTEXT_MAX_BYTES { Ok(bytes) } else { Err(BadFrame("the context is too long".to_owned())) }
}

/// Whether an honest peer can have sent `message` to a node in `term` that follows
/// `leader` there, if any, and whose log ends at `last`.
pub(crate) fn plausible(message: &Message, term: u64, leader: Option<Incarnation>, last: u64) -> Result<(), BadFrame> {
    let bad = |why: String| Err(BadFrame(why));
    let (now, kind) = (message.term == term, message.get_msg_type());
    let leads = matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot);
    if leads && now && leader.is_some_and(|leader| leader.0 != message.from) {
        return bad(format!("it leads term {term}, and so does {leader:?}"));
    }
    // A leader says no more than this node has acknowledged to it in its term.
    if kind == MessageType::MsgHeartbeat && message.term >= term && message.commit > last {
        return bad(format!("it says that {} is committed here, and the log ends at {last}", message.commit));
    }
    if kind == MessageType::MsgAppendResponse && !message.reject && now && message.index > last {
        return bad(format!("it acknowledges {}, and the log ends at {last}", message.index));
    }
    Ok(())
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
