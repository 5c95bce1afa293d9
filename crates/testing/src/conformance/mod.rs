//! The conformance suite: what every store does, one case for each behaviour, named after it.
//!
//! A store's tests expand it with [`conformance!`](crate::conformance). The files are named as the port's; what would be
//! too long has two (`listing.rs` of jobs, `claims.rs` of the exchange). A change to the port starts here.

pub mod attempts;
pub mod batches;
pub mod claims;
pub mod exchange;
pub mod jobs;
pub mod listing;
pub mod queues;
pub mod settings;
pub mod stats;
pub mod upkeep;
pub mod wakeups;
pub mod workers;

use std::time::Duration;

use queuectl_core::store::Store;

/// A fresh store with a clock that a case moves.
pub trait Fixture: Send + Sync {
    /// The store, empty at first.
    fn store(&self) -> &dyn Store;

    /// The same store as another process sees it, as far as that can be had.
    fn second(&self) -> &dyn Store;

    /// Moves the store's time.
    fn advance(&self, by: Duration);
}

/// Expands every case into a test of its own. `$fixture` is a future of a [`Fixture`], made anew for each.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance_cases! { $fixture,
            jobs {
                an_inserted_job_reads_back_as_it_was_given
                a_duplicate_in_the_store_refuses_the_whole_list
                a_duplicate_in_the_list_refuses_the_whole_list
                a_duplicate_leaves_the_first_untouched
                an_id_is_free_again_once_its_job_is_deleted
                nothing_to_insert_is_fine
                a_delayed_job_waits_for_its_time
                a_time_that_does_not_lie_ahead_is_now
                a_waiting_job_is_cancelled_at_once
                a_job_that_backs_off_is_cancelled_at_once
                cancelling_answers_for_each_id
                a_cancelled_job_stays_cancelled
                a_job_comes_back_from_every_terminal_state
                a_revived_job_has_all_its_attempts_again
                retrying_only_the_dead_leaves_others_alone
                a_backoff_ends_when_asked
                what_waits_or_runs_is_not_retried
                running_jobs_are_never_deleted
                a_deletion_by_filter_takes_the_oldest_first
                a_deletion_by_age_spares_the_young
                a_deleted_job_is_gone_with_its_attempts
                an_environment_outlives_one_of_its_jobs
                an_edit_changes_what_it_names
                an_edit_moves_a_job_to_another_queue
                an_edited_due_time_holds_back_and_hastens
                edits_are_all_or_nothing
                states_are_told_for_each_id
            }
            listing {
                an_absent_job_is_absent
                an_id_is_matched_exactly
                a_listing_is_in_the_order_of_insertion
                pages_cover_everything_once_in_both_orders
                a_page_goes_on_where_the_last_one_ended
                a_page_has_a_bound
                a_listing_leaves_environments_out
                a_filter_by_state_means_what_people_see
                a_filter_by_tags_wants_all_of_them
                a_filter_wants_all_of_its_conditions
                a_filter_by_end_wants_one
                a_prefix_finds_only_generated_ids
                counts_follow_every_change
                a_failed_job_counts_as_pending_once_it_is_due
            }
            batches {
                a_batch_is_invisible_until_it_is_opened
                an_opened_batch_is_there_at_once_and_claimed_in_order
                an_opened_batch_can_be_changed_before_it_is_promoted
                an_opened_batch_keeps_a_drain_busy
                a_duplicate_refuses_its_step
                a_dead_batch_is_removed_in_steps
            }
            stats {
                attempts_are_found_by_when_they_ended
                a_wait_begins_when_the_job_is_due
                many_attempts_are_all_visited_once
            }
            attempts {
                an_attempt_is_recorded_with_its_settle
                every_outcome_reads_back
                an_attempt_that_never_started_has_no_start
                outputs_come_only_when_asked_for
                any_bytes_are_kept_with_their_gap
                a_deletion_names_the_output_files
                attempts_are_numbered_over_the_whole_life
                an_interruption_has_a_number_but_is_not_charged
                a_shutdown_is_no_interruption_of_the_job
                the_crash_limit_ends_a_job
                an_at_most_once_job_runs_once
                a_job_runs_as_often_as_max_retries_says
                a_success_clears_the_error
                attempts_of_an_absent_job_are_none
                one_attempt_is_read_by_its_number
            }
            claims {
                a_claim_marks_its_job
                a_job_is_claimed_once
                a_worker_that_wants_nothing_gets_nothing
                claims_go_by_priority_over_all_queues
                claims_go_by_priority_within_one_queue
                among_equals_the_earlier_due_goes_first
                among_equals_the_older_goes_first
                a_worker_takes_only_its_queues
                a_worker_takes_only_its_kinds
                a_paused_queue_gives_nothing
                every_reply_names_the_paused_queues
                max_running_holds_over_all_owners
                max_running_of_all_queues_counts_for_each
                a_settle_makes_room_in_its_own_exchange
                a_worker_for_one_job_takes_exactly_it
                pauses_and_limits_hold_the_one_job_too
                claim_numbers_are_never_used_again
                two_processes_never_claim_one_job_twice
                claims_are_found_by_their_owner
                what_a_lost_handler_had_is_interrupted_for_its_kind
                many_due_jobs_are_promoted_a_bounded_number_at_a_time
                next_due_tells_how_long_to_sleep
                next_due_counts_only_jobs_that_the_worker_can_run
                a_ready_job_waits_for_no_time
                next_due_knows_a_backoff_of_the_same_exchange
                a_worker_is_drained_once_nothing_is_left_for_it
            }
            exchange {
                an_outcome_is_settled_once
                a_claim_of_another_number_cannot_settle
                a_claim_of_another_incarnation_cannot_settle
                a_lost_claim_cannot_settle
                a_claim_on_a_deleted_job_is_lost
                a_settle_that_is_refused_undoes_no_other
                one_exchange_settles_and_claims
                a_release_leaves_no_trace
                a_lost_claim_cannot_be_released
                cancels_are_told_to_the_owner_alone
                a_cancelled_job_that_would_come_back_is_cancelled
                an_end_stands_though_a_cancel_was_asked_for
                a_worker_hears_of_its_stop
                new_settings_come_once
                what_a_settle_carries_goes_in_with_it
                what_is_skipped_leaves_no_queue_behind
                what_a_lost_settle_carries_stays_out
                what_a_settle_carries_stays_out_if_it_lands_otherwise
                a_backoff_that_is_over_already_is_ready
            }
            upkeep {
                a_log_that_nobody_needs_is_emptied_and_nothing_is_lost
            }
            workers {
                a_worker_is_registered_at_the_stores_time
                workers_are_listed_oldest_first
                a_retired_worker_keeps_its_claims
                a_weaker_stop_replaces_no_stronger_one
            }
            queues {
                a_queue_comes_with_its_first_job
                pausing_tells_whether_it_changed_anything
                a_new_job_does_not_resume_its_queue
            }
            settings {
                nothing_is_set_at_first
                a_value_is_kept_as_it_was_given
                every_change_raises_the_version
                a_queue_has_its_own_value_before_that_of_all
                a_new_value_unsets_the_keys_siblings_there
            }
            wakeups {
                a_new_job_rings
                a_ring_between_two_waits_is_not_lost
                a_dropped_wait_loses_no_ring
                a_ring_reaches_every_listener
                a_claim_rings_for_those_who_wait_on_its_job
                a_settled_outcome_rings
                room_under_a_limit_rings
                what_becomes_ready_for_others_rings
                a_cancel_rings_those_who_must_hear_of_it
                what_workers_must_know_rings
                workers_that_come_and_go_ring
                an_exchange_with_nothing_to_do_rings_nobody
            }
        }
    };
}

/// One test for each case of each file.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($fixture:expr, $($file:ident { $($case:ident)* })*) => {
        $(mod $file {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let fixture = $fixture.await;
                $crate::conformance::$file::$case(&fixture).await;
            })*
        })*
    };
}
