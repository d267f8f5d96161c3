//! Which events are the same one.

use serde_json::{Value, json};

use super::*;
use crate::fields::{Extra, PLAIN_READER, Reader};
use crate::json::Pointer;

const ACW: &str = "v2.detail.events.conversation.{id}.acw";

fn id(body: &Value) -> EventId {
    alone(&PLAIN_READER.read(&body.to_string()).unwrap())
}

fn stated_id(body: &Value) -> Option<EventId> {
    stated(&PLAIN_READER.read(&body.to_string()).unwrap())
}

fn webhook_id(value: Value) -> Value {
    json!({"webhookEventId": value, "a": 1})
}

fn enveloped(topic: &str, event_body: &Value) -> Value {
    json!({"id": "e", "time": "T", "detail-type": topic, "detail": {"eventBody": event_body}})
}

fn acw() -> Value {
    json!({"conversationId": "c", "participantId": "p", "sessionId": "s", "eventTime": 5, "wrapupCode": "w"})
}

#[test]
fn an_id_is_a_name_and_nothing_else() {
    assert_eq!(id(&webhook_id(json!(5))), id(&webhook_id(json!("5"))), "ids are compared as text");
    assert_eq!(id(&webhook_id(json!("x"))), id(&json!({"webhookEventId": "x", "a": 2})), "whatever else there is");
    assert_ne!(id(&webhook_id(json!("x"))), id(&webhook_id(json!("y"))));
    for nothing in [json!(""), json!("  "), json!(null), json!(true), json!({}), json!(["x"])] {
        assert_eq!(stated_id(&webhook_id(nothing.clone())), None, "{nothing}");
    }
}

#[test]
fn the_settings_come_first() {
    let pointers: Vec<Pointer> = ["/x", "/detail/eventBody/wrapupCode"].map(|text| text.parse().unwrap()).into();
    let reader = Reader::new(Extra { event_id: &pointers, ..Extra::default() });
    let id = |body: Value| stated(&reader.read(&body.to_string()).unwrap());
    assert_eq!(id(json!({"x": "1", "webhookEventId": "2"})), stated_id(&webhook_id(json!("1"))));
    assert_eq!(id(json!({"x": "", "webhookEventId": "2"})), stated_id(&webhook_id(json!("2"))));
    assert_eq!(id(enveloped(ACW, &acw())), stated_id(&webhook_id(json!("w"))));
}

#[test]
fn a_business_key_is_the_same_in_every_shape() {
    let real = enveloped(ACW, &acw());
    let flat = json!({"id": "f", "detail-type": ACW, "detail": acw()});
    let bare = json!({"topicName": "v2.detail.events.conversation.c.acw", "eventBody": acw(), "version": "2"});
    assert!(stated_id(&real).is_some());
    assert_eq!(stated_id(&real), stated_id(&flat));
    assert_eq!(stated_id(&real), stated_id(&bare));
}

#[test]
fn every_part_of_a_business_key_counts() {
    let first = id(&enveloped(ACW, &acw()));
    for part in ["conversationId", "participantId", "sessionId", "eventTime"] {
        let mut other = acw();
        other[part] = json!("other");
        assert_ne!(id(&enveloped(ACW, &other)), first, "{part}");
    }
    assert_ne!(id(&enveloped("v2.detail.events.conversation.{id}.wrapup", &acw())), first);
    let mut other = acw();
    other["wrapupCode"] = json!("other");
    assert_eq!(id(&enveloped(ACW, &other)), first, "the queue tells this conflict by the content");
}

#[test]
fn a_key_needs_conversation_and_time() {
    for part in ["conversationId", "eventTime"] {
        for nothing in [json!(null), json!(""), json!([]), json!({})] {
            let mut body = acw();
            body[part] = nothing;
            assert_eq!(stated_id(&enveloped(ACW, &body)), None, "{body}");
        }
    }
    let mut body = acw();
    body["sessionId"] = json!(null);
    assert!(stated_id(&enveloped(ACW, &body)).is_some());
    assert_eq!(stated_id(&acw()), None, "without a topic there is no key");
}

#[test]
fn events_that_come_several_at_once_go_by_content() {
    for topic in [
        "v2.conversations.{id}.transcription",
        "v2.detail.events.conversation.{id}.attributes",
        "v2.detail.events.conversation.{id}.flow.outcome",
        "v2.something.else",
    ] {
        let one = enveloped(topic, &acw());
        assert_eq!(stated_id(&one), None, "{topic}");
        let mut other = acw();
        other["utteranceId"] = json!("u2");
        assert_ne!(id(&one), id(&enveloped(topic, &other)));
        let mut again = one.clone();
        again["id"] = json!("e2");
        again["detail"]["timestamp"] = json!("T2");
        assert_eq!(id(&one), id(&again));
    }
}

#[test]
fn audits_go_by_their_own_id() {
    let topic = "v2.audits.entitytype.{id}.entityid.{id}";
    let audit = |id: &str, action: &str| enveloped(topic, &json!({"id": id, "action": action, "eventTime": "T"}));
    assert_eq!(id(&audit("1", "Update")), id(&audit("1", "Delete")));
    assert_ne!(id(&audit("1", "Update")), id(&audit("2", "Update")));
    assert_ne!(id(&audit("1", "Update")), id(&webhook_id(json!("1"))), "other kinds of ids are kept apart");
}

#[test]
fn a_relayed_webhook_keeps_its_id() {
    let webhook = json!({"webhookEventId": "w", "data": {}});
    assert_eq!(id(&webhook), id(&json!({"detail-type": "relayed", "detail": webhook})));
    assert_eq!(id(&webhook), id(&enveloped(ACW, &webhook)));
}

#[test]
fn nothing_to_go_by_still_tells_events_apart() {
    let bodies =
        [json!({}), json!({"a": 1}), json!({"id": "unknown"}), json!({"detail-type": ""}), json!({"detail": {}})];
    let ids: std::collections::HashSet<EventId> = bodies.iter().map(id).collect();
    assert_eq!(ids.len(), bodies.len());
}
