//! Objects in a real directory.

use std::sync::Arc;

use event::EventId;
use proptest::prelude::*;

use super::key::Template;
use super::*;
use storage::Location;

use crate::{Destination, Erasure, ErrorClass, OpenError, OutgoingDelivery};

pub(super) fn delivery(id: &str, conversation: Option<&str>, payload: &str) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [id.as_bytes()]),
        source: "calls".into(),
        topic: "v2.acw".into(),
        conversation: conversation.map(Arc::from),
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.to_owned().into(),
        replayed: false,
        trace: None,
    }
}

fn open(dir: &std::path::Path) -> ObjectsDestination {
    ObjectsDestination::open(&Options::new(Location::Directory(dir.to_owned()))).unwrap()
}

#[tokio::test]
async fn each_delivery_is_an_object_and_a_repetition_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    let one = delivery("one", Some("c-1"), "{\"a\":1}");
    let path = dir.path().join(format!("outcomes/c-1/{}.json", one.event));
    for _ in 0..2 {
        objects.send(one.clone()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}");
    }
    objects.send(delivery("two", None, "2")).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("outcomes/~none")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_object_with_another_content_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    objects.send(delivery("one", Some("c"), "{\"a\":1}")).await.unwrap();
    for other in ["{\"a\":2}", "{}"] {
        let error = objects.send(delivery("one", Some("c"), other)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.message.contains("another content") && error.message.contains("remove it"), "{error}");
    }
    let path = dir.path().join(format!("outcomes/c/{}.json", delivery("one", None, "").event));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_transient_and_a_key_that_cannot_be_is_permanent() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    std::fs::write(dir.path().join("outcomes"), "in the way").unwrap();
    let error = objects.send(delivery("one", Some("c"), "1")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    std::fs::remove_file(dir.path().join("outcomes")).unwrap();
    objects.send(delivery("one", Some("c"), "1")).await.unwrap();
    let error = objects.send(delivery("one", Some(&"x".repeat(300)), "1")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.message.contains("255 bytes"), "{error}");
}

#[tokio::test]
async fn the_objects_of_a_conversation_are_deleted_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    for (id, conversation) in [("one", "gone"), ("two", "gone"), ("three", "gone-too"), ("four", "stays")] {
        objects.send(delivery(id, Some(conversation), "{}")).await.unwrap();
    }
    let erasure = |dry_run| Erasure { conversation: "gone".to_owned(), dry_run, cursor: None };
    let counted = objects.erase(erasure(true)).await.unwrap().unwrap();
    assert_eq!((counted.rows, counted.bytes, counted.next.is_none()), (2, 4, true));
    assert!(dir.path().join("outcomes/gone").read_dir().unwrap().count() == 2, "only counted");
    assert_eq!(objects.erase(erasure(false)).await.unwrap().unwrap(), counted);
    assert_eq!(objects.erase(erasure(false)).await.unwrap().unwrap().rows, 0);
    assert_eq!(dir.path().join("outcomes/gone").read_dir().unwrap().count(), 0);
    for stays in ["gone-too", "stays"] {
        assert_eq!(dir.path().join("outcomes").join(stays).read_dir().unwrap().count(), 1);
    }
}

#[test]
fn a_template_that_makes_no_sense_is_refused() {
    let cases = [
        ("{conversation_id}.json", "no {event_id}"),
        ("{event_id}/{name}", "`{name}`, which is not known"),
        ("{event_id", "has no `}`"),
        ("../{event_id}", "write folders and a name"),
        ("a//{event_id}", "write folders and a name"),
        ("/{event_id}", "begins or ends with a slash"),
        ("{event_id}/", "begins or ends with a slash"),
    ];
    for (template, said) in cases {
        let error = Template::parse(template).unwrap_err();
        assert!(
            matches!(&error, OpenError::Option { key: "object", .. }) && error.to_string().contains(said),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn no_value_leads_out_of_its_folder_and_different_values_have_different_keys(
        one in any::<String>(),
        other in "[./~a%]{0,4}",
        topic in "[./\\\\\u{0}-\u{20}%é]{0,6}",
    ) {
        let template = Template::parse("root/{conversation_id}/{topic}/{source}-{event_id}.json").unwrap();
        let key = |conversation: &str| {
            let mut delivery = delivery("one", Some(conversation), "");
            delivery.topic = Arc::from(topic.as_str());
            template.key(&delivery).map(|key| key.to_string())
        };
        for value in [&one, &other] {
            if let Ok(key) = key(value) {
                let parts: Vec<_> = key.split('/').collect();
                prop_assert_eq!(parts.len(), 4);
                prop_assert_eq!(parts[0], "root");
                prop_assert!(parts.iter().all(|part| !part.is_empty() && *part != "." && *part != ".."));
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
            }
        }
        if let (Ok(first), Ok(second)) = (key(&one), key(&other)) {
            prop_assert_eq!(first == second, one == other);
        }
    }
}
