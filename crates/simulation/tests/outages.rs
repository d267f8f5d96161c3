//! Long outages on the embedded queue, in virtual time.
#![cfg(test)]

use std::time::Duration;

use simulation::{Outage, outage};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// With 10 events a second: at 200 a second a development build takes minutes. `cargo xtask simulate --outage 4` does it.
#[test]
fn an_outage_of_four_hours_kills_and_loses_nothing_and_what_is_held_does_not_grow() {
    let (begins, lasts, after) = (60 * SECOND, 4 * HOUR, 60 * SECOND);
    let report = outage(Outage { together: 10, every: SECOND, begins, lasts, after, conversations: 5_000 }).unwrap();
    assert!(report.dead.is_empty(), "{:?}", report.dead.first());
    assert_eq!(report.taken, report.accepted);
    let [first, second] = report.held;
    assert!(first.0 <= 50 && second.0 <= 50 && second.1 <= first.1.max(100), "{:?}", report.held);
    assert!(report.failed < 2_000, "{} attempts in four hours", report.failed);
}

/// As long as events are kept: those that wait from its first minute on are an hour from the end of retention.
#[test]
fn an_outage_of_fourteen_days_less_an_hour_kills_and_loses_nothing() {
    let (begins, lasts, after) = (60 * SECOND, (14 * 24 - 1) * HOUR, 600 * SECOND);
    let report = outage(Outage { together: 1, every: 120 * SECOND, begins, lasts, after, conversations: 500 }).unwrap();
    assert!(report.dead.is_empty(), "{:?}", report.dead.first());
    assert!(report.taken == report.accepted && report.accepted > 10_000, "{report:?}");
    let [first, second] = report.held;
    assert!(first.0 <= 50 && second.0 <= 50 && second.1 <= first.1.max(100), "{:?}", report.held);
    assert!(report.caught_up < HOUR, "{:?}", report.caught_up);
}
