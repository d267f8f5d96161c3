//! The one suite that every backend passes.
//!
//! A backend's test file implements [`Harness`] and calls [`crate::conformance_tests!`]; each case becomes a test of its
//! own. Cases of `durable` also close the queue and open it again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, run by other crates' tests"
)]

pub mod behind_dead;
pub mod configuring;
pub mod delivery;
pub mod durable;
pub mod erase;
pub mod fixture;
pub mod identity;
pub mod leases;
pub mod model;
pub mod moved;
pub mod notes;
pub mod replay;
pub mod review;
pub mod trail;
pub mod unmatched;
pub mod upkeep;

use std::sync::Arc;

pub use fixture::Fixture;

use crate::{Options, Queue};

/// How the suite gets a queue of one backend.
pub trait Harness: Sized + Send {
    /// A new, empty queue.
    fn new(options: Options) -> Self;

    /// The queue, open.
    fn queue(&self) -> Arc<dyn Queue>;

    /// Whether what was out on lease stays so when the server that had leased it crashes, until its time is over: so it is
    /// where several servers share a queue, because none of them knows that another has crashed.
    const LEASES_OUTLIVE_A_CRASH: bool = false;

    /// Ends the queue without a farewell, as a crash would as far as that is possible here, and opens it again.
    fn crash(&mut self);
}

/// Makes a test of each case, for a type that implements [`Harness`].
#[macro_export]
macro_rules! conformance_tests {
    ($harness:ty) => {
        $crate::conformance_tests!(@group $harness, identity: accepts_in_order, refuses_a_duplicate,
            refuses_a_duplicate_inside_one_publication, knows_an_identity_for_the_window_only, keeps_a_conflict,
            takes_the_same_content_for_a_duplicate, keeps_a_rejected_body_once, finds_an_event_by_its_id);
        $crate::conformance_tests!(@group $harness, delivery: a_new_destination_gets_what_comes_from_now_on,
            only_what_is_for_a_destination_waits_for_it,
            gives_each_destination_its_events, keeps_the_order_of_a_conversation, has_no_order_without_a_conversation,
            has_no_order_when_told_so, buries_the_dead, one_stuck_conversation_blocks_no_other,
            one_stuck_destination_blocks_no_other, tells_of_changes, misses_no_change, counts_what_matches_no_route,
            a_destination_that_comes_back_gets_its_backlog, refuses_work_when_closed, pages_through_dead_letters,
            selects_and_groups_dead_letters, discards_dead_letters, redrives_dead_letters,
            redrives_nothing_into_the_void, refuses_an_unknown_destination);
        $crate::conformance_tests!(@group $harness, leases: retries_when_due,
            a_retry_further_ahead_than_anybody_waits_is_due, a_released_lease_counts_nothing, an_unsettled_lease_ends,
            what_failed_and_what_was_not_tried_take_turns,
            a_late_settlement_counts_while_nobody_else_has_the_event, a_settlement_of_an_ended_lease_is_ignored);
        $crate::conformance_tests!(@group $harness, configuring: routes_anew_what_waits);
        $crate::conformance_tests!(@group $harness, review: keeps_an_edited_copy_beside_the_original,
            redrives_the_edited_copy, drops_the_copy_with_its_letter, a_new_letter_opens_its_group_again,
            keeps_a_bounded_number_of_states);
        $crate::conformance_tests!(@group $harness, behind_dead: goes_on_and_says_so, holds_a_conversation,
            lets_a_held_conversation_go_when_its_dead_letter_is_discarded, keeps_the_order_of_what_is_redriven,
            a_change_of_the_setting_counts_at_once, redriven_events_come_behind_all_others,
            a_redriven_event_waits_its_turn_in_its_conversation, what_expires_holds_too,
            a_long_backlog_of_held_conversations_blocks_no_other);
        $crate::conformance_tests!(@group $harness, upkeep: drops_what_is_settled_and_old,
            buries_what_is_undelivered_and_old, keeps_the_events_of_dead_letters, keeps_what_is_young);
        $crate::conformance_tests!(@group $harness, erase: erases_a_conversation_and_nothing_else,
            what_waits_for_an_erased_event_goes_on, a_dry_run_only_counts,
            what_is_answered_afterwards_is_not_kept);
        $crate::conformance_tests!(@group $harness, notes: keeps_a_note_of_each_destination,
            refuses_a_note_that_is_large_or_of_nobody);
        $crate::conformance_tests!(@group $harness, moved: everything_moves_from_it, everything_moves_into_it,
            says_that_it_is_moved, refuses_what_it_cannot_keep);
        $crate::conformance_tests!(@group $harness, trail: tells_what_became_of_a_conversation, notes_what_is_done);
        $crate::conformance_tests!(@group $harness, replay: reads_the_log_in_pages, keeps_what_it_is_told_to,
            replays_to_one_destination, goes_on_with_a_replay_where_it_is, brings_back_nothing_that_was_erased,
            what_is_replayed_waits_from_then_on, counts_what_is_put_aside_until_it_is_replayed);
        $crate::conformance_tests!(@group $harness, unmatched: lists_what_matches_no_route,
            selects_what_matches_no_route, pages_through_what_matches_no_route_while_it_changes,
            groups_what_matches_no_route);
        $crate::conformance_tests!(@group $harness, model: does_what_the_reference_does);
    };
    (durable $harness:ty) => {
        $crate::conformance_tests!($harness);
        $crate::conformance_tests!(@group $harness, durable: keeps_accepted_events, keeps_settlements, keeps_retries,
            keeps_dead_letters, keeps_redriven, keeps_conversations_held,
            keeps_redriven_behind_all_others, keeps_edits_and_reviews, keeps_identities, keeps_places_unique, keeps_the_trail);
        mod durable_unmatched {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_what_matches_no_route() {
                $crate::conformance::unmatched::keeps_what_matches_no_route::<$harness>().await;
            }
        }
        mod durable_notes {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_notes() {
                $crate::conformance::notes::keeps_notes::<$harness>().await;
            }
        }
        mod durable_moved {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_what_it_took_over() {
                $crate::conformance::moved::keeps_what_it_took_over::<$harness>().await;
            }
        }
        mod durable_replay {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_replays() {
                $crate::conformance::replay::keeps_replays::<$harness>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_the_count_of_what_is_put_aside() {
                $crate::conformance::replay::keeps_the_count_of_what_is_put_aside::<$harness>().await;
            }
        }
    };
    (@group $harness:ty, $group:ident: $($case:ident),+ $(,)?) => {
        mod $group {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::$group::$case::<$harness>().await;
                }
            )+
        }
    };
}
