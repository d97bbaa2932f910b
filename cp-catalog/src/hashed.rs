//! A range and the hash of its record, which never part.

use crate::bounds::Bounds;
use crate::codec::record;
use crate::digest::RecordHash;
use crate::id::CollectionName;
use crate::range::Range;
use std::ops::Deref;
use std::sync::Arc;

/// A range as its collection keeps it, beside the hash of its record: a transition hashes what it
/// writes, and not again what it replaces. Cloning gives another pointer to both. No range is
/// edited in place, so that the hash is always its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HashedRange(Arc<Hashed>);

#[derive(Debug, PartialEq, Eq)]
struct Hashed {
    range: Range,
    hash: RecordHash,
}

impl HashedRange {
    /// A range of `collection`.
    pub(crate) fn new(collection: &CollectionName, range: Range) -> Self {
        let hash = record::hash_range(collection, &range);
        Self(Arc::new(Hashed { range, hash }))
    }

    /// As [`new`](Self::new) of the range whose one encoding `bytes` are.
    pub(crate) fn written(collection: &CollectionName, range: Range, bytes: &[u8]) -> Self {
        let hash = record::hash_written_range(collection, bytes);
        Self(Arc::new(Hashed { range, hash }))
    }

    pub(crate) fn hash(&self) -> &RecordHash {
        &self.0.hash
    }

    /// Whether both point to the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Has its long keys in common with `other`, which changes no record, unless another points to it.
    pub(crate) fn share_keys(&mut self, other: &Bounds) {
        if self.bounds.has_long_key()
            && let Some(own) = Arc::get_mut(&mut self.0)
        {
            own.range.bounds.share_keys(other);
        }
    }
}

impl Deref for HashedRange {
    type Target = Range;

    fn deref(&self) -> &Range {
        &self.0.range
    }
}
