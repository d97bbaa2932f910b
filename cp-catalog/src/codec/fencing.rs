//! Messages of what fences a transition: names of ranges, where they stand, and evidence.

use super::DecodeError;
use super::value::{collection_name, member_id, need};
use crate::command::{ClosedGate, Evidence};
use crate::id::{DataPosition, Epoch, Fence, RangeId, RangeKey, Version};
use crate::range::RangeStanding;

type Decoded<T> = Result<T, DecodeError>;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RangeKeyMessage {
    #[prost(string, tag = "1")]
    collection: String,
    #[prost(uint64, tag = "2")]
    id: u64,
}

impl From<&RangeKey> for RangeKeyMessage {
    fn from(key: &RangeKey) -> Self {
        Self { collection: key.collection.as_str().to_owned(), id: key.id.0 }
    }
}

impl TryFrom<RangeKeyMessage> for RangeKey {
    type Error = DecodeError;

    fn try_from(message: RangeKeyMessage) -> Decoded<Self> {
        Ok(Self::new(collection_name(&message.collection)?, RangeId(message.id)))
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct FenceMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    version: u64,
}

impl From<Fence> for FenceMessage {
    fn from(fence: Fence) -> Self {
        Self { epoch: fence.epoch.0, version: fence.version.0 }
    }
}

impl From<FenceMessage> for Fence {
    fn from(message: FenceMessage) -> Self {
        Self { epoch: Epoch(message.epoch), version: Version(message.version) }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StandingMessage {
    #[prost(string, tag = "1")]
    owner: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    version: u64,
}

impl From<&RangeStanding> for StandingMessage {
    fn from(standing: &RangeStanding) -> Self {
        let RangeStanding { owner, epoch, version } = standing;
        Self { owner: owner.as_str().to_owned(), epoch: epoch.0, version: version.0 }
    }
}

impl TryFrom<StandingMessage> for RangeStanding {
    type Error = DecodeError;

    fn try_from(message: StandingMessage) -> Decoded<Self> {
        let owner = member_id(&message.owner, "owner")?;
        Ok(Self { owner, epoch: Epoch(message.epoch), version: Version(message.version) })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PositionMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    lsn: u64,
}

impl From<DataPosition> for PositionMessage {
    fn from(DataPosition { term, lsn }: DataPosition) -> Self {
        Self { term, lsn }
    }
}

impl From<PositionMessage> for DataPosition {
    fn from(PositionMessage { term, lsn }: PositionMessage) -> Self {
        Self { term, lsn }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EvidenceMessage {
    #[prost(string, tag = "1")]
    candidate: String,
    #[prost(message, optional, tag = "2")]
    applied: Option<PositionMessage>,
    #[prost(message, optional, tag = "3")]
    watermark: Option<PositionMessage>,
    #[prost(message, optional, tag = "4")]
    closed_gate: Option<ClosedGateMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClosedGateMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(message, optional, tag = "2")]
    last: Option<PositionMessage>,
    /// Left out if it is the range that the command is about.
    #[prost(message, optional, tag = "3")]
    range: Option<RangeKeyMessage>,
}

impl EvidenceMessage {
    /// The message of `evidence` in a command about `range`.
    pub(crate) fn about(range: &RangeKey, evidence: &Evidence) -> Self {
        let gate = |gate: &ClosedGate| ClosedGateMessage {
            epoch: gate.epoch.0,
            last: Some(gate.last.into()),
            range: (gate.range != *range).then(|| (&gate.range).into()),
        };
        Self {
            candidate: evidence.candidate.as_str().to_owned(),
            applied: Some(evidence.applied.into()),
            watermark: Some(evidence.watermark.into()),
            closed_gate: evidence.closed_gate.as_ref().map(gate),
        }
    }

    /// What it says in a command about `range`.
    pub(crate) fn read(self, range: &RangeKey) -> Decoded<Evidence> {
        let gate = |gate: ClosedGateMessage| {
            Ok(ClosedGate {
                range: gate.range.map_or_else(|| Ok(range.clone()), TryInto::try_into)?,
                epoch: Epoch(gate.epoch),
                last: need(gate.last, "last write of the closed gate")?.into(),
            })
        };
        Ok(Evidence {
            candidate: member_id(&self.candidate, "candidate")?,
            applied: need(self.applied, "applied position")?.into(),
            watermark: need(self.watermark, "watermark")?.into(),
            closed_gate: self.closed_gate.map(gate).transpose()?,
        })
    }
}
