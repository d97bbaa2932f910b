//! The planted bugs, and what each must be found by: the table of `cargo xtask teeth`.
//!
//! A suite that cannot fail proves nothing. Each bug here is alone in a process,
//! in one decision of a product crate or of the reference model; a storm or a case
//! of the suite runs seed by seed, until a checker that is meant for such a bug is the
//! first to object, within the budget; and the same seed must pass without the bug.
//! A seed in which another checker was first is spent.
//!
//! To add one: a variant in [`cp_seam::planted`], its site, a row here.

mod self_test;

pub use self_test::{blind, disable};

pub(crate) use self_test::is_disabled;

use crate::backend::Backend;
use crate::cases;
use crate::checks::applied::Applied;
use crate::checks::committed::Committed;
use crate::checks::completeness;
use crate::checks::digests::Digests;
use crate::checks::fencing::Fencing;
use crate::checks::gates::Gates;
use crate::checks::leaders::Leaders;
use crate::checks::ledger::Ledger;
use crate::checks::matching::Matching;
use crate::checks::register::Register;
use crate::checks::{Broken, audit};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Violation;
use crate::scenario::Verdict;
use cp_seam::planted::Bug;

/// A planted bug, and how it is to be found.
#[derive(Debug, Clone, Copy)]
pub struct Tooth {
    /// Its number in the list that the suite is held to.
    pub number: u8,
    /// The bug.
    pub bug: Bug,
    /// The decision it breaks.
    pub site: &'static str,
    /// Which engines it is looked for in.
    pub on: On,
    /// The checkers that are meant to find it.
    pub killers: &'static [&'static str],
    /// Where they see it.
    pub seen_in: Seen,
    /// Within how many seeds.
    pub seeds: u64,
}

/// The engines that a bug is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Every engine that ships: the bug is in what they share, or in the adapter of each.
    Engines,
    /// The reference model alone: the bug would be in the engine's own crate.
    Reference,
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// Storms of faults among so many nodes.
    Storm(usize),
    /// The case of this name.
    Case(&'static str),
}

impl Tooth {
    /// The row of the bug with this name.
    pub fn named(bug: &str) -> Option<&'static Self> {
        ALL.iter().find(|tooth| tooth.bug.name() == bug)
    }
}

impl Seen {
    /// Runs it. A case takes its seed from `CP_SEED`.
    pub fn run(self, backend: &'static dyn Backend, seed: u64) -> Verdict {
        match self {
            Self::Storm(nodes) => crate::run_seed(backend, seed, &Options::storm(nodes)),
            Self::Case(name) => match cases::ALL.iter().find(|case| case.name == name) {
                Some(case) => (case.run)(backend),
                None => {
                    let broken = Broken::new("setup", Promise::E1, format!("there is no case {name}"));
                    Err(Box::new(Violation::of(broken, name, backend, &Options::default())))
                }
            },
        }
    }
}

/// A row of [`ALL`], in the order of its columns.
const fn tooth(
    number: u8,
    bug: Bug,
    (site, on): (&'static str, On),
    killers: &'static [&'static str],
    seen_in: Seen,
    seeds: u64,
) -> Tooth {
    Tooth { number, bug, site, on, killers, seen_in, seeds }
}

const STORE: (&str, On) = ("cp-store", On::Engines);
const DRIVER: (&str, On) = ("cp-driver", On::Engines);
const CATALOG: (&str, On) = ("cp-catalog", On::Engines);
const ADAPTER: (&str, On) = ("each adapter", On::Engines);
const HOST: (&str, On) = ("simulated host", On::Engines);
const REFERENCE: (&str, On) = ("reference", On::Reference);
const LEASE: (&str, On) = ("cp-lease", On::Engines);
const CUT_OFF: Seen = Seen::Case("leases::a_cut_off_owner_stops_before_its_successor_begins");
const STORM: Seen = Seen::Storm(3);
const RECOVERY: Seen = Seen::Case("recovery::a_cluster_goes_on_from_one_survivor");

/// Every planted bug.
pub const ALL: &[Tooth] = &[
    tooth(1, Bug::GrantBeforeFsync, ADAPTER, &[audit::NAME], STORM, 3),
    tooth(2, Bug::VoteFromLog, STORE, &[Ledger::NAME], Seen::Case("restart::a_voter_restarts_within_its_election"), 3),
    tooth(3, Bug::TermAndVoteApart, STORE, &[Ledger::NAME], Seen::Case("election::power_is_lost_within_a_vote"), 3),
    tooth(4, Bug::AckBeforeFsync, ADAPTER, &[audit::NAME], STORM, 3),
    tooth(4, Bug::NoDurability, STORE, &[audit::NAME, "restart"], STORM, 3),
    tooth(5, Bug::CommitBeforeFsync, DRIVER, &[audit::NAME], STORM, 3),
    tooth(6, Bug::SyncDoesNothing, STORE, &[audit::NAME], STORM, 3),
    tooth(7, Bug::ErrorSwallowed, STORE, &["failed fsync"], Seen::Case("disk::a_failed_write_stops_the_node"), 3),
    tooth(7, Bug::SyncRetried, STORE, &["failed fsync"], Seen::Case("disk::a_failed_write_stops_the_node"), 3),
    tooth(8, Bug::OnePhaseCommit, STORE, &["bit rot"], Seen::Case("disk::a_flipped_bit_is_never_believed"), 10),
    tooth(9, Bug::NothingChecked, STORE, &["bit rot"], Seen::Case("disk::a_flipped_bit_is_never_believed"), 10),
    tooth(10, Bug::FreshAfterLoss, HOST, &["amnesia"], Seen::Case("disk::a_lost_file_is_never_replaced"), 3),
    tooth(11, Bug::QuorumMinusOne, REFERENCE, &["durable quorum"], STORM, 3),
    tooth(
        12,
        Bug::CommittedByCount,
        REFERENCE,
        &[completeness::NAME],
        Seen::Case("commitment::an_earlier_terms_record_is_not_committed_by_count"),
        3,
    ),
    tooth(
        13,
        Bug::SeveralLeaders,
        REFERENCE,
        &[Leaders::NAME],
        Seen::Case("leadership::candidates_of_the_same_term_do_not_both_lead"),
        3,
    ),
    tooth(14, Bug::ConflictKept, REFERENCE, &["durable quorum", Matching::NAME, Committed::NAME], STORM, 10),
    tooth(
        15,
        Bug::InstallInTwo,
        STORE,
        &["restart"],
        Seen::Case("snapshot::an_install_happens_whole_or_not_at_all"),
        3,
    ),
    tooth(16, Bug::SnapshotWithoutEpochs, CATALOG, &[Digests::NAME], STORM, 3),
    tooth(16, Bug::SnapshotWithoutMember, CATALOG, &[Digests::NAME], STORM, 3),
    tooth(16, Bug::StaleInstall, DRIVER, &[Applied::NAME], STORM, 3),
    tooth(
        16,
        Bug::TailKept,
        STORE,
        &["restart"],
        Seen::Case("snapshot::a_snapshot_takes_a_conflicting_tail_with_it"),
        3,
    ),
    tooth(17, Bug::ApplyReordered, DRIVER, &[Register::NAME], STORM, 3),
    tooth(17, Bug::ApplyTwice, DRIVER, &[Register::NAME], STORM, 3),
    tooth(17, Bug::ApplySkipped, DRIVER, &[Register::NAME], STORM, 3),
    tooth(18, Bug::FenceIgnored, CATALOG, &[Fencing::NAME], Seen::Case("propose::ownership_is_fenced"), 3),
    tooth(18, Bug::EpochReused, CATALOG, &[Fencing::NAME], STORM, 3),
    tooth(18, Bug::EpochFalls, CATALOG, &[Fencing::NAME], Seen::Case("propose::an_epoch_rises_across_a_restart"), 3),
    tooth(
        19,
        Bug::ReadWithoutQuorum,
        DRIVER,
        &[Register::NAME],
        Seen::Case("partition::a_deposed_leader_serves_no_stale_read"),
        3,
    ),
    tooth(
        19,
        Bug::LateAnswerCounts,
        REFERENCE,
        &[Register::NAME],
        Seen::Case("partition::answers_from_before_a_read_do_not_confirm_it"),
        3,
    ),
    tooth(
        20,
        Bug::OneStepChange,
        REFERENCE,
        &[completeness::NAME],
        Seen::Case("commitment::voters_that_are_exchanged_are_never_two_majorities"),
        3,
    ),
    tooth(
        21,
        Bug::WipedMemberVotes,
        DRIVER,
        &[Ledger::NAME],
        Seen::Case("membership::a_wiped_member_votes_for_nobody"),
        3,
    ),
    tooth(22, Bug::RetryDropped, DRIVER, &["liveness"], Seen::Case("snapshot::an_offer_that_was_lost_is_repeated"), 5),
    tooth(24, Bug::ApplyByChance, CATALOG, &[Digests::NAME], STORM, 3),
    tooth(25, Bug::EpochsKept, CATALOG, &[Fencing::NAME], RECOVERY, 3),
    tooth(25, Bug::GenerationReused, CATALOG, &[Fencing::NAME], RECOVERY, 3),
    tooth(26, Bug::LeaseMarginLeftOut, LEASE, &[Gates::NAME], CUT_OFF, 3),
    tooth(26, Bug::LeaderDoesNotWait, LEASE, &[Gates::NAME], CUT_OFF, 3),
    tooth(26, Bug::PromotionDoesNotWait, LEASE, &[Gates::NAME], CUT_OFF, 3),
    tooth(26, Bug::RenewalCountsFromArrival, HOST, &[Gates::NAME], CUT_OFF, 3),
    tooth(
        26,
        Bug::GrantWithoutBarrier,
        HOST,
        &[Gates::NAME],
        Seen::Case("leases::a_leader_that_was_replaced_grants_nothing_that_lasts"),
        3,
    ),
    tooth(
        26,
        Bug::ClosureForgotten,
        HOST,
        &[Gates::NAME],
        Seen::Case("leases::a_handoff_waits_for_nobody_and_outlives_a_restart"),
        3,
    ),
    tooth(27, Bug::SegmentReusedEarly, STORE, &["restart"], STORM, 5),
];
