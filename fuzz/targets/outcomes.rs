//! Bodies: each has an outcome, whatever it is; its numbers are in their range, and its text is JSON.
#![no_main]

use bytes::Bytes;
use event::{Event, EventId, Outcome, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let event = Event {
        id: EventId::from_bytes([1; 16]),
        source: "fuzz".into(),
        topic: "".into(),
        conversation: None,
        received: Timestamp::default(),
        conflict_of: None,
        body: Bytes::copy_from_slice(data),
    };
    let outcome = Outcome::of(&event);
    for number in [outcome.sentiment.score, outcome.sentiment.trend].into_iter().flatten() {
        assert!((-1.0..=1.0).contains(&number));
    }
    let listed = outcome.compliance.violations.len();
    assert!(outcome.compliance.count.is_none_or(|count| usize::try_from(count).is_ok_and(|count| count >= listed)));
    assert!(event::json::Lookup::new([]).find(outcome.to_json().as_bytes()).is_ok());
});
