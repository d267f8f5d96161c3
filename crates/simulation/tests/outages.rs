//! Long outages on the embedded queue, in virtual time.
#![cfg(test)]

use std::time::Duration;

use simulation::{Outage, outage};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// With 10 events a second: at 200 a second a development build takes minutes.
#[test]
fn an_outage_of_four_hours_kills_and_loses_nothing_and_what_is_held_does_not_grow() {
    let (begins, lasts, after) = (60 * SECOND, 4 * HOUR, 60 * SECOND);
    let report = outage(Outage { together: 10, every: SECOND, begins, lasts, after, conversations: 5_000 }).unwrap();
    assert!(report.dead.is_empty(), "{:?}", report.dead.first());
    assert_eq!(report.taken, report.accepted);
    let [first, second] = report.held;
    assert!(first.0 <= 50 && second.0 <= 50 && second.1 <= first.1.max(100), "{:?}", report.held);
    assert!(report.failed < 2_000, "{} attempts in four hours", report.failed);
    println!("{:?}", (report.accepted, report.failed, report.held, report.caught_up));
}
