//! What can be wrong with a disk, and how often it was.

use crate::monitor::Moment;

/// Which unsynced changes a crash leaves on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None of them: the strictest power loss.
    Nothing,
    /// All of them: the process was killed and the machine stayed up.
    Everything,
    /// Those up to some moment.
    Prefix,
    /// Any of them: writes reach the platter in any order.
    Subset,
    /// Those up to some moment, the last one cut at a multiple of so many bytes.
    Torn {
        /// 512 for a sector, 16 for persistent memory.
        unit_bytes: u64,
    },
}

/// What is wrong with a disk, from now on.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The next write fails.
    pub fail_write: bool,
    /// The next sync fails; with `drop_dirty`, what it should have written is
    /// marked clean and never reaches the disk, as Linux does.
    pub fail_sync: bool,
    /// See `fail_sync`.
    pub drop_dirty: bool,
    /// Every read fails, of what is not in memory.
    pub fail_read: bool,
    /// The next read fails, once.
    pub fail_next_read: bool,
    /// The next write is lost: seen until the end of the life, synced as it seems, and
    /// never on the platter.
    pub lose_write: bool,
    /// The next write goes to another place of its file: seen where it belongs until
    /// the end of the life.
    pub misdirect_write: bool,
    /// So many pieces of I/O in a thousand take up to a quarter of a second longer.
    pub slow: u32,
    /// No write that extends a file succeeds.
    pub full: bool,
    /// Syncs claim success and do nothing. A planted bug, not a tolerated fault.
    pub lies: bool,
    /// The life ends at the mutating operation after so many more.
    pub crash_after: Option<u64>,
    /// The life ends at the sync after so many more: before it has its effect, or after
    /// it and before its caller hears of it.
    pub crash_at_sync: Option<(u64, Moment)>,
}

/// How often faults had an effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Writes, syncs, creations and reads that were made to fail.
    pub failed_operations: u64,
    /// Unsynced changes that a crash dropped.
    pub lost_changes: u64,
    /// Changes that a crash cut in two.
    pub torn_changes: u64,
    /// Pieces of I/O that waited for a stall to end.
    pub stalls: u64,
    /// Bits that were flipped.
    pub flipped_bits: u64,
    /// Pieces of I/O that took far longer than usual.
    pub slowed: u64,
    /// Lives ended at a sync.
    pub cut_syncs: u64,
    /// Writes that never got to the platter.
    pub lost_writes: u64,
    /// Writes that went elsewhere.
    pub misdirected_writes: u64,
    /// Files cut short.
    pub truncated_files: u64,
    /// Files that are gone.
    pub missing_files: u64,
}

impl Effects {
    /// Both taken together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            failed_operations: self.failed_operations + other.failed_operations,
            lost_changes: self.lost_changes + other.lost_changes,
            torn_changes: self.torn_changes + other.torn_changes,
            stalls: self.stalls + other.stalls,
            flipped_bits: self.flipped_bits + other.flipped_bits,
            slowed: self.slowed + other.slowed,
            cut_syncs: self.cut_syncs + other.cut_syncs,
            lost_writes: self.lost_writes + other.lost_writes,
            misdirected_writes: self.misdirected_writes + other.misdirected_writes,
            truncated_files: self.truncated_files + other.truncated_files,
            missing_files: self.missing_files + other.missing_files,
        }
    }
}
