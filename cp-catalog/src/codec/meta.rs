//! The message of what there is one of.

use super::value::fixed;
use super::{DecodeError, malformed};
use crate::catalog::Meta;
use crate::digest::{RecordHash, RecordKind};
use crate::lease::LongestLease;
use cp_seam::{ClusterId, Generation};
use prost::Message;
use std::time::Duration;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetaRecord {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint32, tag = "2")]
    generation: u32,
    #[prost(bytes = "vec", tag = "3")]
    generation_id: Vec<u8>,
    #[prost(uint64, tag = "4")]
    next_incarnation: u64,
    #[prost(uint64, tag = "5")]
    clients_since: u64,
    #[prost(uint32, tag = "10")]
    pub(crate) feature_level: u32,
    /// In nanoseconds; 0 is the default, so that states of before there was a choice mean what they meant.
    #[prost(uint64, tag = "11")]
    longest_lease_ns: u64,
}

impl From<&Meta> for MetaRecord {
    fn from(meta: &Meta) -> Self {
        Self {
            cluster: meta.cluster.map(|id| id.0.to_vec()).unwrap_or_default(),
            generation: meta.generation.number.into(),
            generation_id: meta.generation.id.to_vec(),
            next_incarnation: meta.next_incarnation,
            clients_since: meta.clients_since,
            feature_level: meta.feature_level,
            longest_lease_ns: match meta.longest_lease {
                longest if longest == LongestLease::default() => 0,
                longest => longest.nanos(),
            },
        }
    }
}

impl TryFrom<MetaRecord> for Meta {
    type Error = DecodeError;

    fn try_from(record: MetaRecord) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: Some(ClusterId(fixed(&record.cluster, "cluster id")?)),
            generation: Generation {
                number: record.generation.try_into().map_err(|_| malformed("generation"))?,
                id: fixed(&record.generation_id, "generation id")?,
            },
            next_incarnation: record.next_incarnation,
            clients_since: record.clients_since,
            feature_level: record.feature_level,
            longest_lease: match record.longest_lease_ns {
                0 => LongestLease::default(),
                nanos => LongestLease::new(Duration::from_nanos(nanos)).map_err(|_| malformed("longest lease"))?,
            },
        })
    }
}

pub(crate) fn hash_meta(meta: &Meta) -> RecordHash {
    RecordHash::of(RecordKind::Meta, &[], &MetaRecord::from(meta).encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(longest_lease: LongestLease) -> Meta {
        Meta { cluster: Some(ClusterId([7; 16])), longest_lease, ..Meta::default() }
    }

    #[test]
    fn a_longest_lease_that_nobody_chose_is_not_written_and_an_impossible_one_not_read() {
        let default = MetaRecord::from(&meta(LongestLease::default()));
        assert_eq!(default.longest_lease_ns, 0);
        let (ten, five) = (Duration::from_secs(10), Duration::from_secs(5));
        assert_eq!(hash_meta(&meta(LongestLease::new(ten).unwrap())), hash_meta(&meta(LongestLease::default())));
        for chosen in
            [LongestLease::default(), LongestLease::new(five).unwrap(), LongestLease::new(LongestLease::MAX).unwrap()]
        {
            assert_eq!(Meta::try_from(MetaRecord::from(&meta(chosen))).unwrap(), meta(chosen));
        }
        let long = MetaRecord { longest_lease_ns: u64::MAX, ..default };
        assert!(Meta::try_from(long).unwrap_err().to_string().contains("longest lease"));
    }
}
