//! What becomes an outcome, and what is kept of the rest.

mod all;
mod rules;
mod shapes;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Batch, Event, SourceKind, SplitSettings, Splitter, Timestamp};

/// The event that a webhook source makes of a body that it does not split.
fn event(body: &str) -> Event {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let settings = SplitSettings { batch: Batch::Never, ..SplitSettings::new(SourceKind::Webhook) };
    let part = Splitter::new(&settings).split(&body).unwrap().remove(0);
    Event {
        id: part.id,
        source: Arc::from("genesys"),
        topic: part.topic,
        conversation: part.conversation,
        received: Timestamp::from_millis(1_772_439_300_123),
        conflict_of: None,
        body: part.body,
    }
}

/// Its outcome, read back.
fn outcome(body: &str) -> Value {
    let event = event(body);
    let outcome = super::Outcome::of(&event);
    serde_json::from_str(&outcome.to_json()).unwrap()
}

fn outcome_of(body: Value) -> Value {
    outcome(&body.to_string())
}

/// What was not recognised: paths and texts.
fn unrecognised(outcome: &Value) -> Vec<(&str, &str)> {
    let list = outcome["unrecognised"].as_array().unwrap();
    list.iter().map(|left| (left["path"].as_str().unwrap(), left["value"].as_str().unwrap())).collect()
}

/// An event of a body that need not be one.
fn raw_event(body: &[u8]) -> Event {
    Event { body: Bytes::copy_from_slice(body), ..event("{}") }
}

/// What an outcome has when its event says nothing.
fn nothing() -> Value {
    json!({
        "schema": 1, "event_id": event("{}").id, "source": "genesys", "topic": null,
        "received_at": "2026-03-02T08:15:00.123Z", "occurred_at": null, "conversation_id": null,
        "participant_id": null, "session_id": null, "agent_id": null, "queue_id": null, "division_id": null,
        "media_type": null, "direction": null,
        "sentiment": {
            "score": null, "label": null, "scale": null, "given": null, "trend": null, "trend_class": null
        },
        "empathy": [], "intents": [], "keywords": [], "topics": [], "categories": [],
        "wrapup": {"code": null, "kind": null, "notes": null, "duration_ms": null},
        "disconnect_type": null,
        "durations": {
            "interacting_ms": null, "held_ms": null, "alerting_ms": null, "contacting_ms": null, "dialing_ms": null,
            "callback_ms": null, "connected_ms": null
        },
        "talk": {
            "agent_percent": null, "customer_percent": null, "silence_percent": null, "ivr_percent": null,
            "acd_percent": null, "overtalk_percent": null, "other_percent": null, "overtalk_count": null
        },
        "compliance": {"count": null, "severity": null, "violations": []},
        "transcript_uri": null, "unrecognised": [], "extra": {}
    })
}
