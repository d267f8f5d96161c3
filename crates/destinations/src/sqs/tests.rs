//! Messages by property, and requests against a strict fake of the service. That real messages arrive is shown over an
//! emulator, by `cargo xtask test`.

use std::sync::Arc;
use std::time::Duration;

use event::EventId;
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::Message;
use super::options::BYTES_MAX;
use super::*;
use crate::fake_aws::{Answer, Fake, refused};
use crate::{AwsAccess, Destination, ErrorClass, OutgoingDelivery, Receipt, Secret, SendError};

fn delivery(id: &str, conversation: Option<&str>, payload: impl Into<bytes::Bytes>) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [id.as_bytes()]),
        source: "calls".into(),
        topic: "v2.acw".into(),
        conversation: conversation.map(Arc::from),
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.into(),
        replayed: false,
        trace: None,
    }
}

fn open(url: &str, queue: &str, timeout: Duration) -> SqsDestination {
    let mut options = Options::new(format!("{url}/123456789012/{queue}"));
    options.access = AwsAccess {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(url.to_owned()),
        key: Some((Secret::fixed("id"), Secret::fixed("key"))),
    };
    options.timeout = timeout;
    SqsDestination::open(options).unwrap()
}

const LONG: Duration = Duration::from_secs(20);

/// Takes all entries but those whose bodies fail by this function.
fn taken(body: &Value, failed: impl Fn(&str) -> Option<(&'static str, bool)>) -> Answer {
    let (mut successful, mut refused) = (Vec::new(), Vec::new());
    for entry in body["Entries"].as_array().unwrap() {
        match failed(entry["MessageBody"].as_str().unwrap()) {
            None => successful.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0" })),
            Some((code, sender)) => refused.push(json!({ "Id": entry["Id"], "Code": code, "SenderFault": sender })),
        }
    }
    Some((200, json!({ "Successful": successful, "Failed": refused })))
}

/// Sends `count` deliveries of one conversation each at once.
async fn send(destination: &SqsDestination, count: usize) -> Vec<Result<Receipt, SendError>> {
    join_all((0..count).map(|n| destination.send(delivery(&format!("{n}"), Some("c"), format!("{{\"n\":{n}}}"))))).await
}

#[tokio::test]
async fn ten_share_a_request_and_a_failure_is_that_of_its_message_alone() {
    let fake = Fake::start(|_, operation, body| {
        assert_eq!(operation, "SendMessageBatch");
        taken(body, |text| match text {
            "{\"n\":3}" => Some(("InternalError", false)),
            "{\"n\":5}" => Some(("InvalidMessageContents", true)),
            "{\"n\":7}" => Some(("RequestThrottled", true)),
            _ => None,
        })
    })
    .await;
    let results = send(&open(&fake.url, "q", LONG), 25).await;
    assert_eq!(fake.sizes(), [10, 10, 5]);
    for (n, result) in results.into_iter().enumerate() {
        match (n, result) {
            (3, Err(error)) => assert_eq!(error.class, ErrorClass::Transient),
            (5, Err(error)) => assert_eq!(error.class, ErrorClass::Permanent),
            (7, Err(error)) => assert_eq!((error.class, error.status), (ErrorClass::Transient, Some(429))),
            (_, result) => assert!(!matches!(n, 3 | 5 | 7) && result.is_ok(), "{n}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_request_that_is_refused_for_one_message_is_halved_until_that_is_alone() {
    let fake = Fake::start(|_, _, body| {
        let entries = body["Entries"].as_array().unwrap();
        match entries.iter().any(|entry| entry["MessageBody"] == "{\"n\":4}") {
            true => refused("InvalidParameterValue"),
            false => taken(body, |_| None),
        }
    })
    .await;
    let results = send(&open(&fake.url, "q", LONG), 10).await;
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), n != 4, "{n}");
        if let Err(error) = result {
            assert_eq!(error.class, ErrorClass::Permanent);
        }
    }
}

#[tokio::test]
async fn no_event_dies_of_credentials_rights_load_or_a_missing_queue() {
    let cases = [
        ("AccessDenied", "docs/aws-services.md"),
        ("ExpiredToken", "renew the credentials"),
        ("InvalidClientTokenId", "renew the credentials"),
        ("QueueDoesNotExist", "mend its name and the region"),
        ("ThrottlingException", "ThrottlingException"),
        ("KmsDisabled", "renew the credentials"),
        ("SomethingNew", "SomethingNew"),
    ];
    for (code, said) in cases {
        let fake = Fake::start(move |_, _, _| refused(code)).await;
        for result in send(&open(&fake.url, "q", LONG), 2).await {
            let error = result.unwrap_err();
            assert_eq!(error.class, ErrorClass::Transient, "{code}");
            assert!(error.message.contains(said), "{code}: {error}");
            assert_eq!(error.status, (code == "ThrottlingException").then_some(429));
        }
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_said_and_come_back() {
    let fake = Fake::start(|_, _, body| taken(body, |_| None)).await;
    let there = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&there);
    let secret = Secret::from_fn(move || match asked.load(std::sync::atomic::Ordering::SeqCst) {
        true => Ok(Arc::from("key")),
        false => Err(crate::SecretError("cannot read the secret file".to_owned())),
    });
    let mut options = Options::new(format!("{}/1/q", fake.url));
    options.access.region = Some("eu-central-1".to_owned());
    options.access.key = Some((Secret::fixed("id"), secret));
    let destination = SqsDestination::open(options).unwrap();
    let error = destination.send(delivery("a", None, "{}")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("no credentials"), "{error}");
    there.store(true, std::sync::atomic::Ordering::SeqCst);
    destination.send(delivery("a", None, "{}")).await.unwrap();
}

#[tokio::test]
async fn silence_nonsense_and_a_closed_port_are_transient() {
    let short = Duration::from_millis(300);
    let silent = Fake::start(|_, _, _| None).await;
    let error = open(&silent.url, "q", short).send(delivery("a", None, "{}")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("has not answered"), "{error}");
    for nonsense in [json!("?"), json!({ "Successful": [{ "Id": "77", "MessageId": "m", "MD5OfMessageBody": "0" }] })] {
        let fake = Fake::start(move |_, _, _| Some((200, nonsense.clone()))).await;
        let error = open(&fake.url, "q", LONG).send(delivery("a", None, "{}")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = open(&format!("http://{closed}"), "q", LONG).send(delivery("a", None, "{}")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn a_fifo_queue_gets_group_and_deduplication_and_a_standard_one_none() {
    let fake = Fake::start(|_, _, body| taken(body, |_| None)).await;
    for queue in ["q.fifo", "q"] {
        open(&fake.url, queue, LONG).send(delivery("a", Some("c-1"), "{}")).await.unwrap();
    }
    let requests = fake.requests.lock().unwrap();
    let entry = |n: usize| requests[n]["Entries"][0].clone();
    let id = delivery("a", None, "").event.to_string();
    assert_eq!(
        (entry(0)["MessageGroupId"].as_str(), entry(0)["MessageDeduplicationId"].as_str()),
        (Some("c-1"), Some(&*id))
    );
    assert!(entry(1).get("MessageGroupId").is_none() && entry(1).get("MessageDeduplicationId").is_none());
    assert_eq!(entry(1)["MessageAttributes"]["event_id"]["StringValue"].as_str(), Some(&*id));
    assert_eq!(entry(1)["MessageAttributes"]["topic"]["StringValue"], "v2.acw");
}

#[test]
fn a_message_that_is_too_large_says_by_how_much_and_one_that_just_fits_is_made() {
    let bare = Message::new(&delivery("a", None, "1"), true).unwrap();
    let room = BYTES_MAX - (bare.bytes() - 1);
    assert_eq!(Message::new(&delivery("a", None, "1".repeat(room)), true).unwrap().bytes(), BYTES_MAX);
    let error = Message::new(&delivery("a", None, "1".repeat(room + 1)), true).unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.message.contains("1048577 bytes and SQS takes 1048576"), "{error}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    for url in ["", "calls.fifo", "https://sqs.eu-central-1.amazonaws.com", "https://host/?a=b", "ftp://host/q"] {
        assert!(SqsDestination::check(&Options::new(url)).is_err(), "{url}");
    }
}

proptest! {
    #[test]
    fn whatever_is_in_an_event_sqs_takes_its_message(
        conversation in any::<Option<String>>(),
        topic in any::<String>(),
        text in any::<String>(),
    ) {
        let payload = serde_json::to_string(&json!({ "text": text })).unwrap();
        let mut delivery = delivery("a", conversation.as_deref(), payload);
        delivery.topic = Arc::from(topic.as_str());
        let message = Message::new(&delivery, true).unwrap();
        let takes = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(message.body.chars().all(takes));
        prop_assert_eq!(serde_json::from_str::<Value>(&message.body).unwrap(), json!({ "text": text }));
        prop_assert!(message.attributes.iter().all(|(_, text)| !text.is_empty() && text.chars().all(takes)));
        let fifo = message.fifo.unwrap();
        prop_assert!((1..=128).contains(&fifo.group.len()) && fifo.group.bytes().all(|byte| byte.is_ascii_graphic()));
    }

    #[test]
    fn different_conversations_are_different_groups(one in any::<String>(), other in any::<String>()) {
        let group = |conversation: &str| Message::new(&delivery("a", Some(conversation), "{}"), true).unwrap().fifo.unwrap().group;
        prop_assert_eq!(group(&one) == group(&other), one == other);
    }
}
