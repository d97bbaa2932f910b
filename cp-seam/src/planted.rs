//! Bugs planted on purpose: what the conformance suite is shown to find.
//!
//! This module exists only under `--cfg planted_bugs`, which `cargo xtask teeth`
//! sets for a build of its own. One build holds them all; a process chooses one.
//! A site is the decision that the bug breaks, and asks [`active`] there:
//!
//! ```ignore
//! #[cfg(planted_bugs)]
//! if planted::active(Bug::GrantBeforeFsync) { .. }
//! ```
//!
//! The table of what each must be found by is `cp_conformance::teeth`.

use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(not(debug_assertions))]
compile_error!("bugs are planted in builds with debug assertions only, so never in one that is shipped");

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident $name:literal;)*) => {
        /// A planted bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$bug),*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name),* }
            }
        }
    };
}

bugs! {
    /// 1: a vote is answered, or asked for, before it is on the disk.
    GrantBeforeFsync "grant-before-fsync";
    /// 2: a restart takes the vote from the log instead of the record of the vote.
    VoteFromLog "vote-from-log";
    /// 3: the vote is written first and its term with the next fsync.
    TermAndVoteApart "term-and-vote-apart";
    /// 4: an append is acknowledged before it is on the disk.
    AckBeforeFsync "ack-before-fsync";
    /// 4: records are written and not synced; votes are.
    NoDurability "no-durability";
    /// 5: the committed index is shown, and applied up to, before it is on the disk.
    CommitBeforeFsync "commit-before-fsync";
    /// 6: `sync_data` does nothing.
    SyncDoesNothing "sync-does-nothing";
    /// 7: an error of a write or a sync is not told.
    ErrorSwallowed "error-swallowed";
    /// 7: a sync that failed is tried again.
    SyncRetried "sync-retried";
    /// 8: the database commits in one phase, and nothing looks for a commit that it lost.
    OnePhaseCommit "one-phase-commit";
    /// 9: neither the database nor a record is checked when it is read.
    NothingChecked "nothing-checked";
    /// 10: a directory that lost its files is made anew, under the same identity.
    FreshAfterLoss "fresh-after-loss";
    /// 11: a leader counts one vote for a commit that it has not got.
    QuorumMinusOne "quorum-minus-one";
    /// 12: a leader commits an earlier term's record because a majority holds it.
    CommittedByCount "committed-by-count";
    /// 13: a candidate leads without waiting for a majority of its term.
    SeveralLeaders "several-leaders";
    /// 14: a follower keeps a record that its leader contradicts.
    ConflictKept "conflict-kept";
    /// 15: an install writes the committed index first and its snapshot with the next fsync.
    InstallInTwo "install-in-two";
    /// 16: a restored snapshot has lost its epochs.
    SnapshotWithoutEpochs "snapshot-without-epochs";
    /// 16: a restored snapshot has lost a member.
    SnapshotWithoutMember "snapshot-without-member";
    /// 16: a state is replaced by a snapshot that is older than it.
    StaleInstall "stale-install";
    /// 16: an install keeps the records that its snapshot contradicts.
    TailKept "tail-kept";
    /// 17: two committed entries are applied in the wrong order.
    ApplyReordered "apply-reordered";
    /// 17: a committed entry is applied twice.
    ApplyTwice "apply-twice";
    /// 17: a committed entry is not applied.
    ApplySkipped "apply-skipped";
    /// 18: a transition is accepted under a stale fence.
    FenceIgnored "fence-ignored";
    /// 18: write authority moves and the epoch stays.
    EpochReused "epoch-reused";
    /// 18: epochs begin anew at a restart.
    EpochFalls "epoch-falls";
    /// 19: a leader serves reads by its own word.
    ReadWithoutQuorum "read-without-quorum";
    /// 19: any answer confirms a read, also to what was sent before it.
    LateAnswerCounts "late-answer-counts";
    /// 20: voters are exchanged in one step.
    OneStepChange "one-step-change";
    /// 21: a member that lost its disk goes on voting under its old incarnation, and is served.
    WipedMemberVotes "wiped-member-votes";
    /// 22: an offer of a snapshot that was lost is not repeated.
    RetryDropped "retry-dropped";
    /// 24: applying depends on something that is not in the log.
    ApplyByChance "apply-by-chance";
    /// 25: a recovery leaves every epoch as it was.
    EpochsKept "epochs-kept";
    /// 25: a recovery goes on under the generation's old number.
    GenerationReused "generation-reused";
    /// 26: a gate allows for no error of its clock.
    LeaseMarginLeftOut "lease-margin-left-out";
    /// 26: a new leader grants at once whatever its predecessors granted.
    LeaderDoesNotWait "leader-does-not-wait";
    /// 26: a promoted owner is granted its lease while the one before may have one.
    PromotionDoesNotWait "promotion-does-not-wait";
    /// 26: a lease is counted from when the answer came.
    RenewalCountsFromArrival "renewal-counts-from-arrival";
    /// 26: a leader grants by its own word.
    GrantWithoutBarrier "grant-without-barrier";
    /// 26: a restart forgets which gates were closed.
    ClosureForgotten "closure-forgotten";
    /// 27: a write-ahead segment is written over before the database durably has what it holds.
    SegmentReusedEarly "segment-reused-early";
}

/// The active bug, by its place in [`Bug::ALL`], from 1; 0 is none.
static ACTIVE: AtomicU32 = AtomicU32::new(0);

/// Makes `bug` the active one of this process.
pub fn plant(bug: Bug) {
    ACTIVE.store(bug as u32 + 1, Ordering::SeqCst);
}

/// Whether `bug` is the active one.
pub fn active(bug: Bug) -> bool {
    ACTIVE.load(Ordering::SeqCst) == bug as u32 + 1
}
