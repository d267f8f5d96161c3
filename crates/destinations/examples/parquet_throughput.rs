//! How many outcomes a second are made of events and written as Parquet, on all cores and on one. Prints one JSON object.
//!
//! `cargo run --release -p destinations --features parquet --example parquet_throughput`

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use destinations::parquet::Encoder;
use event::{Event, EventId, Outcome, Timestamp};

/// Outcomes of one file, as many as a file of the default size has.
const ROWS: u64 = 40_000;
/// Files that each thread writes.
const FILES: u64 = 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let cores = std::thread::available_parallelism()?.get();
    let (one, _) = measure(1)?;
    let (all, bytes) = measure(cores)?;
    let report = serde_json::json!({
        "cores": cores,
        "outcomes_per_second": { "one_core": one.round(), "all_cores": all.round() },
        "bytes_per_row": bytes,
    });
    serde_json::to_writer_pretty(std::io::stdout(), &report).map_err(Failure::from)
}

/// Outcomes a second on so many threads, and bytes of a file for each row.
fn measure(threads: usize) -> Result<(f64, f64), Failure> {
    let began = Instant::now();
    let bytes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads as u64).map(|thread| scope.spawn(move || write(thread))).collect();
        threads.into_iter().try_fold(0, |sum, thread| {
            let written = thread.join().map_err(|_| Failure::from("a thread panicked"))?;
            written.map(|bytes| sum + bytes)
        })
    })?;
    let rows = (threads as u64 * FILES * ROWS) as f64;
    Ok((rows / began.elapsed().as_secs_f64(), bytes as f64 / rows))
}

fn write(thread: u64) -> Result<usize, Failure> {
    let mut bytes = 0;
    let mut json = String::new();
    for file in 0..FILES {
        let mut encoder = Encoder::new()?;
        for row in 0..ROWS {
            let event = event((thread * FILES + file) * ROWS + row);
            json.clear();
            Outcome::of(&event).write_json(&mut json);
            encoder.push(json.as_bytes())?;
        }
        bytes += encoder.finish()?.len();
    }
    Ok(bytes)
}

/// An analysis of an invented call; ids, times and scores differ.
fn event(number: u64) -> Event {
    let conversation: Arc<str> = format!("c-{:08x}", number / 2).into();
    let body = format!(
        r#"{{"webhookEventId":"w-{number}","eventType":"conversation.analysis.completed","timestamp":"2026-03-02T08:{:02}:{:02}Z","conversationId":"{conversation}","data":{{"agentId":"agent-{}","queueId":"queue-{}","sentiment":{{"overall":{},"trend":0.12}},"intents":[{{"name":"billing","confidence":0.91}},{{"name":"cancel","confidence":0.4}}],"keywords":["invoice","refund"],"complianceViolations":[{{"code":"no_greeting","severity":"low"}}],"wrapupCode":"resolved","wrapupDurationMs":{},"site":"north"}}}}"#,
        number / 60 % 60,
        number % 60,
        number % 300,
        number % 20,
        number as i64 % 201 - 100,
        number % 60_000,
    );
    Event {
        id: EventId::from_identity("example", [number.to_be_bytes().as_slice()]),
        source: "genesys".into(),
        topic: "conversation.analysis.completed".into(),
        conversation: Some(conversation),
        received: Timestamp::from_millis(1_777_887_082_415 + number as i64),
        conflict_of: None,
        body: Bytes::from(body),
    }
}
