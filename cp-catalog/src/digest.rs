//! The digest of the state: an order-free sum of its records' hashes (CP-R3).

use cp_seam::StateDigest;

/// Which kind of record a hash is of, so that no two kinds hash alike.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Meta = 1,
    Member = 2,
    Authority = 3,
    Collection = 4,
    Range = 5,
    Retired = 6,
    Client = 7,
    Reply = 8,
    Recovery = 9,
    Grant = 10,
    AuditChain = 11,
    Audit = 12,
}

/// Four 64-bit lanes, each a wrapping sum over the records of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DigestSum([u64; 4]);

impl DigestSum {
    pub(crate) fn add(&mut self, record: &RecordHash) {
        self.0.iter_mut().zip(record.0).for_each(|(sum, lane)| *sum = sum.wrapping_add(lane));
    }

    pub(crate) fn subtract(&mut self, record: &RecordHash) {
        self.0.iter_mut().zip(record.0).for_each(|(sum, lane)| *sum = sum.wrapping_sub(lane));
    }

    pub(crate) fn digest(&self) -> StateDigest {
        StateDigest(from_lanes(self.0))
    }
}

/// What most records fit into, with what is hashed before them.
const RECORD_LEN_BYTES: usize = 512;

/// The hash of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHash([u64; 4]);

impl RecordHash {
    /// The hash of `body` under `scope`, the part of its name that is not in the body.
    pub(crate) fn of(kind: RecordKind, scope: &[u8], body: &[u8]) -> Self {
        Self::of_written(kind, scope, |to| to.extend_from_slice(body))
    }

    /// The same of what `write` appends. One buffer is hashed at once: a hasher that is fed
    /// piecemeal costs more than a short record does.
    pub(crate) fn of_written(kind: RecordKind, scope: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::with_capacity(RECORD_LEN_BYTES);
        bytes.push(kind as u8);
        bytes.extend_from_slice(&(scope.len() as u64).to_le_bytes());
        bytes.extend_from_slice(scope);
        write(&mut bytes);
        Self(to_lanes(blake3::hash(&bytes).as_bytes()))
    }
}

fn to_lanes(bytes: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        *lane = chunk.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    }
    lanes
}

fn from_lanes(lanes: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, lane) in bytes.chunks_exact_mut(8).zip(lanes) {
        chunk.copy_from_slice(&lane.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_can_be_taken_away_in_any_order() {
        let records: Vec<_> = (0..10u8).map(|n| RecordHash::of(RecordKind::Range, b"c", &[n])).collect();
        let (mut forward, mut backward) = (DigestSum::default(), DigestSum::default());
        records.iter().for_each(|r| forward.add(r));
        records.iter().rev().for_each(|r| backward.add(r));
        assert_eq!(forward, backward);
        records.iter().for_each(|r| forward.subtract(r));
        assert_eq!(forward, DigestSum::default());
    }

    #[test]
    fn a_record_is_hashed_after_its_kind_and_its_scope() {
        let mut hasher = blake3::Hasher::new();
        for part in [&[RecordKind::Range as u8][..], &2u64.to_le_bytes(), b"ab", &[9; 700]] {
            hasher.update(part);
        }
        let expected = RecordHash(to_lanes(hasher.finalize().as_bytes()));
        assert_eq!(RecordHash::of(RecordKind::Range, b"ab", &[9; 700]), expected);
    }

    #[test]
    fn kind_and_scope_are_part_of_the_hash() {
        let of = |kind, scope: &[u8], body: &[u8]| RecordHash::of(kind, scope, body);
        assert_ne!(of(RecordKind::Range, b"ab", b"c"), of(RecordKind::Range, b"a", b"bc"));
        assert_ne!(of(RecordKind::Range, b"a", b"b"), of(RecordKind::Retired, b"a", b"b"));
    }
}
