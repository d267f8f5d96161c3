//! How long it takes to make an outcome, and to write it as JSON. Prints one JSON object.
//!
//! `cargo run --release -p event --example outcome_throughput`

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::{Event, Outcome, SourceKind, SplitSettings, Splitter, Timestamp};

/// An after-call-work event of an invented organisation, as EventBridge delivers it.
const ACW: &str = include_str!("acw_event.json");
/// A post-call analysis of an invented call, as a webhook delivers it.
const WEBHOOK: &str = include_str!("analysis_webhook.json");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut report = serde_json::Map::new();
    for (name, text) in [("acw_event", ACW), ("analysis_webhook", WEBHOOK)] {
        let body = Bytes::from_static(text.trim().as_bytes());
        let mut parts = Splitter::new(&SplitSettings::new(SourceKind::Webhook)).split(&body)?;
        let part = parts.remove(0);
        let event = Event {
            id: part.id,
            source: Arc::from("genesys"),
            topic: part.topic,
            conversation: part.conversation,
            received: Timestamp::from_millis(1_777_887_082_415),
            conflict_of: None,
            body: part.body,
        };
        let mut json = String::new();
        let made = microseconds(|| drop(std::hint::black_box(Outcome::of(std::hint::black_box(&event)))));
        let written = microseconds(|| {
            json.clear();
            Outcome::of(std::hint::black_box(&event)).write_json(&mut json);
        });
        let times = serde_json::json!({ "event_bytes": event.body.len(), "made": made, "made_and_written": written });
        report.insert(name.to_owned(), times);
    }
    let report = serde_json::json!({ "microseconds": report });
    Ok(serde_json::to_writer_pretty(std::io::stdout(), &report)?)
}

fn microseconds(mut work: impl FnMut()) -> f64 {
    const TIMES: u32 = 1_000;
    let mut best = f64::MAX;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let started = Instant::now();
        (0..TIMES).for_each(|_| work());
        best = best.min(started.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
    }
    best
}
