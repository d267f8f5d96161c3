//! Entries, and requests against a strict fake of the service.

use std::sync::Arc;
use std::time::Duration;

use event::EventId;
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::entry::Entry;
use super::options::BYTES_MAX;
use super::*;
use crate::fake_aws::{Answer, Fake, refused};
use crate::{AwsAccess, Destination, ErrorClass, OutgoingDelivery, Secret};

fn delivery(id: &str, payload: impl Into<bytes::Bytes>) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [id.as_bytes()]),
        source: "calls".into(),
        topic: "v2.acw".into(),
        conversation: Some("c-1".into()),
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.into(),
        replayed: false,
        trace: None,
    }
}

fn open(url: &str) -> EventBridgeDestination {
    let access = AwsAccess {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(url.to_owned()),
        key: Some((Secret::fixed("id"), Secret::fixed("key"))),
    };
    EventBridgeDestination::open(Options { access, timeout: Duration::from_secs(20), ..Options::default() }).unwrap()
}

/// Takes all entries but those whose details fail by this function.
fn taken(body: &Value, failed: impl Fn(&str) -> Option<&'static str>) -> Answer {
    let results =
        body["Entries"].as_array().unwrap().iter().map(|entry| match failed(entry["Detail"].as_str().unwrap()) {
            None => json!({ "EventId": "e" }),
            Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "as asked" }),
        });
    let results: Vec<_> = results.collect();
    Some((200, json!({ "FailedEntryCount": 0, "Entries": results })))
}

#[tokio::test]
async fn ten_share_a_request_and_a_failure_is_that_of_its_entry_alone() {
    let fake = Fake::start(|_, operation, body| {
        assert_eq!(operation, "PutEvents");
        taken(body, |detail| match detail {
            "{\"n\":3}" => Some("InternalFailure"),
            "{\"n\":5}" => Some("MalformedDetail"),
            "{\"n\":7}" => Some("ThrottlingException"),
            "{\"n\":8}" => Some("NotAuthorizedForSourceException"),
            _ => None,
        })
    })
    .await;
    let bus = open(&fake.url);
    let results = join_all((0..40).map(|n| bus.send(delivery(&format!("{n}"), format!("{{\"n\":{n}}}"))))).await;
    assert!(fake.sizes().iter().all(|size| *size <= 10) && fake.sizes().len() < 20, "{:?}", fake.sizes());
    for (n, result) in results.into_iter().enumerate() {
        let class = result.as_ref().err().map(|error| error.class.clone());
        let expected = match n {
            3 | 7 | 8 => Some(ErrorClass::Transient),
            5 => Some(ErrorClass::Permanent),
            _ => None,
        };
        assert_eq!(class, expected, "{n}");
        assert_eq!(result.err().and_then(|error| error.status), (n == 7).then_some(429));
    }
}

#[tokio::test]
async fn what_is_said_of_no_entry_is_transient_and_so_is_what_concerns_all() {
    let short = Fake::start(|_, _, _| Some((200, json!({ "FailedEntryCount": 0, "Entries": [] })))).await;
    assert_eq!(open(&short.url).send(delivery("a", "{}")).await.unwrap_err().class, ErrorClass::Transient);
    for code in ["AccessDeniedException", "ExpiredTokenException", "ResourceNotFoundException", "InternalException"] {
        let fake = Fake::start(move |_, _, _| refused(code)).await;
        let error = open(&fake.url).send(delivery("a", "{}")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{code}");
    }
    let fake = Fake::start(|_, _, _| refused("ValidationException")).await;
    assert_eq!(open(&fake.url).send(delivery("a", "{}")).await.unwrap_err().class, ErrorClass::Permanent);
}

#[test]
fn templates_make_the_entry() {
    let options = Options {
        source: "acme.{source}".to_owned(),
        detail_type: "{topic} {/kind}".to_owned(),
        time: Some("/at".to_owned()),
        resources: vec!["{event_id}".to_owned(), "conversation/{conversation}".to_owned()],
        ..Options::default()
    };
    let form = options.form().unwrap();
    let made = |payload: &'static str| Entry::new(&delivery("a", payload), &form);
    let entry = made(r#"{"kind":"voice","at":"2026-11-27T10:00:00+01:00"}"#).unwrap();
    assert_eq!((entry.source.as_str(), entry.detail_type.as_str()), ("acme.calls", "v2.acw voice"));
    assert_eq!(entry.resources, [delivery("a", "").event.to_string(), "conversation/c-1".to_owned()]);
    assert_eq!(entry.time.unwrap().secs(), 1_795_770_000);
    for (payload, said) in [
        (r#"{"kind":"voice","at":"yesterday"}"#, "RFC 3339"),
        (r#"{"at":"2026-11-27T10:00:00Z"}"#, "`detail_type`"),
        ("[1]", "no JSON object"),
    ] {
        let error = made(payload).unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.message.contains(said), "{error}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let check = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        EventBridgeDestination::check(&options).unwrap_err().to_string()
    };
    assert!(check(|options| options.source = "aws.ec2".to_owned()).contains("only AWS may use"));
    assert!(check(|options| options.detail_type = "{nothing}".to_owned()).contains("not known"));
    assert!(check(|options| options.detail_type = "{topic".to_owned()).contains("no `}`"));
    assert!(check(|options| options.bus = String::new()).contains("is empty"));
    assert!(check(|options| options.time = Some("at".to_owned())).contains("`time`"));
    assert!(check(|options| options.resources = vec![String::new(); 21]).contains("more than 20"));
}

#[test]
fn an_entry_that_is_too_large_says_by_how_much_and_one_that_just_fits_is_made() {
    let form = Options::default().form().unwrap();
    let detail = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
    let bare = Entry::new(&delivery("a", detail(0)), &form).unwrap().bytes();
    let fits = Entry::new(&delivery("a", detail(BYTES_MAX - bare)), &form).unwrap();
    assert_eq!(fits.bytes(), BYTES_MAX);
    let error = Entry::new(&delivery("a", detail(BYTES_MAX - bare + 1)), &form).unwrap_err();
    assert!(error.message.contains("1048577 bytes"), "{error}");
}

proptest! {
    #[test]
    fn an_entry_is_within_the_limits_or_is_refused_for_good(topic in any::<String>(), source in any::<String>()) {
        let form = Options { source: "{source}".to_owned(), ..Options::default() }.form().unwrap();
        let mut delivery = delivery("a", "{}");
        delivery.topic = Arc::from(topic);
        delivery.source = Arc::from(source);
        match Entry::new(&delivery, &form) {
            Ok(entry) => {
                prop_assert!((1..=256).contains(&entry.source.chars().count()) && !entry.source.starts_with("aws."));
                prop_assert!((1..=128).contains(&entry.detail_type.chars().count()));
            }
            Err(error) => prop_assert_eq!(error.class, ErrorClass::Permanent),
        }
    }
}
