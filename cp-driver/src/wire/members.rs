//! What a hello says of who the members are.

use super::record::{ConfigurationMessage, PositionMessage};
use super::{BadFrame, required};
use bytes::Bytes;
use cp_seam::LogPosition;
use cp_store::Configuration;
use prost::Message;

/// A configuration and where it was recorded.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Members {
    /// The configuration.
    #[prost(message, optional, tag = "1")]
    pub configuration: Option<ConfigurationMessage>,
    /// Where it was recorded.
    #[prost(message, optional, tag = "2")]
    pub at: Option<PositionMessage>,
}

impl Members {
    /// As it goes into a hello.
    pub fn say(at: LogPosition, configuration: &Configuration) -> Bytes {
        Self { configuration: Some(configuration.into()), at: Some(at.into()) }.encode_to_vec().into()
    }

    /// What a hello says.
    pub fn read(said: Bytes) -> Result<(LogPosition, Configuration), BadFrame> {
        let said = Self::decode(said)?;
        let configuration = required(said.configuration, "configuration")?;
        Ok((required(said.at, "position")?.into(), configuration.try_into()?))
    }
}
