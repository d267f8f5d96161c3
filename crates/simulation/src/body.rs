//! What senders send: bodies in the shapes that Genesys uses, with invented values.

use bytes::Bytes;
use serde_json::json;

use crate::plan::{EventPlan, Form, Plan, RequestPlan, TOPICS};

/// A request's body, and the bytes that each of its events must have for ever.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) events: Vec<(usize, Bytes)>,
}

/// Makes the body of a request; `sending` counts how often the sender publishes it, since an envelope is another one
/// each time.
pub(crate) fn body(plan: &Plan, request: &RequestPlan, sending: u64) -> Body {
    let one = |&number: &usize| {
        let event = &plan.events[number];
        let text = match request.form {
            Form::Envelopes => envelope(event, number, sending),
            _ => webhook(event, number),
        };
        (number, text)
    };
    let events: Vec<(usize, String)> = request.events.iter().map(one).collect();
    let joined = || events.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ");
    let whole = match (request.form, &events[..]) {
        (Form::Unreadable, _) => format!("{{\"seed\": {}, \"at\": {:?}, ", plan.seed, request.at),
        (Form::Webhook { wrapped: true }, _) => format!("{{\"data\": [{}]}}", joined()),
        (_, [(_, alone)]) => alone.clone(),
        _ => format!("[{}]", joined()),
    };
    Body { bytes: whole.into(), events: events.into_iter().map(|(number, text)| (number, text.into())).collect() }
}

fn webhook(event: &EventPlan, number: usize) -> String {
    let mut value = json!({
        "webhookEventId": format!("w-{}", event.conflicts_with.unwrap_or(number)),
        "eventType": TOPICS[event.topic],
        "number": number,
        "text": "x".repeat(event.text),
    });
    if let Some(conversation) = event.conversation {
        value["conversationId"] = conversation_id(conversation).into();
    }
    value.to_string()
}

fn envelope(event: &EventPlan, number: usize, sending: u64) -> String {
    let mut detail = json!({
        "participantId": format!("p-{number}"),
        "sessionId": "s-1",
        "eventTime": 1_773_957_000_000_u64 + number as u64,
        "number": number,
        "text": "x".repeat(event.text),
    });
    if let Some(conversation) = event.conversation {
        detail["conversationId"] = conversation_id(conversation).into();
    }
    let value = json!({
        "version": "0",
        "id": format!("e-{number}-{sending}"),
        "time": format!("2026-03-19T22:04:{sending:02}Z"),
        "detail-type": TOPICS[event.topic],
        "detail": {"eventBody": detail},
    });
    value.to_string()
}

/// The name of a conversation.
pub(crate) fn conversation_id(number: u64) -> String {
    format!("c-{number}")
}
