//! The cases: one list, the same for every engine.
//!
//! A case is a plain function. Its doc comment says what it shows and cites the
//! promises by id; `tidy` fails when a promise is cited by none. To add a case,
//! write it into a module here and its name into the list below.

pub mod commitment;
pub mod damage;
pub mod determinism;
pub mod disk;
pub mod divergence;
pub mod election;
pub mod identity;
pub mod install;
pub mod leadership;
pub mod leases;
pub mod load;
pub mod membership;
pub mod partition;
pub mod pause;
pub mod planted;
pub mod propose;
pub mod reconfiguration;
pub mod recovery;
pub mod replication;
pub mod restart;
pub mod resume;
pub mod snapshot;
pub mod storm;

use crate::backend::Backend;
use crate::scenario::Verdict;

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `module::name`, as its test is called.
    pub name: &'static str,
    /// The case.
    pub run: fn(&'static dyn Backend) -> Verdict,
}

/// Runs one case as a test; the emitted tests call it.
#[expect(clippy::panic, reason = "a broken promise fails the test that found it, with everything known about it")]
pub fn check(case: fn(&'static dyn Backend) -> Verdict, backend: &'static dyn Backend) {
    match case(backend) {
        Ok(report) => println!("{report}"),
        Err(violation) => panic!("{violation}"),
    }
}

macro_rules! cases {
    (($d:tt) $($module:ident { $($case:ident),* $(,)? })*) => {
        /// Every case.
        pub const ALL: &[Case] = &[$($(
            Case { name: concat!(stringify!($module), "::", stringify!($case)), run: $module::$case },
        )*)*];

        /// Emits one `#[test]` per case for a backend, given as a constant expression.
        ///
        /// There is no way to leave a case out.
        #[macro_export]
        macro_rules! suite {
            ($d backend:expr) => {
                static BACKEND: &'static dyn $crate::Backend = &$d backend;
                $(mod $module {
                    $(#[test]
                    fn $case() {
                        $crate::cases::check($crate::cases::$module::$case, super::BACKEND);
                    })*
                })*
            };
        }
    };
}

cases! { ($)
    election {
        one_leader_is_elected,
        a_lone_voter_leads_itself,
        votes_survive_a_power_loss_after_they_left,
        votes_survive_a_power_loss_before_they_leave,
        a_higher_term_is_no_grant,
        a_longer_log_of_an_earlier_term_gets_no_vote,
        the_longest_log_wins_from_an_earlier_term,
        a_member_that_was_cut_off_does_not_disturb,
        a_new_leader_serves_once_it_has_committed,
        a_lone_voter_never_wins_a_term_twice,
        power_is_lost_within_a_vote,
    }
    propose {
        outcomes_are_told_on_every_node,
        a_follower_refuses_and_names_the_leader,
        concurrent_proposals_get_positions_of_their_own,
        a_request_takes_effect_once,
        ownership_is_fenced,
        an_epoch_rises_across_a_restart,
    }
    replication {
        interleaved_acknowledgements_commit_nothing_early,
        a_hung_follower_holds_nobody_up,
        a_leader_that_cannot_read_sends_nothing_else,
        power_is_lost_while_a_tail_is_replaced,
    }
    commitment {
        an_earlier_terms_record_is_not_committed_by_count,
        voters_that_are_exchanged_are_never_two_majorities,
    }
    restart {
        each_node_restarts_in_turn,
        all_nodes_lose_power_at_once,
        a_leader_restarts_with_an_unflushed_tail,
        an_acknowledged_append_survives,
        power_is_lost_at_each_disk_operation,
        a_node_stops_in_good_order,
        a_voter_restarts_within_its_election,
    }
    leadership {
        failover_is_bounded,
        candidates_of_the_same_term_do_not_both_lead,
        a_restarted_leader_can_be_elected_again,
        leadership_is_transferred,
        a_transfer_to_nobody_is_called_off,
        a_leader_is_elected_with_an_unflushed_tail,
        a_failed_transfer_blocks_no_writes,
        a_leader_on_slow_ways_leads_on,
    }
    load {
        a_transfer_is_hardly_noticed,
        a_transfer_that_is_called_off_ends_in_time,
        members_come_and_go_unnoticed,
        a_failover_ends_in_time,
    }
    leases {
        a_cut_off_owner_stops_before_its_successor_begins,
        a_leader_that_was_replaced_grants_nothing_that_lasts,
        a_handoff_waits_for_nobody_and_outlives_a_restart,
        random_faults_never_open_two_gates,
    }
    divergence {
        a_flipped_bit_stops_the_one_that_has_it,
        an_apply_that_depends_on_its_node_stops_all_proposals,
    }
    damage {
        a_lost_or_cut_file_is_noticed,
        a_lost_or_misdirected_write_is_noticed,
    }
    install {
        an_install_is_cut_at_every_write,
        a_build_is_cut_at_every_write,
    }
    pause {
        a_paused_node_does_nothing,
        an_old_leader_wakes_up_and_serves_nothing,
        an_election_among_sleepers_has_one_winner,
        the_clock_jumps,
        a_burst_of_old_frames_changes_nothing,
    }
    disk {
        a_stalled_leader_is_replaced,
        a_failed_write_stops_the_node,
        a_full_disk_stops_the_node,
        damage_is_noticed_and_never_voted_over,
        a_flipped_bit_is_never_believed,
        a_lost_file_is_never_replaced,
    }
    partition {
        an_isolated_leader_refuses,
        a_deposed_leader_serves_no_stale_read,
        answers_from_before_a_read_do_not_confirm_it,
        what_an_isolated_leader_took_is_superseded,
        a_minority_makes_no_progress,
        one_way_cuts_end_in_a_leader,
        a_bridge_has_a_leader,
        a_partial_cut_disturbs_nobody_for_long,
        a_rough_network_is_no_excuse,
    }
    snapshot {
        a_member_far_behind_catches_up,
        an_interrupted_install_is_begun_again,
        an_install_happens_whole_or_not_at_all,
        an_offer_that_was_lost_is_repeated,
        compaction_forgets_no_outcome,
        callers_that_wait_through_an_install_are_answered,
        a_snapshot_takes_a_conflicting_tail_with_it,
        a_snapshot_that_did_not_arrive_is_sent_again,
        power_is_lost_at_each_operation_of_a_compaction,
    }
    resume {
        a_transfer_goes_on_where_it_was_cut,
        another_leader_goes_on_with_the_same_snapshot,
        the_log_is_compacted_while_a_snapshot_is_under_way,
        a_log_that_is_large_is_compacted_however_few_its_entries,
    }
    membership {
        a_joiner_becomes_a_voter,
        a_follower_is_removed,
        the_leader_is_removed,
        the_next_leader_finishes_a_change,
        a_leader_that_a_laggard_never_heard_of_brings_it_up,
        a_leader_that_a_silent_learner_never_heard_of_brings_it_up,
        a_voter_goes_on_with_members_that_it_never_heard_of,
        a_wiped_member_is_refused_and_replaced,
        a_wiped_member_votes_for_nobody,
        a_witness_makes_up_for_any_one,
        a_witness_brings_a_lagging_member_up,
    }
    reconfiguration {
        power_is_lost_at_each_step_of_a_change,
        a_member_that_does_not_know_of_its_vote_votes,
        changes_asked_for_at_once_all_happen,
        a_leader_leaves_under_load,
        a_leader_that_leaves_makes_no_witness_lead,
        a_snapshot_from_before_an_admission_will_do,
        steps_of_two_terms_do_not_both_happen,
        a_snapshot_brings_its_membership,
    }
    identity {
        a_name_that_returns_is_another_incarnation,
        a_disk_that_is_set_back_is_refused,
    }
    recovery {
        a_cluster_goes_on_from_one_survivor,
        a_recovery_is_cut_at_every_write,
        disasters_come_out_of_storms,
    }
    planted {
        a_lying_disk_is_caught_by_the_audit,
        a_forgotten_vote_is_caught_by_the_ledger,
        a_second_vote_of_a_wiped_life_is_caught_by_the_ledger,
    }
    storm {
        random_faults_break_nothing,
        random_faults_break_nothing_among_five,
        random_faults_break_nothing_while_members_change,
        random_faults_break_nothing_with_a_witness,
        random_faults_break_no_transition,
    }
    determinism {
        the_same_seed_gives_the_same_trace,
    }
}
