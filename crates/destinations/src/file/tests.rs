//! Lines in a file: whole, synced, and none torn.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use event::EventId;
use proptest::prelude::*;
use serde_json::Value;

use super::compact::push_line;
use super::writer::Writer;
use super::*;
use crate::{Destination, ErrorClass, OpenError, OutgoingDelivery, SendError};

fn delivery(payload: impl Into<String>) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [b"one".as_slice()]),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: None,
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.into().into(),
        replayed: false,
        trace: None,
    }
}

async fn send(file: &FileDestination, payload: &str) -> Result<(), SendError> {
    file.send(delivery(payload)).await.map(|_| ())
}

#[tokio::test]
async fn each_delivery_is_one_line_of_compact_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    let file = FileDestination::open(Options::new(&path)).unwrap();
    send(&file, "{\n  \"a b\": [1.50, \"x \\\" y\\\\\"]\r\n}").await.unwrap();
    send(&file, "2").await.unwrap();
    let refused = send(&file, "{\"a\":").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a b\":[1.50,\"x \\\" y\\\\\"]}\n2\n");
}

#[tokio::test]
async fn concurrent_deliveries_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path().join("out.ndjson"));
    let syncs = Arc::new(AtomicUsize::new(0));
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let opened = std::sync::Mutex::new(opened);
    let counted = syncs.clone();
    let writer = Writer::open(
        &options.path,
        Arc::new(move |file| {
            // The first sync takes until all others wait behind it.
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                opened.lock().unwrap().recv().unwrap();
            }
            file.sync_data()
        }),
    )
    .unwrap();
    let file = FileDestination::start(writer, options.clone()).unwrap();
    let mut sends = futures::stream::FuturesUnordered::new();
    for i in 0..500 {
        sends.push(file.send(delivery(i.to_string())));
    }
    use futures::StreamExt;
    assert!(futures::poll!(sends.next()).is_pending(), "nothing is done before it is synced");
    gate.send(()).unwrap();
    while let Some(done) = sends.next().await {
        done.unwrap();
    }
    assert!(syncs.load(Ordering::SeqCst) < 50, "{} syncs for 500 lines", syncs.load(Ordering::SeqCst));
    let mut lines: Vec<u32> = fs::read_to_string(&options.path).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    let torn = "x".repeat(200_000);
    for (before, after) in [("{\"a\":1}\n{\"b\":", "{\"a\":1}\n3\n"), (torn.as_str(), "3\n"), ("1\n", "1\n3\n")] {
        fs::write(&path, before).unwrap();
        let file = FileDestination::open(Options::new(&path)).unwrap();
        send(&file, "3").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
        drop(file);
        wait_until_unlocked(&path);
    }
}

/// The writer's thread lets the file go a moment after the last sender is dropped.
fn wait_until_unlocked(path: &std::path::Path) {
    fs::File::open(path).unwrap().lock().unwrap();
}

#[tokio::test]
async fn a_failed_sync_is_transient_and_its_lines_are_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path().join("out.ndjson"));
    let full = Arc::new(AtomicBool::new(false));
    let broken = full.clone();
    let writer = Writer::open(
        &options.path,
        Arc::new(move |_| match broken.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }),
    )
    .unwrap();
    let file = FileDestination::start(writer, options.clone()).unwrap();
    send(&file, "1").await.unwrap();
    full.store(true, Ordering::SeqCst);
    let error = send(&file, "2").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("no room") && error.message.contains("out.ndjson"), "{error}");
    full.store(false, Ordering::SeqCst);
    send(&file, "2").await.unwrap();
    assert_eq!(fs::read_to_string(&options.path).unwrap(), "1\n2\n", "no line of the failed write is left");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_when_opened() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing/out.ndjson");
    let error = FileDestination::open(Options::new(&missing)).map(|_| ()).unwrap_err();
    assert!(matches!(&error, OpenError::NoDirectory { path } if path.ends_with("missing")), "{error}");
    assert!(matches!(FileDestination::open(Options::new(dir.path())), Err(OpenError::File { .. })));

    let path = dir.path().join("out.ndjson");
    let _first = FileDestination::open(Options::new(&path)).unwrap();
    assert!(matches!(FileDestination::open(Options::new(&path)), Err(OpenError::InUse { .. })));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_becomes_one_equal_line(value in json()) {
        let mut line = Vec::new();
        push_line(&mut line, serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        prop_assert_eq!(line, format!("{value}\n").into_bytes());
    }

    #[test]
    fn any_bytes_are_a_line_or_refused(bytes in any::<Vec<u8>>()) {
        let mut line = Vec::new();
        let made = push_line(&mut line, &bytes);
        prop_assert_eq!(made.is_err(), line.is_empty());
    }
}
