//! Whose directory this is; kept in a file of its own, so that a lost database
//! is noticed rather than replaced.

use cp_seam::{ClusterId, Generation, Incarnation, MemberId};

/// The file's name.
pub(crate) const NAME: &str = "identity";
/// No identity is longer; a longer file is damaged.
pub(crate) const LEN_MAX_BYTES: u64 = 1 << 16;

/// Written once at creation, before anything else counts as existing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: Generation,
    /// The member whose directory this is.
    pub member: MemberId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The engine that last ran here; see `Store::remember_engine`.
    pub engine: String,
}

/// What the caller knows beforehand and wants checked at opening.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The cluster it must be, if known.
    pub cluster: Option<ClusterId>,
    /// The member it must be, if known.
    pub member: Option<MemberId>,
}
