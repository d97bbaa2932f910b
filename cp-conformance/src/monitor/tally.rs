//! What is aimed at, and what was counted.

use crate::backend::Sign;

/// Ends a life at a frame that it sends, so that a crash can be put where it
/// hurts: random crashes find almost no double vote, aimed ones most.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// Whose; anyone's if `None`.
    pub slot: Option<usize>,
    /// At which kind of message.
    pub sign: Sign,
    /// Before it leaves or after.
    pub moment: Moment,
    /// How many such messages are let pass first.
    pub skip: u32,
}

/// When an [`Aim`] strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The frame does not leave.
    Before,
    /// The frame has left, and may arrive.
    After,
}

/// What was counted in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Terms that had a leader.
    pub elections: u64,
    /// Grants seen.
    pub grants: u64,
    /// Slots seen committed.
    pub commits: u64,
    /// Proposals acknowledged to their caller as committed.
    pub acknowledged: u64,
    /// Proposals refused.
    pub refused: u64,
    /// Proposals that got neither position nor refusal.
    pub unknown: u64,
    /// Reads served.
    pub reads: u64,
    /// Changes of ranges seen.
    pub transitions: u64,
    /// Acknowledgements of appends seen.
    pub append_acks: u64,
    /// Snapshots installed by running nodes.
    pub snapshot_installs: u64,
    /// Lives ended by an aim.
    pub aimed: u64,
    /// Claims audited.
    pub claims: u64,
    /// Disks recovered.
    pub inspections: u64,
    /// Writes that gates admitted.
    pub writes_admitted: u64,
    /// Writes that gates refused.
    pub writes_refused: u64,
    /// Gates that opened before keys that another member had written.
    pub takeovers: u64,
    /// Renewals granted.
    pub renewals: u64,
    /// Times that a leader granted nothing, because nobody confirmed that it led.
    pub unconfirmed: u64,
}
