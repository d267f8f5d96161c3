//! One line of a story.

use std::sync::Arc;

use audit::{Entry, Failure, Outcome, What};
use event::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// One thing that happened.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = TraceLine)]
pub(super) struct Line {
    /// When, in milliseconds of Unix time.
    at: Timestamp,
    /// What, in one word.
    what: &'static str,
    /// In a sentence.
    text: String,
    /// The event's place in the log.
    seq: Option<u64>,
    /// The destination.
    destination: Option<Arc<str>>,
    /// The dead letter.
    letter: Option<u64>,
    /// The destination's HTTP status.
    status: Option<u16>,
    /// How long the attempt took.
    latency_ms: Option<u32>,
    /// The start of the destination's answer.
    excerpt: Option<Arc<str>>,
    /// The version of the mapping.
    mapping: Option<Arc<str>>,
    /// When it is tried again.
    again: Option<Timestamp>,
    /// Who did it.
    by: Option<Arc<str>>,
}

pub(super) fn lines(entries: &[Entry]) -> Vec<Line> {
    entries.iter().map(line).collect()
}

fn line(entry: &Entry) -> Line {
    let line = Line { at: entry.at, ..Line::default() };
    match &entry.what {
        What::Received { seq, source, topic, proof, conflict_of, destinations, .. } => {
            let led = if destinations.is_empty() { "no destination".to_owned() } else { destinations.join(", ") };
            let conflict = conflict_of.map(|id| format!(", in conflict with event {id}")).unwrap_or_default();
            let topic = if topic.is_empty() { String::new() } else { format!(" ({topic})") };
            let text = format!("received from {source}{topic}, verified by {proof}, for {led}{conflict}");
            Line { what: "received", text, seq: Some(*seq), ..line }
        }
        What::Duplicate { source, proof, .. } => {
            let text = format!("came again from {source}, verified by {proof}; a duplicate, not stored");
            Line { what: "duplicate", text, ..line }
        }
        What::Rejected { letter, source, proof, .. } => {
            let text = format!("a body from {source}, verified by {proof}, was no event; dead letter {letter}");
            Line { what: "rejected", text, letter: Some(*letter), ..line }
        }
        What::Attempted { seq, destination, outcome } => {
            let line = Line { seq: Some(*seq), destination: Some(Arc::clone(destination)), ..line };
            attempted(line, destination, outcome)
        }
        What::Died { letter, seq, destination, reason } => {
            let text = format!("{destination}: dead letter {letter}: {reason}");
            Line {
                what: "died",
                text,
                seq: Some(*seq),
                letter: Some(*letter),
                destination: Some(Arc::clone(destination)),
                ..line
            }
        }
        What::Redriven { letter, again, destination, by, .. } => Line {
            what: "redriven",
            text: format!("{destination}: dead letter {letter} redriven by {by}"),
            seq: Some(*again),
            letter: Some(*letter),
            destination: Some(Arc::clone(destination)),
            by: Some(Arc::clone(by)),
            ..line
        },
        What::Replayed { again, destination, replay, .. } => Line {
            what: "replayed",
            text: format!("{destination}: replayed by replay {replay}"),
            seq: Some(*again),
            destination: Some(Arc::clone(destination)),
            ..line
        },
        What::Edited { letter, body, by, reason } => {
            let did = if body.is_some() { "a copy of its body was edited" } else { "the edited copy was taken away" };
            let text = format!("dead letter {letter}: {did} by {by}: {reason}");
            Line { what: "edited", text, letter: Some(*letter), by: Some(Arc::clone(by)), ..line }
        }
        What::Discarded { letter, seq, destination, by, reason } => Line {
            what: "discarded",
            text: format!("dead letter {letter} discarded by {by}: {reason}"),
            seq: *seq,
            letter: Some(*letter),
            destination: destination.clone(),
            by: Some(Arc::clone(by)),
            ..line
        },
        What::Done { by, action, subject, detail } => {
            let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            Line { what: "done", text: format!("{action} {subject} by {by}{detail}"), by: Some(Arc::clone(by)), ..line }
        }
        What::Erased { places, by, reason, .. } => {
            let text = match places.len() {
                0 => format!("what its deliveries were answered was erased by {by}: {reason}"),
                1 => format!("the body of an event was erased by {by}: {reason}"),
                count => format!("the bodies of {count} events were erased by {by}: {reason}"),
            };
            Line { what: "erased", text, by: Some(Arc::clone(by)), ..line }
        }
        What::Dropped { block, .. } => {
            let text = format!("the audit trail up to block {block} was dropped at the end of its retention");
            Line { what: "dropped", text, ..line }
        }
    }
}

fn attempted(line: Line, destination: &str, outcome: &Outcome) -> Line {
    match outcome {
        Outcome::Skipped { mapping } => Line {
            what: "skipped",
            text: format!(
                "{destination}: there was nothing to deliver (or, in an audit trail of before, it was put aside in the archive)"
            ),
            mapping: mapping.clone(),
            ..line
        },
        Outcome::PutAside { part } => Line {
            what: "put_aside",
            text: format!(
                "{destination}: put aside into the archive while it was down (part {part}), replay with: aftercall replay \
                 --source outage --destination {destination}"
            ),
            ..line
        },
        Outcome::Delivered { status, latency_ms, mapping } => {
            let answered = status.map(|status| format!(", answered {status}")).unwrap_or_default();
            Line {
                what: "delivered",
                text: format!("{destination}: delivered{answered} within {latency_ms} ms{}", by_mapping(mapping)),
                status: *status,
                latency_ms: Some(*latency_ms),
                mapping: mapping.clone(),
                ..line
            }
        }
        Outcome::Failed { failure, made, charged, again } => {
            let Failure { stage, class, status, message, excerpt, latency_ms, mapping } = failure;
            let text = format!(
                "{destination}: attempt {made} failed at stage {stage} ({class}, {charged} charged{}): {message}",
                by_mapping(mapping)
            );
            Line {
                what: "failed",
                text,
                status: *status,
                latency_ms: Some(*latency_ms),
                excerpt: excerpt.clone(),
                mapping: mapping.clone(),
                again: *again,
                ..line
            }
        }
    }
}

fn by_mapping(mapping: &Option<Arc<str>>) -> String {
    mapping.as_ref().map(|version| format!(", mapping {version}")).unwrap_or_default()
}
