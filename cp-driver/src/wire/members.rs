//! What a hello says of who the members are.

use super::record::{ConfigurationMessage, PositionMessage};
use super::{BadFrame, required};
use bytes::Bytes;
use cp_seam::LogPosition;
use cp_store::Configuration;
use prost::Message;

/// The configurations that may count at the sender: the one in force, and those appended since.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Members {
    /// In the order of the log.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Recorded>,
}

/// A configuration and where it was recorded.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Recorded {
    /// Where.
    #[prost(message, optional, tag = "1")]
    pub at: Option<PositionMessage>,
    /// The configuration.
    #[prost(message, optional, tag = "2")]
    pub configuration: Option<ConfigurationMessage>,
}

impl Members {
    /// As they go into a hello.
    pub fn say(records: &[(LogPosition, Configuration)]) -> Bytes {
        let record = |(at, configuration): &(LogPosition, Configuration)| Recorded {
            at: Some((*at).into()),
            configuration: Some(configuration.into()),
        };
        Self { records: records.iter().map(record).collect() }.encode_to_vec().into()
    }

    /// What a hello says.
    pub fn read(said: Bytes) -> Result<Vec<(LogPosition, Configuration)>, BadFrame> {
        let record = |record: Recorded| {
            Ok((required(record.at, "position")?.into(), required(record.configuration, "configuration")?.try_into()?))
        };
        Self::decode(said)?.records.into_iter().map(record).collect()
    }
}
