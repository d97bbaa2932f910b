//! The message of what the state remembers of a recovery.

use super::value::{LifeMessage, fixed};
use super::{DecodeError, malformed};
use crate::member::MemberLife;
use crate::recovery::{Cause, Recovery};
use cp_seam::{ControlPlaneLogIndex, Generation, Incarnation, LogPosition, Term};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RecoveryRecord {
    /// 1: forced, 2: restored.
    #[prost(uint32, tag = "1")]
    cause: u32,
    #[prost(uint32, tag = "2")]
    previous: u32,
    #[prost(bytes = "vec", tag = "3")]
    previous_id: Vec<u8>,
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(string, tag = "5")]
    reason: String,
    #[prost(uint64, tag = "6")]
    at_unix_ms: u64,
    #[prost(message, optional, tag = "7")]
    survivor: Option<LifeMessage>,
    /// 0: it was no member.
    #[prost(uint64, tag = "8")]
    former: u64,
    #[prost(uint64, tag = "9")]
    term: u64,
    #[prost(uint64, tag = "10")]
    index: u64,
    #[prost(uint64, tag = "11")]
    committed: u64,
    #[prost(message, repeated, tag = "12")]
    lost_voters: Vec<LifeMessage>,
    #[prost(uint64, tag = "13")]
    fenced: u64,
    #[prost(uint32, tag = "14")]
    generation: u32,
}

impl From<&Recovery> for RecoveryRecord {
    fn from(recovery: &Recovery) -> Self {
        Self {
            cause: match recovery.cause {
                Cause::Forced => 1,
                Cause::Restored => 2,
            },
            previous: recovery.previous.number.into(),
            previous_id: recovery.previous.id.to_vec(),
            operator: recovery.operator.clone(),
            reason: recovery.reason.clone(),
            at_unix_ms: recovery.at_unix_ms,
            survivor: Some((&recovery.survivor).into()),
            former: recovery.former.map_or(0, |incarnation| incarnation.0),
            term: recovery.position.term.0,
            index: recovery.position.index.0,
            committed: recovery.committed.0,
            lost_voters: recovery.lost_voters.iter().map(LifeMessage::from).collect(),
            fenced: recovery.fenced,
            generation: recovery.generation.into(),
        }
    }
}

impl TryFrom<RecoveryRecord> for Recovery {
    type Error = DecodeError;

    fn try_from(record: RecoveryRecord) -> Result<Self, DecodeError> {
        let recovery = Self {
            cause: match record.cause {
                1 => Cause::Forced,
                2 => Cause::Restored,
                _ => return Err(malformed("cause")),
            },
            previous: Generation {
                number: record.previous.try_into().map_err(|_| malformed("generation"))?,
                id: fixed(&record.previous_id, "generation id")?,
            },
            operator: record.operator,
            reason: record.reason,
            at_unix_ms: record.at_unix_ms,
            survivor: record.survivor.ok_or(malformed("survivor"))?.try_into()?,
            former: (record.former != 0).then_some(Incarnation(record.former)),
            position: LogPosition::new(Term(record.term), ControlPlaneLogIndex(record.index)),
            committed: ControlPlaneLogIndex(record.committed),
            lost_voters: record.lost_voters.into_iter().map(MemberLife::try_from).collect::<Result<_, _>>()?,
            fenced: record.fenced,
            generation: record.generation.try_into().map_err(|_| malformed("generation"))?,
        };
        let checked = recovery.check_lengths();
        checked.map(|()| recovery).map_err(|source| DecodeError::Value { what: "recovery", source })
    }
}
