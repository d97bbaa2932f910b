//! The two kinds of entry, and the opaque body they carry (CP-S4).

use bytes::Bytes;

/// An encoded body that the seam orders and never reads.
///
/// At most [`ControlPlanePayload::LEN_MAX_BYTES`] long, so that an entry always
/// fits a frame, a write and a snapshot chunk. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlanePayload(Bytes);

impl ControlPlanePayload {
    /// The longest payload: 1 MiB.
    pub const LEN_MAX_BYTES: usize = 1 << 20;

    /// Wraps `body`, or refuses one that is too long; nothing is truncated.
    pub fn new(body: impl Into<Bytes>) -> Result<Self, PayloadTooLarge> {
        let body = body.into();
        if body.len() > Self::LEN_MAX_BYTES {
            return Err(PayloadTooLarge { len_bytes: body.len() });
        }
        Ok(Self(body))
    }

    /// The body.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A payload over the limit. Split the request; the limit is not a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "control-plane payload of {len_bytes} bytes exceeds the limit of {} bytes; split the request",
    ControlPlanePayload::LEN_MAX_BYTES
)]
pub struct PayloadTooLarge {
    /// How long it was.
    pub len_bytes: usize,
}

/// What the control-plane log can carry. Closed on purpose: a third kind would
/// break every exhaustive `match` downstream, which is the point (CP-S4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPlaneEntry {
    /// Who is a member: admission, role change, drain, removal, addresses,
    /// capabilities, feature level.
    MembershipChange(ControlPlanePayload),
    /// Who may write which range: a fenced, versioned transition of the
    /// ownership catalog.
    OwnershipTransition(ControlPlanePayload),
}

impl ControlPlaneEntry {
    /// The kind, without the payload.
    pub fn kind(&self) -> ControlPlaneEntryKind {
        match self {
            Self::MembershipChange(_) => ControlPlaneEntryKind::MembershipChange,
            Self::OwnershipTransition(_) => ControlPlaneEntryKind::OwnershipTransition,
        }
    }

    /// The payload, whichever kind carries it.
    pub fn payload(&self) -> &ControlPlanePayload {
        match self {
            Self::MembershipChange(payload) | Self::OwnershipTransition(payload) => payload,
        }
    }
}

/// The kind of a [`ControlPlaneEntry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlPlaneEntryKind {
    /// See [`ControlPlaneEntry::MembershipChange`].
    MembershipChange,
    /// See [`ControlPlaneEntry::OwnershipTransition`].
    OwnershipTransition,
}

impl ControlPlaneEntryKind {
    /// An entry of this kind around `payload`.
    pub fn entry(self, payload: ControlPlanePayload) -> ControlPlaneEntry {
        match self {
            Self::MembershipChange => ControlPlaneEntry::MembershipChange(payload),
            Self::OwnershipTransition => ControlPlaneEntry::OwnershipTransition(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_bounded() {
        assert!(ControlPlanePayload::new(vec![0; ControlPlanePayload::LEN_MAX_BYTES]).is_ok());
        let refused = ControlPlanePayload::new(vec![0; ControlPlanePayload::LEN_MAX_BYTES + 1]);
        assert_eq!(refused, Err(PayloadTooLarge { len_bytes: ControlPlanePayload::LEN_MAX_BYTES + 1 }));
    }

    #[test]
    fn the_limit_is_a_mebibyte() {
        assert_eq!(ControlPlanePayload::LEN_MAX_BYTES, 1_048_576);
    }

    #[test]
    fn an_entry_is_of_its_kind_and_carries_its_payload() {
        let payload = ControlPlanePayload::new(&b"body"[..]).unwrap();
        let entries = [ControlPlaneEntry::MembershipChange, ControlPlaneEntry::OwnershipTransition];
        let kinds = [ControlPlaneEntryKind::MembershipChange, ControlPlaneEntryKind::OwnershipTransition];
        for (entry, kind) in entries.map(|of| of(payload.clone())).into_iter().zip(kinds) {
            assert_eq!((entry.kind(), entry.payload().as_bytes().as_ref()), (kind, &b"body"[..]));
            assert_eq!(kind.entry(payload.clone()), entry);
        }
    }
}
