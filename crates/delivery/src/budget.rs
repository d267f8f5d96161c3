//! The retry budget: which attempts are charged to an event.
//!
//! An attempt is charged only if the destination was healthy: between this event's previous attempt and this one, another
//! delivery was begun and completed. So an outage, however long, charges nothing, and an event that fails while others
//! pass uses its budget up. One that was under way when the outage began, and is answered late, is not of that time. A
//! first attempt has no previous one and is not charged.

use event::Timestamp;
use queue::Attempts;

/// Whether a failed attempt is charged. `last_success` is when the latest delivery began that the destination had
/// completed when this attempt began.
pub(crate) fn is_charged(before: &Attempts, last_success: Option<Timestamp>) -> bool {
    match (before.last, last_success) {
        (Some(previous), Some(success)) => success > previous,
        _ => false,
    }
}

/// Counts an attempt that ended at `now`.
pub(crate) fn count(before: Attempts, charged: bool, began: Timestamp, now: Timestamp) -> Attempts {
    Attempts {
        made: before.made.saturating_add(1),
        charged: before.charged.saturating_add(u32::from(charged)),
        first: before.first.or(Some(began)),
        last: Some(now),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn only_a_success_after_the_previous_attempt_charges() {
        let tried = Attempts { made: 1, charged: 0, first: Some(at(90)), last: Some(at(100)) };
        assert!(is_charged(&tried, Some(at(101))));
        assert!(!is_charged(&tried, Some(at(100))), "as the outage began, not since");
        assert!(!is_charged(&tried, None));
        assert!(!is_charged(&Attempts::default(), Some(at(100))), "a first attempt");
    }

    #[test]
    fn counting() {
        let once = count(Attempts::default(), false, at(5), at(9));
        assert_eq!(once, Attempts { made: 1, charged: 0, first: Some(at(5)), last: Some(at(9)) });
        let twice = count(once, true, at(20), at(30));
        assert_eq!(twice, Attempts { made: 2, charged: 1, first: Some(at(5)), last: Some(at(30)) });
    }

    proptest! {
        /// However the attempts of an outage fall, none is charged if no success lies after the first of them.
        #[test]
        fn an_outage_charges_nothing(last_success in 0i64..1_000, gaps in prop::collection::vec(0i64..100_000, 0..50)) {
            let mut attempts = Attempts::default();
            let mut now = 1_000;
            for gap in gaps {
                let charged = is_charged(&attempts, Some(at(last_success)));
                attempts = count(attempts, charged, at(now), at(now + 5));
                now += gap + 5;
            }
            prop_assert_eq!(attempts.charged, 0);
        }
    }
}
