//! Single records, for those who carry them elsewhere than in a snapshot.

use super::range::{RANGE_LEN_BYTES, write_range};
use super::record::{CollectionRecord, MemberRecord, RangeRecord};
use super::recovery::RecoveryRecord;
use super::{DecodeError, malformed};
use crate::member::Member;
use crate::range::{CollectionSpec, Range};
use crate::recovery::Recovery;
use prost::Message;

/// The encoding of a member.
pub fn encode_member(member: &Member) -> Vec<u8> {
    MemberRecord::from(member).encode_to_vec()
}

/// The member in `bytes`. It never panics, whatever the bytes; nor do the next two.
pub fn decode_member(bytes: &[u8]) -> Result<Member, DecodeError> {
    MemberRecord::decode(bytes).map_err(|_| malformed("member"))?.try_into()
}

/// The encoding of a collection, without its ranges.
pub fn encode_collection(collection: &CollectionSpec) -> Vec<u8> {
    CollectionRecord::from(collection).encode_to_vec()
}

/// The collection in `bytes`.
pub fn decode_collection(bytes: &[u8]) -> Result<CollectionSpec, DecodeError> {
    CollectionRecord::decode(bytes).map_err(|_| malformed("collection"))?.try_into()
}

/// The encoding of a range; its collection is not part of it.
pub fn encode_range(range: &Range) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RANGE_LEN_BYTES);
    write_range(range, &mut bytes);
    bytes
}

/// The range in `bytes`.
pub fn decode_range(bytes: &[u8]) -> Result<Range, DecodeError> {
    RangeRecord::decode(bytes).map_err(|_| malformed("range"))?.try_into()
}

/// A recovery's record as clients are sent it.
pub fn encode_recovery(recovery: &Recovery) -> Vec<u8> {
    RecoveryRecord::from(recovery).encode_to_vec()
}

/// A recovery's record from what [`encode_recovery`] gave.
pub fn decode_recovery(bytes: &[u8]) -> Result<Recovery, DecodeError> {
    RecoveryRecord::decode(bytes).map_err(|_| malformed("recovery"))?.try_into()
}
