//! Messages of the commands that move write authority past evidence, or to an archive.

use super::DecodeError;
use super::audit::reason;
use super::fencing::{FenceMessage, PositionMessage, RangeKeyMessage};
use super::value::{BoundsMessage, fixed, member_id, need};
use crate::command::{Restore, RestoreProof};
use crate::id::RangeKey;
use cp_seam::MemberId;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ForceMessage {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(string, tag = "2")]
    to: String,
    #[prost(string, tag = "3")]
    reason: String,
}

impl ForceMessage {
    pub(crate) fn new(range: &RangeKey, to: &MemberId, reason: &str) -> Self {
        Self { range: Some(range.into()), to: to.as_str().to_owned(), reason: reason.to_owned() }
    }

    pub(crate) fn decode_force(self) -> Result<(RangeKey, MemberId, String), DecodeError> {
        Ok((need(self.range, "range")?.try_into()?, member_id(&self.to, "owner")?, reason(self.reason)?))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RestoreMessage {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(message, optional, tag = "2")]
    fence: Option<FenceMessage>,
    #[prost(string, tag = "3")]
    archive: String,
    #[prost(bytes = "vec", tag = "4")]
    checksum: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    recorded: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    bounds: Option<BoundsMessage>,
    #[prost(message, optional, tag = "7")]
    restored: Option<PositionMessage>,
    #[prost(message, optional, tag = "8")]
    watermark: Option<PositionMessage>,
    #[prost(string, optional, tag = "9")]
    forced: Option<String>,
}

impl From<&Restore> for RestoreMessage {
    fn from(restore: &Restore) -> Self {
        let Restore { range, fence, archive, proof, forced } = restore;
        Self {
            range: Some(range.into()),
            fence: Some((*fence).into()),
            archive: archive.as_str().to_owned(),
            checksum: proof.checksum.to_vec(),
            recorded: proof.recorded.to_vec(),
            bounds: Some((&proof.bounds).into()),
            restored: Some(proof.restored.into()),
            watermark: Some(proof.watermark.into()),
            forced: forced.clone(),
        }
    }
}

impl TryFrom<RestoreMessage> for Restore {
    type Error = DecodeError;

    fn try_from(message: RestoreMessage) -> Result<Self, DecodeError> {
        Ok(Self {
            range: need(message.range, "range")?.try_into()?,
            fence: need(message.fence, "fence")?.into(),
            archive: member_id(&message.archive, "archive")?,
            proof: RestoreProof {
                checksum: fixed(&message.checksum, "checksum")?,
                recorded: fixed(&message.recorded, "recorded checksum")?,
                bounds: need(message.bounds, "bounds")?.try_into()?,
                restored: need(message.restored, "restored position")?.into(),
                watermark: need(message.watermark, "watermark")?.into(),
            },
            forced: message.forced.map(reason).transpose()?,
        })
    }
}
