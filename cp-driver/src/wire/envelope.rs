//! The frame around everything that a driver sends.

use super::BadFrame;
use super::record::SnapshotMetaMessage;
use bytes::Bytes;
use prost::Message;

/// One frame. Every frame carries the sender's state digest (CP-R3).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// The version of this layout.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The highest index that the sender has applied.
    #[prost(uint64, tag = "2")]
    pub applied: u64,
    /// The digest of its state there.
    #[prost(bytes = "bytes", tag = "3")]
    pub digest: Bytes,
    /// What it says.
    #[prost(oneof = "Body", tags = "4, 5, 6, 7, 8, 9")]
    pub body: Option<Body>,
}

/// What a frame says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// One engine to the other; opaque to the driver.
    #[prost(bytes = "bytes", tag = "4")]
    Engine(Bytes),
    /// A snapshot can be pulled.
    #[prost(message, tag = "5")]
    Offer(Offer),
    /// Send this chunk.
    #[prost(message, tag = "6")]
    Pull(Pull),
    /// Here it is.
    #[prost(message, tag = "7")]
    Chunk(Chunk),
    /// The transfer has ended.
    #[prost(message, tag = "8")]
    Ended(Ended),
    /// What a majority of voters has as its digest (CP-R3).
    #[prost(message, tag = "9")]
    Majority(Majority),
}

/// A snapshot can be pulled, chunk by chunk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Offer {
    /// Names the transfer; rises at the sender, also across its restarts.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    /// What the snapshot is.
    #[prost(message, optional, tag = "2")]
    pub meta: Option<SnapshotMetaMessage>,
    /// How many chunks it has.
    #[prost(uint64, tag = "3")]
    pub chunk_count: u64,
    /// For the receiver's engine.
    #[prost(bytes = "bytes", tag = "4")]
    pub header: Bytes,
    /// The BLAKE3 of all chunks: an interrupted transfer goes on with one of the same.
    #[prost(bytes = "bytes", tag = "5")]
    pub hash: Bytes,
}

/// Send this chunk.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Pull {
    /// Which transfer.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    /// Which chunk.
    #[prost(uint64, tag = "2")]
    pub ordinal: u64,
}

/// A chunk.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chunk {
    /// Which transfer.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    /// Which chunk.
    #[prost(uint64, tag = "2")]
    pub ordinal: u64,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub bytes: Bytes,
}

/// The receiver has done with a transfer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ended {
    /// Which transfer.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    /// Why it failed; empty if the snapshot is installed.
    #[prost(string, tag = "2")]
    pub failure: String,
}

/// A majority of voters has this digest at this index; a voter that has another must
/// stop, and everybody else remembers who it is, whoever leads later.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Majority {
    /// The applied index.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The digest.
    #[prost(bytes = "bytes", tag = "2")]
    pub digest: Bytes,
    /// The incarnations that have another.
    #[prost(uint64, repeated, tag = "3")]
    pub differing: Vec<u64>,
}

impl Envelope {
    /// The version written here.
    pub const VERSION: u32 = 1;

    /// Reads a frame.
    pub fn read(frame: Bytes) -> Result<Self, BadFrame> {
        let envelope = Self::decode(frame)?;
        match envelope.version {
            Self::VERSION if envelope.body.is_some() => Ok(envelope),
            Self::VERSION => Err(BadFrame("it has no body".to_owned())),
            other => Err(BadFrame(format!("envelope version {other}, this release reads {}", Self::VERSION))),
        }
    }

    /// The engine's message in a frame, if that is what it carries. For observers.
    pub fn engine_message(frame: Bytes) -> Option<Bytes> {
        match Self::read(frame).ok()?.body? {
            Body::Engine(message) => Some(message),
            Body::Offer(_) | Body::Pull(_) | Body::Chunk(_) | Body::Ended(_) | Body::Majority(_) => None,
        }
    }
}
