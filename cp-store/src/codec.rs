//! The envelope around every durable record: kind, format, checksum, body.
//!
//! ```text
//! 0     1        2            6
//! kind  format   crc32c (LE)  prost body
//! ```
//!
//! The checksum covers kind, format and body. Frozen at release; a change of
//! any body's meaning raises [`FORMAT`].

use prost::Message;

/// The newest format this release reads, and the one it writes.
pub(crate) const FORMAT: u8 = 1;

const HEADER_LEN: usize = 6;

/// What a record is, so that one kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Identity = 1,
    State = 2,
    Log = 3,
    Group = 4,
    Segment = 5,
    Footer = 6,
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bad {
    Newer(u8),
    Damaged(String),
}

impl Bad {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

pub(crate) fn seal(kind: Kind, message: &impl Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + message.encoded_len());
    out.extend_from_slice(&[kind as u8, FORMAT, 0, 0, 0, 0]);
    // What `encode` does where there is room, as there is in a vector.
    message.encode_raw(&mut out);
    repair(&mut out);
    out
}

pub(crate) fn unseal<M: Message + Default>(kind: Kind, sealed: &[u8]) -> Result<M, Bad> {
    let Some((&[found_kind, format, a, b, c, d], body)) = sealed.split_first_chunk::<HEADER_LEN>() else {
        return Err(Bad::damaged(format!("a {kind:?} record of {} bytes is too short", sealed.len())));
    };
    if found_kind != kind as u8 {
        return Err(Bad::damaged(format!("a record of kind {found_kind} where {kind:?} belongs")));
    }
    if format > FORMAT {
        return Err(Bad::Newer(format));
    }
    if format == 0 || checksum(sealed) != u32::from_le_bytes([a, b, c, d]) {
        return Err(Bad::damaged(format!("the checksum of a {kind:?} record does not match")));
    }
    M::decode(body).map_err(|e| Bad::damaged(format!("a {kind:?} record does not decode: {e}")))
}

/// Gives `sealed` the checksum of what it holds.
pub(crate) fn repair(sealed: &mut [u8]) {
    let checksum = checksum(sealed);
    if let Some(slot) = sealed.get_mut(2..HEADER_LEN) {
        slot.copy_from_slice(&checksum.to_le_bytes());
    }
}

fn checksum(sealed: &[u8]) -> u32 {
    #[cfg(planted_bugs)]
    if crate::planted::active(crate::planted::Bug::NothingChecked) {
        return 0;
    }
    let (head, body) = sealed.split_at(sealed.len().min(HEADER_LEN));
    crc32c::crc32c_append(crc32c::crc32c(head.get(..2).unwrap_or(head)), body)
}
