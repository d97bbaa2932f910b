//! What goes over the network, as prost messages of our own.
//!
//! The wire format is versioned apart from the disk format: a frame never
//! reaches the disk as bytes, nor the other way round. Decoding is total:
//! whatever arrives gives a value or a [`BadFrame`].

pub mod envelope;
pub mod members;
pub mod record;

pub use envelope::{Body, Chunk, Ended, Envelope, Majority, Offer, Pull};
pub use members::{Members, Recorded};
pub use record::{ConfigurationMessage, MemberMessage, PositionMessage, RecordMessage, SnapshotMetaMessage};

/// Bytes that are not a frame of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of this protocol: {0}")]
pub struct BadFrame(pub String);

impl From<prost::DecodeError> for BadFrame {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// The value of a field that must be there.
pub fn required<T>(field: Option<T>, name: &str) -> Result<T, BadFrame> {
    field.ok_or_else(|| BadFrame(format!("field {name} is missing")))
}

#[cfg(test)]
mod tests;
