//! Proves that the oracle can fail: bugs that are planted are found, and by what they break.
#![cfg(test)]

use simulation::{Planted, simulate_with};

/// Seeds within which each bug must be found.
const WITHIN: u64 = 80;

/// What one of the seeds finds, which must be one of these.
fn found(planted: Planted, wanted: &[&str]) {
    let found = (0..WITHIN).find_map(|seed| simulate_with(seed, Some(planted)).err());
    let found = found.unwrap_or_else(|| panic!("{planted:?} is not found within {WITHIN} seeds"));
    assert!(wanted.iter().any(|wanted| found.what.contains(wanted)), "{planted:?}: {found}");
    assert!(!found.steps.is_empty() && found.to_string().contains("cargo xtask simulate --seeds 1 --from"), "{found}");
}

#[test]
fn a_lost_settlement_is_found() {
    found(Planted::LostSettlement, &["attempted again, after it was settled"]);
}

#[test]
fn an_event_out_of_order_is_found() {
    found(Planted::OutOfOrder, &["is attempted after place", "is attempted before place"]);
}

#[test]
fn an_event_that_is_delivered_once_more_is_found() {
    found(Planted::OnceMore, &["attempted again, after it was settled"]);
}

#[test]
fn a_forgotten_event_is_found() {
    found(Planted::ForgottenEvent, &["lost: ", "before place"]);
}

#[test]
fn a_changed_byte_is_found() {
    found(Planted::ChangedByte, &["which nobody sent with these bytes"]);
}

#[test]
fn an_attempt_over_the_limit_is_found() {
    found(Planted::OverTheLimit, &["attempts at destination"]);
}

#[test]
fn an_answer_before_the_sync_is_found() {
    found(Planted::UnsyncedAnswer, &["lost: ", "was given before", "belongs to", "after it was settled", "opening"]);
}

#[test]
fn a_duplicate_that_is_accepted_is_found() {
    found(Planted::NoDedupe, &["was accepted twice within the window"]);
}

#[test]
fn a_publication_that_is_lost_is_found() {
    found(Planted::LostPublication, &["lost: "]);
}

#[test]
fn an_event_that_dies_too_early_is_found() {
    found(Planted::NoRetries, &["dies of its budget"]);
}

#[test]
fn an_event_that_does_not_wait_for_a_dead_letter_is_found() {
    found(Planted::NotHeld, &["is attempted after place", "is attempted before place"]);
}

#[test]
fn an_edited_copy_that_is_lost_is_found() {
    found(Planted::LostEdit, &["without its edited copy"]);
}

#[test]
fn a_conversation_that_is_not_erased_is_found() {
    found(Planted::LostErasure, &["was erased, and its body is still there", "after its conversation was erased"]);
}

#[test]
fn a_replay_that_leaves_out_an_event_is_found() {
    found(Planted::LostReplay, &["replayed: wanted"]);
}

#[test]
fn a_delivery_that_is_put_aside_nowhere_is_found() {
    found(Planted::LostAside, &["is done, and the destination does not have it"]);
}
