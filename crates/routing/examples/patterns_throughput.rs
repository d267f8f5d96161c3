//! How many events a second one core matches, parsing included. Prints one JSON object.
//!
//! `cargo run --release -p routing --example patterns_throughput`

use std::time::{Duration, Instant};

use routing::{MatchScratch, MatchSet, Pattern, PatternError, PatternSet};

/// An after-call-work event of an invented organisation, as EventBridge delivers it.
const EVENT: &str = include_str!("acw_event.json");

/// Ten patterns over the fields that routes usually name. All but the last two match [`EVENT`].
const PATTERNS: [&str; 10] = [
    r#"{"detail-type": ["v2.detail.events.conversation.{id}.acw", "other-@"]}"#,
    r#"{"source": [{"prefix": "aws.partner/genesys.com"}, {"prefix": "other-@"}]}"#,
    r#"{"detail": {"eventBody": {"mediaType": ["VOICE", "other-@"], "direction": [{"equals-ignore-case": "inbound"}]}}}"#,
    r#"{"detail": {"eventBody": {"wrapupCode": [{"exists": true}], "wrapupDurationMs": [{"numeric": [">", 1@, "<", 9@00]}]}}}"#,
    r#"{"detail": {"topicName": [{"wildcard": "v2.detail.events.*.acw"}, {"wildcard": "other-@*x*"}]}}"#,
    r#"{"detail": {"eventBody": {"queueId": [{"anything-but": ["8f1c0f5e-0000-4000-8000-000000000001", "other-@"]}]}}}"#,
    r#"{"detail": {"eventBody": {"ani": [{"suffix": "0520"}, {"suffix": "other-@"}], "provider": ["Edge"]}}}"#,
    r#"{"$or": [{"region": ["us-east-1", "other-@"]}, {"detail": {"eventBody": {"mediaType": ["CHAT", "other-@"]}}}]}"#,
    r#"{"detail": {"eventBody": {"mediaType": ["EMAIL", "other-@"]}}}"#,
    r#"{"detail": {"eventBody": {"direction": ["OUTBOUND"], "userId": [{"prefix": "other-@"}]}}}"#,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let report = serde_json::json!({
        "event_bytes": EVENT.trim().len(),
        "rules_10": measure(1, false)?,
        "rules_1000": measure(100, false)?,
        "rules_1000_few_match": measure(100, true)?,
    });
    Ok(serde_json::to_writer_pretty(std::io::stdout(), &report)?)
}

/// Each pattern `copies` times, each time with other constants besides those that match. With `few_match` the copies
/// also need an account that the event does not have.
fn measure(copies: usize, few_match: bool) -> Result<serde_json::Value, PatternError> {
    let mut patterns = Vec::new();
    for copy in 0..copies {
        let number = (100 + copy).to_string();
        for text in PATTERNS {
            let text = text.replace('@', &number);
            let text = match few_match && copy > 0 {
                true => text.replacen('{', &format!("{{\"account\": [\"{number}\"], "), 1),
                false => text,
            };
            patterns.push(Pattern::parse(&text)?);
        }
    }
    let started = Instant::now();
    let set = PatternSet::new(patterns);
    let compiled_in = started.elapsed();
    let mut scratch = MatchScratch::default();
    let event = EVENT.trim().as_bytes();
    let matching = set.matches(event, &mut scratch).map(|matches| matches.len()).unwrap_or_default();
    let mut best = 0.0_f64;
    for _ in 0..5 {
        best = best.max(events_per_second(&set, event, &mut scratch));
    }
    Ok(serde_json::json!({
        "rules": set.len(),
        "matching": matching,
        "events_per_second": best.round(),
        "compile_ms": compiled_in.as_secs_f64() * 1e3,
    }))
}

fn events_per_second(set: &PatternSet, event: &[u8], scratch: &mut MatchScratch) -> f64 {
    let started = Instant::now();
    let mut events = 0_u32;
    while started.elapsed() < Duration::from_millis(400) {
        for _ in 0..1_000 {
            std::hint::black_box(set.matches(std::hint::black_box(event), scratch).map(MatchSet::is_empty).ok());
        }
        events += 1_000;
    }
    f64::from(events) / started.elapsed().as_secs_f64()
}
