//! The messages, as prost messages of our own. Decoding is total and suspicious:
//! what an honest peer cannot have sent ends here. Sender and receiver are not in
//! the frame: the transport has proved them.

use bytes::Bytes;
use cp_driver::Observed;
use cp_driver::wire::{BadFrame, PositionMessage, RecordMessage, required};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::LogRecord;
use prost::Message as _;

/// Higher terms and indexes cannot be reached by counting.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

/// What one node says to another, in the sender's term.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) term: Term,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// Vote for me in this term; or, on trial: would you in the next?
    Ballot {
        trial: bool,
        handover: bool,
        last: LogPosition,
    },
    Voted {
        trial: bool,
        granted: bool,
    },
    Append(Append),
    /// I hold your log up to here.
    Appended {
        up_to: ControlPlaneLogIndex,
        round: u64,
    },
    /// I do not hold what these records follow; what I have as committed will match.
    NotAppended {
        committed: ControlPlaneLogIndex,
        round: u64,
    },
    /// Stand for election at once: I hand over to you.
    StandNow,
}

/// Records of a leader's log, and how far it is committed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Append {
    pub(super) after: LogPosition,
    pub(super) committed: ControlPlaneLogIndex,
    pub(super) round: u64,
    pub(super) records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(oneof = "Kind", tags = "2, 3, 4, 5, 6, 7")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "2")]
    Ballot(BallotMessage),
    #[prost(message, tag = "3")]
    Voted(VotedMessage),
    #[prost(message, tag = "4")]
    Append(AppendMessage),
    #[prost(message, tag = "5")]
    Appended(AnswerMessage),
    #[prost(message, tag = "6")]
    NotAppended(AnswerMessage),
    #[prost(bool, tag = "7")]
    StandNow(bool),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct BallotMessage {
    #[prost(bool, tag = "1")]
    trial: bool,
    #[prost(bool, tag = "2")]
    handover: bool,
    #[prost(message, optional, tag = "3")]
    last: Option<PositionMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct VotedMessage {
    #[prost(bool, tag = "1")]
    trial: bool,
    #[prost(bool, tag = "2")]
    granted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendMessage {
    #[prost(message, optional, tag = "1")]
    after: Option<PositionMessage>,
    #[prost(uint64, tag = "2")]
    committed: u64,
    #[prost(uint64, tag = "3")]
    round: u64,
    #[prost(message, repeated, tag = "4")]
    records: Vec<RecordMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AnswerMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    round: u64,
}

pub(super) fn encode(message: Message) -> Bytes {
    let kind = match message.body {
        Body::Ballot { trial, handover, last } => {
            Kind::Ballot(BallotMessage { trial, handover, last: Some(last.into()) })
        }
        Body::Voted { trial, granted } => Kind::Voted(VotedMessage { trial, granted }),
        Body::Append(append) => Kind::Append(AppendMessage {
            after: Some(append.after.into()),
            committed: append.committed.0,
            round: append.round,
            records: append.records.iter().map(RecordMessage::from).collect(),
        }),
        Body::Appended { up_to, round } => Kind::Appended(AnswerMessage { index: up_to.0, round }),
        Body::NotAppended { committed, round } => Kind::NotAppended(AnswerMessage { index: committed.0, round }),
        Body::StandNow => Kind::StandNow(true),
    };
    Frame { term: message.term.0, kind: Some(kind) }.encode_to_vec().into()
}

pub(super) fn decode(from: Incarnation, to: Incarnation, frame: Bytes) -> Result<Message, BadFrame> {
    let frame = Frame::decode(frame)?;
    if from == to || from.0 == 0 {
        return Err(BadFrame(format!("member {from} cannot be its sender")));
    }
    let term = Term(number("term", frame.term)?);
    let body = match required(frame.kind, "kind")? {
        Kind::Ballot(BallotMessage { trial, handover, last }) => {
            Body::Ballot { trial, handover, last: position("last", last)? }
        }
        Kind::Voted(VotedMessage { trial, granted }) => Body::Voted { trial, granted },
        Kind::Append(append) => Body::Append(append_from(term, append)?),
        Kind::Appended(AnswerMessage { index, round }) => Body::Appended { up_to: self::index("index", index)?, round },
        Kind::NotAppended(AnswerMessage { index, round }) => {
            Body::NotAppended { committed: self::index("index", index)?, round }
        }
        Kind::StandNow(_) => Body::StandNow,
    };
    Ok(Message { term, body })
}

/// Records must follow each other, in terms that do not fall and are not after the sender's.
fn append_from(term: Term, append: AppendMessage) -> Result<Append, BadFrame> {
    let after = position("after", append.after)?;
    let mut previous = after;
    let mut records = Vec::with_capacity(append.records.len());
    for record in append.records {
        let record = LogRecord::try_from(record)?;
        let next = record.position;
        if next.index != previous.index.next() || next.term < previous.term {
            return Err(BadFrame(format!("a record at {next} after {previous}")));
        }
        previous = next;
        records.push(record);
    }
    if previous.term > term {
        return Err(BadFrame(format!("a record at {previous} in term {term}")));
    }
    Ok(Append { after, committed: index("committed", append.committed)?, round: append.round, records })
}

fn number(name: &str, number: u64) -> Result<u64, BadFrame> {
    if number <= NUMBER_MAX { Ok(number) } else { Err(BadFrame(format!("{name} {number} is out of range"))) }
}

fn index(name: &str, index: u64) -> Result<ControlPlaneLogIndex, BadFrame> {
    number(name, index).map(ControlPlaneLogIndex)
}

fn position(name: &str, position: Option<PositionMessage>) -> Result<LogPosition, BadFrame> {
    let PositionMessage { term, index } = required(position, name)?;
    Ok(LogPosition::new(Term(number(name, term)?), self::index(name, index)?))
}

/// What a message lets its receiver rely on; the checkers hold its sender's disk to it.
pub(super) fn explain(from: Incarnation, to: Incarnation, frame: Bytes) -> Vec<Observed> {
    let Ok(Message { term, body }) = decode(from, to, frame) else { return Vec::new() };
    match body {
        Body::Ballot { trial: false, .. } => vec![Observed::Candidacy { term }],
        Body::Voted { trial: false, granted: true } => vec![Observed::Grant { term, candidate: to }],
        Body::Append(_) | Body::StandNow => vec![Observed::Leads { term }],
        Body::Appended { up_to, .. } => vec![Observed::AppendAck { term, up_to }],
        Body::Ballot { .. } | Body::Voted { .. } | Body::NotAppended { .. } => Vec::new(),
    }
}
