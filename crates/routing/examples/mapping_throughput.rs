//! How long one application of a typical mapping takes. Prints one JSON object.
//!
//! `cargo run --release -p routing --example mapping_throughput`

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{Event, EventId, Timestamp};
use routing::Mapping;

const MAPPINGS: [(&str, &str); 3] = [
    ("identity", "."),
    (
        "eight_fields",
        "{event: $event.id, conversation: .detail.eventBody.conversationId, agent: .detail.eventBody.userId, \
         queue: .detail.eventBody.queueId, code: .detail.eventBody.wrapupCode, note: .detail.eventBody.wrapupNotes, \
         seconds: (.detail.eventBody.wrapupDurationMs / 1000), at: .detail.timestamp}",
    ),
    (
        "with_conditions",
        ".detail.eventBody as $b | {kind: (if $b.direction == \"INBOUND\" then \"in\" else \"out\" end), \
         phone: ($b.ani | ltrimstr(\"tel:\")), note: ($b.wrapupNotes // \"\" | gsub(\"[0-9]{4,}\"; \"****\")), \
         contacts: [$b.conversationExternalContactIds[]? | {id: .}]}",
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let event = Event {
        id: EventId::from_hash([1; 16]),
        source: Arc::from("genesys"),
        topic: Arc::from("v2.detail.events.conversation.{id}.acw"),
        conversation: Some(Arc::from("91e2b6a4-5f0d-4c3b-8a7e-2d6c1b0f9e88")),
        received: Timestamp::from_millis(1_777_887_082_415),
        conflict_of: None,
        body: include_str!("acw_event.json").trim().into(),
    };
    let mut report = serde_json::Map::new();
    for (name, source) in MAPPINGS {
        report.insert(name.to_owned(), microseconds(&Mapping::compile(source)?, &event).into());
    }
    let report = serde_json::json!({ "event_bytes": event.body.len(), "microseconds": report });
    Ok(serde_json::to_writer_pretty(std::io::stdout(), &report)?)
}

fn microseconds(mapping: &Mapping, event: &Event) -> f64 {
    const TIMES: u32 = 50;
    let mut best = f64::MAX;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let started = Instant::now();
        for _ in 0..TIMES {
            std::hint::black_box(mapping.apply(std::hint::black_box(event)).map(|payload| payload.len()).ok());
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
    }
    best
}
