//! What bodies become.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ACW: &[u8] = include_bytes!("../../tests/fixtures/envelope_acw.json");
const TRANSCRIPTION: &[u8] = include_bytes!("../../tests/fixtures/envelope_transcription.json");
const AUDIT: &[u8] = include_bytes!("../../tests/fixtures/envelope_audit.json");
const ANALYTICS: &[u8] = include_bytes!("../../tests/fixtures/webhook_analytics.json");
const BATCH: &[u8] = include_bytes!("../../tests/fixtures/webhook_batch.json");
const CHAT: &[u8] = include_bytes!("../../tests/fixtures/notification_chat_message.json");
const LAMBDA: &[u8] = include_bytes!("../../tests/fixtures/lambda_destination.json");

const CONVERSATION: &str = "5d8e2f10-77aa-4b0c-9c1d-2f6e3b4a5c01";

fn splitter(kind: SourceKind) -> Splitter {
    Splitter::new(&SplitSettings::new(kind))
}

fn split(kind: SourceKind, body: impl Into<Vec<u8>>) -> Result<Vec<NewEvent>, BodyError> {
    splitter(kind).split(&Bytes::from(body.into()))
}

fn webhook(body: impl Into<Vec<u8>>) -> Vec<NewEvent> {
    split(SourceKind::Webhook, body).unwrap()
}

fn eventbridge(body: impl Into<Vec<u8>>) -> Vec<NewEvent> {
    split(SourceKind::EventBridge, body).unwrap()
}

fn ids(events: &[NewEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

fn joined(items: &[&[u8]]) -> Vec<u8> {
    [b"[".as_slice(), &items.join(b" ,\n".as_slice()), b"]"].concat()
}

#[test]
fn an_event_by_itself_keeps_the_whole_body() {
    let body = [b"\xef\xbb\xbf \n".as_slice(), ANALYTICS, b"\n\n "].concat();
    let [event] = &webhook(body.clone())[..] else { panic!("not one event") };
    assert_eq!(event.body, body);
    assert_eq!(&*event.topic, "conversation.analytics.completed");
    assert_eq!(event.conversation.as_deref(), Some(CONVERSATION));
    assert_eq!(event.id, webhook(ANALYTICS)[0].id);
}

#[test]
fn what_genesys_publishes_is_recognised_by_either_way() {
    let cases = [
        (ACW, "v2.detail.events.conversation.{id}.acw", Some(CONVERSATION)),
        (TRANSCRIPTION, "v2.conversations.{id}.transcription", Some(CONVERSATION)),
        (AUDIT, "v2.audits.entitytype.{id}.entityid.{id}", None),
        (CHAT, "v2.conversations.chats.{id}.messages", Some("5d8e2f10-77aa-4b0c-9c1d-2f6e3b4a5c07")),
        (ANALYTICS, "conversation.analytics.completed", Some(CONVERSATION)),
    ];
    for (body, topic, conversation) in cases {
        let events = webhook(body);
        assert_eq!(events, eventbridge(body));
        assert_eq!((&*events[0].topic, events[0].conversation.as_deref()), (topic, conversation));
        assert_eq!(ids(&events), ids(&eventbridge(joined(&[body]))), "alone or in an array");
        assert_eq!(ids(&events), ids(&eventbridge([b"{\"requestPayload\":", body, b"}"].concat())));
    }
}

#[test]
fn items_keep_exactly_their_bytes() {
    let items = [b"{ \"a\" : 1.0 }".as_slice(), b"{}", ACW.trim_ascii()];
    for kind in [SourceKind::Webhook, SourceKind::EventBridge] {
        let body = Bytes::from([b" \n".as_slice(), &joined(&items)].concat());
        let events = splitter(kind).split(&body).unwrap();
        assert_eq!(events.iter().map(|event| &event.body[..]).collect::<Vec<_>>(), items);
        assert!(events.iter().all(|event| body.as_ptr_range().contains(&event.body.as_ptr())), "nothing is copied");
    }
}

#[test]
fn a_batch_lends_its_items_what_they_lack() {
    let events = webhook(BATCH);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].body, events[1].body);
    assert_ne!(events[0].id, events[1].id, "equal items of a batch are all kept");
    for event in &events[..2] {
        assert_eq!(&*event.topic, "conversation.analytics.completed");
        assert_eq!(event.conversation.as_deref(), Some(CONVERSATION));
    }
    assert_eq!(&*events[2].topic, "conversation.evaluated");
    assert_eq!(events[2].conversation.as_deref(), Some("5d8e2f10-77aa-4b0c-9c1d-2f6e3b4a5c02"));
    assert_eq!(ids(&events[2..]), ids(&webhook(r#"{"webhookEventId":"whe-70211-000019"}"#)), "its own id");
    assert_eq!(ids(&events), ids(&webhook(BATCH)));
}

#[test]
fn batches_do_not_run_into_each_other() {
    let items = r#"[{"a":1},{"a":1}]"#;
    let with = |parent: &str| webhook(format!("{{{parent}\"data\":{items}}}"));
    let all =
        [with(""), with("\"webhookEventId\":1,"), with("\"webhookEventId\":2,"), webhook(items), webhook("{\"a\":1}")];
    let ids: std::collections::HashSet<EventId> = all.iter().flatten().map(|event| event.id).collect();
    assert_eq!(ids.len(), 9, "equal items, but each in another place");
    let respaced = "{ \"data\" : [ {\"a\": 1 }, { \"a\":1} ] }";
    assert_eq!(webhook(respaced).iter().map(|event| event.id).collect::<Vec<_>>(), super::tests::ids(&all[0]));
}

#[test]
fn an_item_that_repeats_the_id_of_its_batch_has_none() {
    let events = webhook(r#"{"webhookEventId":"w","data":[{"webhookEventId":"w"},{"webhookEventId":"w"}]}"#);
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn published_items_are_the_same_in_any_batch() {
    let alone = eventbridge(TRANSCRIPTION);
    let among = webhook(joined(&[b"{}", TRANSCRIPTION]));
    assert_eq!(alone[0].id, among[1].id);
}

#[test]
fn data_that_is_no_list_of_items_is_part_of_the_event() {
    for data in ["{\"conversationId\":\"c9\"}", "[]", "null", "\"x\"", "7"] {
        let body = format!("{{\"data\":{data}}}");
        let events = webhook(body.clone());
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].body, body);
    }
    assert_eq!(webhook(r#"{"data":{"conversationId":"c9"}}"#)[0].conversation.as_deref(), Some("c9"));
    let body = r#"{"detail-type":"t","data":[{},{}]}"#;
    assert_eq!(eventbridge(body)[0].body, body, "envelopes have no batch in `data`");
}

#[test]
fn the_settings_say_what_is_a_batch() {
    let with = |batch: Batch| Splitter::new(&SplitSettings { batch, ..SplitSettings::new(SourceKind::Webhook) });
    let body = |text: &'static str| Bytes::from_static(text.as_bytes());
    let at = with(Batch::At("/inner/list".parse().unwrap()));
    assert_eq!(at.split(&body(r#"{"inner":{"list":[{},{},{}]}}"#)).unwrap().len(), 3);
    assert_eq!(at.split(&body(r#"{"data":[{},{}]}"#)).unwrap().len(), 1);
    assert_eq!(at.split(&body("[{},{}]")).unwrap().len(), 2);
    let never = with(Batch::Never);
    assert_eq!(never.split(&body(r#"{"data":[1,{}]}"#)).unwrap().len(), 1);
    assert_eq!(never.split(&body("[{}]")), Err(BodyError::NotSplit));
}

#[test]
fn the_settings_say_where_to_look_first() {
    let pointers = |text: &str| vec![text.parse().unwrap()];
    let settings = SplitSettings {
        event_id: pointers("/key"),
        conversation: pointers("/call/no"),
        topic: pointers("/what"),
        ..SplitSettings::new(SourceKind::Webhook)
    };
    let body = r#"[{"key":1,"call":{"no":77},"conversationId":"c","what":"ended","type":"x"},{"conversationId":"c"}]"#;
    let events = Splitter::new(&settings).split(&Bytes::from(body)).unwrap();
    assert_eq!((events[0].conversation.as_deref(), &*events[0].topic), (Some("77"), "ended"));
    assert_eq!(events[0].id, webhook(r#"{"webhookEventId":"1"}"#)[0].id);
    assert_eq!(events[1].conversation.as_deref(), Some("c"));
}

#[test]
fn lambda_wrappings_are_taken_off() {
    let events = eventbridge(LAMBDA);
    assert_eq!(events.len(), 1);
    let whole: Value = serde_json::from_slice(LAMBDA).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&events[0].body).unwrap(), whole["requestPayload"]);
    assert!(events[0].body.starts_with(b"{") && events[0].body.ends_with(b"}"));
    assert_eq!(ids(&events), ids(&eventbridge(&events[0].body[..])));

    let wrapped_array = [b"{\"requestPayload\":".as_slice(), &joined(&[ACW, AUDIT]), b"}"].concat();
    let all = eventbridge(joined(&[LAMBDA, &wrapped_array, TRANSCRIPTION]));
    let expected = [&events[0].body[..], ACW.trim_ascii(), AUDIT.trim_ascii(), TRANSCRIPTION.trim_ascii()];
    assert_eq!(all.iter().map(|event| &event.body[..]).collect::<Vec<_>>(), expected);

    let envelope = r#"{"detail-type":"t","detail":{},"requestPayload":{"a":1}}"#;
    assert_eq!(eventbridge(envelope)[0].body, envelope, "an envelope is an event whatever else is in it");
    assert_eq!(webhook(LAMBDA)[0].body, LAMBDA, "a webhook has no wrapping");
}

#[test]
fn nothing_is_wrapped_twice() {
    let body = r#"{"requestPayload":{"requestPayload":{}}}"#;
    assert_eq!(eventbridge(body)[0].body, r#"{"requestPayload":{}}"#);
    let deep = "[{\"requestPayload\":".repeat(50_000) + "{}" + &"}]".repeat(50_000);
    assert_eq!(eventbridge(deep).len(), 1);
}

#[test]
fn an_empty_array_holds_no_events() {
    assert_eq!(webhook("[ ]"), []);
    assert_eq!(eventbridge("[]"), []);
    assert_eq!(eventbridge(r#"{"requestPayload":[]}"#), []);
}

#[test]
fn a_body_is_refused_as_a_whole() {
    use SourceKind::{EventBridge, Webhook};
    let item = |index, found| BodyError::ItemNotAnEvent { index, found };
    let cases = [
        (Webhook, "5", BodyError::NotAnEvent { found: Kind::Number }),
        (Webhook, " null ", BodyError::NotAnEvent { found: Kind::Null }),
        (EventBridge, "\"x\"", BodyError::NotAnEvent { found: Kind::String }),
        (Webhook, "[{},5]", item(1, Kind::Number)),
        (EventBridge, "[{},{},[]]", item(2, Kind::Array)),
        (Webhook, r#"{"data":[{},"x"]}"#, item(1, Kind::String)),
        (EventBridge, r#"{"requestPayload":[{},true]}"#, item(1, Kind::Boolean)),
        (EventBridge, r#"{"requestPayload":null}"#, BodyError::PayloadNotAnEvent { found: Kind::Null }),
        (Webhook, "", BodyError::Empty),
    ];
    for (kind, body, error) in cases {
        assert_eq!(split(kind, body), Err(error), "{body}");
    }
    for body in ["[{}", "[{}]x", "[{},]", "{\"data\":[{}]", "{} {}", "tru", "[{}}"] {
        for kind in [Webhook, EventBridge] {
            assert!(matches!(split(kind, body), Err(BodyError::Syntax { .. })), "{body}");
        }
    }
    assert_eq!(
        split(Webhook, "[{},5]").unwrap_err().to_string(),
        "item 1 of the batch is a number, which is no event, so none of its items was accepted; send only objects in \
         it, or set `batch` for a source whose arrays are no batches"
    );
}

#[test]
fn a_body_holds_so_many_events_and_no_more() {
    let settings = SplitSettings { max_events_per_body: 3, ..SplitSettings::new(SourceKind::EventBridge) };
    let splitter = Splitter::new(&settings);
    let split = |body: &str| splitter.split(&Bytes::from(body.to_owned())).map(|events| events.len());
    assert_eq!(split("[{},{},{}]"), Ok(3));
    assert_eq!(split("[{},{},{},{}]"), Err(BodyError::TooManyEvents { max: 3 }));
    assert_eq!(
        split(r#"[{"requestPayload":[{},{}]},{"requestPayload":[{},{}]}]"#),
        Err(BodyError::TooManyEvents { max: 3 })
    );
}

#[test]
fn names_that_are_too_long_do_not_count() {
    let long = "x".repeat(crate::MAX_NAME_BYTES + 1);
    let body = json!({"eventType": long, "topic": "t", "conversationId": long, "data": {"conversationId": "c"}});
    let events = webhook(body.to_string());
    assert_eq!((&*events[0].topic, events[0].conversation.as_deref()), ("t", Some("c")));
}

#[test]
fn lone_surrogates_in_names_are_replaced() {
    let events = webhook(r#"{"conversationId":"c\ud800","eventType":"\udfff!"}"#);
    assert_eq!((&*events[0].topic, events[0].conversation.as_deref()), ("\u{fffd}!", Some("c\u{fffd}")));
}

#[test]
fn depth_does_not_matter() {
    for depth in [1_100, 100_000] {
        let deep = format!("{{\"conversationId\":\"c\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let events = webhook(joined(&[deep.as_bytes(), b"{}"]));
        assert_eq!(events[0].body, deep);
        assert_eq!(events[0].conversation.as_deref(), Some("c"));
        assert_eq!(eventbridge(deep.clone())[0].body, deep);
    }
}

fn item() -> impl Strategy<Value = String> {
    let member =
        ("[a-z]{1,3}", prop_oneof!["[0-9]{1,20}".prop_map(|digits| format!("1{digits}.0")), Just("[ {} ]".into())]);
    let space = prop::sample::select(vec!["", " ", "\n\t"]);
    (prop::collection::vec(member, 0..4), space).prop_map(|(members, space)| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{space}{value}")).collect();
        format!("{{{space}{}{space}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn a_split_gives_back_what_was_put_together(items in prop::collection::vec(item(), 1..20), space in "[ \n]{0,3}") {
        let list = items.join(&format!("{space},{space}"));
        let array = format!("{space}[{space}{list}{space}]{space}");
        for events in [webhook(array.clone()), eventbridge(array.clone()), webhook(format!("{{\"data\":{array}}}"))] {
            let bodies: Vec<&[u8]> = events.iter().map(|event| &event.body[..]).collect();
            prop_assert_eq!(bodies, items.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
        let ids: std::collections::HashSet<EventId> = webhook(array).iter().map(|event| event.id).collect();
        prop_assert_eq!(ids.len(), items.len());
    }

    #[test]
    fn any_bytes_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = split(SourceKind::Webhook, body.clone());
        let _ = split(SourceKind::EventBridge, body);
    }

    #[test]
    fn a_damaged_body_gets_an_answer(at in 0..LAMBDA.len(), byte in any::<u8>(), cut in 0..LAMBDA.len()) {
        for body in [ACW, BATCH, LAMBDA] {
            let mut body = body.to_vec();
            let at = at % body.len();
            body[at] = byte;
            let _ = split(SourceKind::EventBridge, body.clone());
            body.truncate(cut);
            let _ = split(SourceKind::Webhook, body);
        }
    }
}
