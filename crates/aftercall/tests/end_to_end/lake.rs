//! Parquet files and objects of the real program, which is killed meanwhile. What is in the files is read by DuckDB and
//! pyarrow in `cargo xtask test`; here by the catalogue, and by what can be counted.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::site::{Server, Site};
use crate::waiting;

const LAKE: &str = r#"
[destinations.lake]
kind = "parquet"
url = "lake"
partition = "hour"
file_bytes = "64KiB"
file_age = "200ms"
backoff = { base = "20ms", cap = "200ms" }
breaker = { pause = "500ms" }
[[routes]]
destination = "lake"
mapping = "outcome"
"#;
const OBJECTS: &str = r#"
[destinations.records]
kind = "objects"
url = "records"
backoff = { base = "20ms", cap = "200ms" }
breaker = { pause = "500ms" }
[[routes]]
destination = "records"
mapping = "outcome"
"#;

fn event(number: usize) -> String {
    format!(
        r#"{{"webhookEventId":"e-{number}","conversationId":"c-{}","timestamp":"2026-11-27T{:02}:00:00Z","data":{{"sentiment":{{"overall":{}}},"intents":["i-{}"]}}}}"#,
        number % 97,
        number % 3 + 8,
        number as i64 % 201 - 100,
        number % 7,
    )
}

/// Publishes events, as one body.
fn post(server: &Server, numbers: std::ops::Range<usize>) -> (u64, u64) {
    let events: Vec<_> = numbers.map(event).collect();
    server.post(format!("[{}]", events.join(","))).counts()
}

/// Files of the catalogue.
fn catalogue(site: &Site) -> Vec<Value> {
    let entries = fs::read_dir(site.path("lake/_catalogue")).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
    let files = entries.map(|entry| serde_json::from_slice::<Value>(&fs::read(entry.path()).unwrap()).unwrap());
    files.flat_map(|entry| entry["files"].as_array().unwrap().clone()).collect()
}

fn rows(site: &Site) -> u64 {
    catalogue(site).iter().map(|file| file["rows"].as_u64().unwrap()).sum()
}

/// Files below a folder, by their names.
fn count(folder: &Path, end: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                count(&entry.path(), end)
            } else {
                usize::from(entry.path().to_str().unwrap().ends_with(end))
            }
        })
        .sum()
}

/// Waits until nothing is in the journal that is not in the lake.
fn until_written(site: &Site) {
    let journal = site.path("data/parquet/lake");
    waiting::until_so("the journal is written", || count(&journal, ".open") + count(&journal, ".rows") == 0);
}

fn replay(site: &Site, server: &Server, destination: &str) {
    let console = server.console.to_string();
    let all = ["replay", "--destination", destination, "--from", "2020-01-01", "--to", "2100-01-01", "--yes"];
    let output = site.run(&[&all[..], &["--console", &console]].concat());
    assert!(output.status.success(), "{output:?}");
    server.until_settled(destination);
}

#[test]
fn every_outcome_is_one_row_although_the_server_is_killed_and_all_is_replayed() {
    const EVENTS: usize = 5_000;
    const BODY: usize = 250;
    let site = Site::new(LAKE);
    let mut server = site.start();
    for (batch, from) in (0..EVENTS).step_by(BODY).enumerate() {
        assert_eq!(post(&server, from..from + BODY), (BODY as u64, 0));
        if batch % 4 == 3 {
            // Somewhere between the journal, the settlement, the upload and the drop.
            server.kill();
            server = site.start();
            assert_eq!(post(&server, from..from + BODY), (0, BODY as u64), "published again");
        }
    }
    server.until_settled("lake");
    until_written(&site);
    assert_eq!((rows(&site), server.count("dead_letters")), (EVENTS as u64, 0));
    replay(&site, &server, "lake");
    until_written(&site);
    assert_eq!((rows(&site), server.count("replayed")), (EVENTS as u64, EVENTS as u64));
    let files = catalogue(&site);
    assert_eq!(count(&site.path("lake"), ".parquet"), files.len(), "no file but those of the catalogue");
    for file in &files {
        let data = fs::read(site.path("lake").join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], data.len());
        assert!(data.starts_with(b"PAR1") && data.ends_with(b"PAR1"));
    }
    let hours: std::collections::BTreeSet<_> = files.iter().map(|file| file["partition"].as_str().unwrap()).collect();
    let wanted = ["date=2026-11-27/hour=08", "date=2026-11-27/hour=09", "date=2026-11-27/hour=10"];
    assert_eq!(hours.into_iter().collect::<Vec<_>>(), wanted);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_lake_that_cannot_be_written_lets_deliveries_wait_and_a_bad_payload_dies_alone() {
    // The mapping gives what is no outcome for one event.
    let mapping = "mapping = 'if .webhookEventId == \"e-7\" then outcome | .keywords = \"k\" else outcome end'";
    let site = Site::new(&LAKE.replace("mapping = \"outcome\"", mapping));
    fs::create_dir_all(site.path("lake")).unwrap();
    let in_the_way = site.path("lake/date=2026-11-27");
    fs::write(&in_the_way, "in the way").unwrap();
    let server = site.start();
    assert_eq!(post(&server, 0..50), (50, 0));
    waiting::until_so("the first deliveries are in the journal", || count(&site.path("data/parquet/lake"), "s") > 0);
    let mut next = 50;
    waiting::until_so("deliveries wait", || {
        post(&server, next..next + 1);
        next += 1;
        server.consumer("lake")["unsettled"].as_u64().unwrap() > 0
            && server.status().to_string().contains("cannot write to")
    });
    fs::remove_file(&in_the_way).unwrap();
    server.until_settled("lake");
    until_written(&site);
    assert_eq!((rows(&site), server.count("dead_letters")), (next as u64 - 1, 1));
    let console = server.console.to_string();
    let letters = site.run(&["dead-letters", "list", "--json", "--console", &console]);
    let letters = String::from_utf8_lossy(&letters.stdout).into_owned();
    assert!(letters.contains("`/keywords`") && letters.contains("expected a list"), "{letters}");
}

#[test]
fn a_reload_leaves_the_journal_alone() {
    let site = Site::new(LAKE);
    let server = site.start();
    assert_eq!(post(&server, 0..10), (10, 0));
    server.until_settled("lake");
    let path = site.path("aftercall.toml");
    let reload = |text: &str| {
        fs::write(&path, text).unwrap();
        let output = site.run(&["reload", "--console", &server.console.to_string()]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = fs::read_to_string(&path).unwrap();
    let (is_done, said) = reload(&text.replace("partition = \"hour\"", "partition = \"hour\"\nconcurrency = 7"));
    assert!(is_done, "{said}");
    assert_eq!(post(&server, 10..20), (10, 0));
    server.until_settled("lake");
    let (is_done, said) = reload(&text.replace("\"hour\"", "\"day\""));
    assert!(!is_done && said.contains("destinations.lake"), "{said}");
    until_written(&site);
    assert_eq!(rows(&site), 20);
}

#[test]
fn the_statements_for_a_warehouse_are_printed() {
    let site = Site::new(&format!("{LAKE}{OBJECTS}"));
    let ddl = |name: &str| site.run(&["warehouse", "ddl", "--config", "aftercall.toml", "--destination", name]);
    let output = ddl("lake");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("CREATE EXTERNAL TABLE `outcomes`") && text.contains("`hour` string"), "{text}");
    assert!(text.contains("COPY \"outcomes\""), "{text}");
    let refused = ddl("records");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("not of kind"));
}

#[test]
fn every_outcome_is_one_object_although_the_server_is_killed_and_all_is_replayed() {
    const EVENTS: usize = 300;
    let site = Site::new(OBJECTS);
    let mut server = site.start();
    for from in (0..EVENTS).step_by(100) {
        assert_eq!(post(&server, from..from + 100), (100, 0));
        waiting::until_so("some objects are there", || count(&site.path("records"), ".json") > from);
        server.kill();
        server = site.start();
    }
    server.until_settled("records");
    replay(&site, &server, "records");
    assert_eq!((count(&site.path("records"), ".json"), server.count("dead_letters")), (EVENTS, 0));
    let folder = site.path("records/outcomes/c-1");
    let object = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let object: Value = serde_json::from_slice(&fs::read(object).unwrap()).unwrap();
    assert_eq!((&object["conversation_id"], &object["schema"]), (&"c-1".into(), &1.into()));

    // A name that would lead out of the folder.
    let outside = r#"{"webhookEventId":"x","conversationId":"../../x"}"#;
    assert_eq!(server.post(outside).counts(), (1, 0));
    server.until_settled("records");
    assert!(site.path("records/outcomes/..%2F..%2Fx").is_dir() && !site.path("x").exists());
}
