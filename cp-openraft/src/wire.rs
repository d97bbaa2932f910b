//! What this engine says to its like on other nodes, as messages of our own.
//!
//! The leader or candidate that speaks is the sender that the transport has
//! proved, so no message can be said in another's name. Decoding is total, and
//! what it lets through cannot trip an assertion of openraft: records follow one
//! another without a gap, terms never fall and never exceed the sender's.

use bytes::Bytes;
use cp_driver::Observed;
use cp_driver::wire::{BadFrame, PositionMessage, RecordMessage, required};
use cp_seam::{Incarnation, LogPosition, Term};
use cp_store::LogRecord;
use prost::Message as _;

/// The version of these messages.
pub(crate) const VERSION: u32 = 1;

/// Higher terms and indexes cannot be reached by counting; openraft adds one to what it is told.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// A request or the answer to one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    /// Names the request; never the same twice from one node, across its restarts.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(oneof = "Body", tags = "2, 3, 4, 5, 6, 7")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "2")]
    Append(Append),
    #[prost(message, tag = "3")]
    Campaign(Campaign),
    #[prost(message, tag = "4")]
    Transfer(Transfer),
    #[prost(message, tag = "5")]
    Appended(Appended),
    #[prost(message, tag = "6")]
    Judged(Judged),
    #[prost(message, tag = "7")]
    Transferred(Transferred),
}

/// The leader of `term`: append these records; without any, a heartbeat.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Append {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    /// The record before the first; none if the leader does not know yet where logs match.
    #[prost(message, optional, tag = "2")]
    pub(crate) after: Option<PositionMessage>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) records: Vec<RecordMessage>,
    #[prost(message, optional, tag = "4")]
    pub(crate) committed: Option<PositionMessage>,
}

/// A candidate for `term`: vote for me, or would you?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Campaign {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    /// The end of the candidate's log.
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<PositionMessage>,
    /// Only ask, promise nothing.
    #[prost(bool, tag = "3")]
    pub(crate) pre: bool,
    /// The leader has asked this candidate to stand.
    #[prost(bool, tag = "4")]
    pub(crate) transfer: bool,
}

/// The leader of `term`: take over.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Transfer {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    /// What the receiver must hold first.
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<PositionMessage>,
}

/// The answer to [`Append`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Appended {
    #[prost(oneof = "Fate", tags = "1, 2, 3")]
    pub(crate) fate: Option<Fate>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub(crate) enum Fate {
    /// All of it is durable here (CP-D2).
    #[prost(bool, tag = "1")]
    Durable(bool),
    /// The record before the first is not here.
    #[prost(bool, tag = "2")]
    Conflict(bool),
    /// This node has promised itself to a higher vote.
    #[prost(message, tag = "3")]
    Outvoted(VoteMessage),
}

/// The answer to [`Campaign`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Judged {
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<VoteMessage>,
    #[prost(bool, tag = "2")]
    pub(crate) granted: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<PositionMessage>,
}

/// The answer to [`Transfer`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Transferred {
    /// Why not; empty if it is done.
    #[prost(string, tag = "1")]
    pub(crate) refusal: String,
}

/// A vote as openraft has it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct VoteMessage {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) candidate: u64,
    #[prost(bool, tag = "3")]
    pub(crate) elected: bool,
}

/// What travels with a snapshot: the term of the leader that sends it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Header {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
}

impl Header {
    pub(crate) fn read(bytes: Bytes) -> Result<Self, BadFrame> {
        let header = Self::decode(bytes)?;
        led(header.term)?;
        Ok(header)
    }
}

impl Message {
    pub(crate) fn bytes(id: u64, body: Body) -> Bytes {
        Self { id, body: Some(body) }.encode_to_vec().into()
    }

    pub(crate) fn read(bytes: Bytes) -> Result<(u64, Body), BadFrame> {
        let message = Self::decode(bytes)?;
        Ok((message.id, required(message.body, "body")?))
    }
}

/// A checked [`Append`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Records {
    pub(crate) term: Term,
    pub(crate) after: Option<LogPosition>,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) committed: Option<LogPosition>,
}

impl TryFrom<Append> for Records {
    type Error = BadFrame;

    fn try_from(message: Append) -> Result<Self, BadFrame> {
        let term = led(message.term)?;
        let after = message.after.map(position).transpose()?;
        let records = message.records.into_iter().map(LogRecord::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut end = match after {
            Some(after) => after,
            None if records.is_empty() => LogPosition::GENESIS,
            None => return Err(BadFrame("records that follow nothing".to_owned())),
        };
        for record in &records {
            let next = record.position;
            if next.index != end.index.next() || next.term < end.term {
                return Err(BadFrame(format!("a record at {next} cannot follow {end}")));
            }
            end = next;
        }
        let committed = message.committed.map(position).transpose()?;
        for claimed in [Some(end), committed].into_iter().flatten() {
            if claimed.term > term {
                return Err(BadFrame(format!("the leader of term {term} cannot know of {claimed}")));
            }
        }
        Ok(Self { term, after, records, committed })
    }
}

/// Nobody leads or stands in term 0: it is genesis's.
pub(crate) fn led(term: u64) -> Result<Term, BadFrame> {
    match term {
        0 => Err(BadFrame("nobody leads term 0".to_owned())),
        1..=NUMBER_MAX => Ok(Term(term)),
        _ => Err(BadFrame(format!("term {term} is out of range"))),
    }
}

/// A position that a log can have.
pub(crate) fn position(message: PositionMessage) -> Result<LogPosition, BadFrame> {
    let position = LogPosition::from(message);
    let in_range = position.term.0 <= NUMBER_MAX && position.index.0 <= NUMBER_MAX;
    if in_range { Ok(position) } else { Err(BadFrame(format!("position {position} is out of range"))) }
}

/// A vote names its candidate.
pub(crate) fn voted(vote: VoteMessage) -> Result<VoteMessage, BadFrame> {
    if vote.term > NUMBER_MAX {
        return Err(BadFrame(format!("a vote in term {}, which is out of range", vote.term)));
    }
    if Incarnation(vote.candidate) == Incarnation::default() {
        return Err(BadFrame("a vote for member 0".to_owned()));
    }
    Ok(vote)
}

/// What a message on its way to `to` lets its receiver rely on.
pub(crate) fn explain(to: Incarnation, bytes: Bytes) -> Vec<Observed> {
    let Ok((request, body)) = Message::read(bytes) else { return Vec::new() };
    match body {
        Body::Append(append) => {
            let last = append.records.last().and_then(|record| record.position).or(append.after);
            let up_to = last.map(|last| LogPosition::from(last).index).unwrap_or_default();
            let term = Term(append.term);
            vec![Observed::Leads { term }, Observed::Asks { request, term, up_to }]
        }
        Body::Campaign(campaign) if !campaign.pre => vec![Observed::Candidacy { term: Term(campaign.term) }],
        Body::Transfer(transfer) => vec![Observed::Leads { term: Term(transfer.term) }],
        Body::Appended(Appended { fate: Some(Fate::Durable(_)) }) => vec![Observed::Done { request }],
        // An answer to a pre-vote shows the vote as it is: another's, or one that was given before.
        Body::Judged(Judged { granted: true, vote: Some(vote), .. }) if !vote.elected && vote.candidate == to.0 => {
            vec![Observed::Grant { term: Term(vote.term), candidate: to }]
        }
        Body::Campaign(_) | Body::Appended(_) | Body::Judged(_) | Body::Transferred(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload};
    use cp_store::RecordBody;
    use proptest::prelude::*;

    fn body() -> impl Strategy<Value = RecordBody> {
        let kind = prop_oneof![
            Just(ControlPlaneEntryKind::MembershipChange),
            Just(ControlPlaneEntryKind::OwnershipTransition)
        ];
        let entry = (kind, proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, bytes)| RecordBody::Entry(kind.entry(ControlPlanePayload::new(bytes).expect("short"))));
        prop_oneof![Just(RecordBody::Blank), entry]
    }

    prop_compose! {
        /// Records as a leader sends them: one after the other, terms rising now and then.
        fn records()(
            start in (1_u64..50, 0_u64..1000),
            bodies in proptest::collection::vec((0_u64..3, body()), 0..8),
            lead in 0_u64..3,
            committed in proptest::option::of(0_u64..1000),
        ) -> Records {
            let after = LogPosition::new(Term(start.0), ControlPlaneLogIndex(start.1));
            let mut end = after;
            let mut records = Vec::new();
            for (rise, body) in bodies {
                end = LogPosition::new(Term(end.term.0 + rise), end.index.next());
                records.push(LogRecord { position: end, body });
            }
            let committed = committed.map(|index| LogPosition::new(after.term, ControlPlaneLogIndex(index)));
            Records { term: Term(end.term.0 + lead), after: Some(after), records, committed }
        }
    }

    fn message(records: &Records) -> Append {
        Append {
            term: records.term.0,
            after: records.after.map(Into::into),
            records: records.records.iter().map(RecordMessage::from).collect(),
            committed: records.committed.map(Into::into),
        }
    }

    fn read(append: Append) -> Result<Records, BadFrame> {
        match Message::read(Message::bytes(7, Body::Append(append)))? {
            (7, Body::Append(append)) => append.try_into(),
            other => Err(BadFrame(format!("{other:?}"))),
        }
    }

    proptest! {
        #[test]
        fn records_arrive_as_they_were_sent(sent in records()) {
            prop_assert_eq!(read(message(&sent)), Ok(sent));
        }

        /// A gap, a falling term or a record from the future would trip openraft.
        #[test]
        fn records_out_of_line_are_refused(
            sent in records().prop_filter("some", |r| !r.records.is_empty()),
            which: prop::sample::Index,
            fault in 0..4,
        ) {
            let mut message = message(&sent);
            let which = which.index(message.records.len());
            let position = message.records[which].position.as_mut().expect("set");
            match fault {
                0 => position.index += 1,
                1 => position.term = sent.term.0 + 1,
                2 => position.term = sent.after.expect("set").term.0 - 1,
                _ => message.after = None,
            }
            prop_assert!(read(message).is_err());
        }

        #[test]
        fn whatever_arrives_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, Body::Append(append))) = Message::read(bytes.clone().into()) {
                let checked = Records::try_from(append);
                prop_assert!(checked.is_err() || checked.is_ok_and(|records| records.term > Term(0)));
            }
            let header = Header::read(bytes.into());
            prop_assert!(header.is_err() || header.is_ok_and(|header| header.term > 0));
        }
    }

    #[test]
    fn nobody_leads_genesis() {
        let append = Append { term: 0, after: None, records: Vec::new(), committed: None };
        assert!(read(append).is_err());
    }

    /// openraft counts on from a term or an index that it is told, and there must be room for that.
    #[test]
    fn numbers_out_of_reach_are_refused() {
        let at = |term, index| Some(PositionMessage { term, index });
        let append = |term, after, committed| Append { term, after, records: Vec::new(), committed };
        assert!(read(append(NUMBER_MAX, at(1, 5), at(1, NUMBER_MAX))).is_ok());
        assert!(read(append(u64::MAX, at(1, 5), None)).is_err());
        assert!(read(append(4, at(1, u64::MAX), None)).is_err());
        assert!(read(append(4, at(1, 5), at(1, u64::MAX))).is_err());
        assert!(voted(VoteMessage { term: u64::MAX, candidate: 2, elected: false }).is_err());
        assert!(voted(VoteMessage { term: NUMBER_MAX, candidate: 2, elected: false }).is_ok());
        assert!(voted(VoteMessage { term: NUMBER_MAX + 1, candidate: 2, elected: false }).is_err());
    }

    /// Without a record before them, not even the first records of a log have a place in it.
    #[test]
    fn records_follow_something() {
        let position = LogPosition::new(Term(1), ControlPlaneLogIndex(1));
        let first = RecordMessage::from(&LogRecord { position, body: RecordBody::Blank });
        let append = |after, records| Append { term: 1, after, records, committed: None };
        assert!(read(append(None, vec![first.clone()])).is_err());
        assert!(read(append(None, Vec::new())).is_ok(), "a heartbeat");
        assert!(read(append(Some(LogPosition::GENESIS.into()), vec![first])).is_ok());
    }

    #[test]
    fn a_vote_names_somebody() {
        assert!(voted(VoteMessage { term: 3, candidate: 0, elected: true }).is_err());
    }
}
