//! Parquet files and objects of the real program, which is killed meanwhile. What is in the files is read by DuckDB and
//! pyarrow in `cargo xtask test`; here by the catalogue, and by what can be counted.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

const LAKE: &str = r#"
[destinations.lake]
kind = "parquet"
url = "lake"
partition = "hour"
file_bytes = "64KiB"
file_age = "200ms"
merge_files = 4
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

/// The day on which the tests began: after a restart small files are looked for in the folders of the last days.
static TODAY: LazyLock<String> = LazyLock::new(|| jiff::Timestamp::now().strftime("%F").to_string());

fn event(number: usize) -> String {
    format!(
        r#"{{"webhookEventId":"e-{number}","conversationId":"c-{}","timestamp":"{}T{:02}:00:00Z","data":{{"sentiment":{{"overall":{}}},"intents":["i-{}"]}}}}"#,
        number % 97,
        *TODAY,
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

/// Files of the catalogue that no other replaces.
pub(crate) fn catalogue(site: &Site) -> Vec<Value> {
    let entries = fs::read_dir(site.path("lake/_catalogue")).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
    let entries = entries.map(|entry| serde_json::from_slice::<Value>(&fs::read(entry.path()).unwrap()).unwrap());
    let (mut files, mut gone) = (Vec::new(), Vec::new());
    for entry in entries {
        files.extend(entry["files"].as_array().unwrap().clone());
        gone.extend(entry["replaces"].as_array().into_iter().flatten().cloned());
    }
    files.retain(|file| !gone.contains(&file["name"]));
    files
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
    waiting::until_so("there is no file but those of the catalogue, which are few", || {
        let files = catalogue(&site).len();
        count(&site.path("lake"), ".parquet") == files
            && files < 3 * 4
            && !site.path("data/parquet/lake/replacing").exists()
    });
    assert_eq!(rows(&site), EVENTS as u64, "also when they are merged");
    let files = catalogue(&site);
    for file in &files {
        let data = fs::read(site.path("lake").join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], data.len());
        assert!(data.starts_with(b"PAR1") && data.ends_with(b"PAR1"));
    }
    let hours: std::collections::BTreeSet<_> = files.iter().map(|file| file["partition"].as_str().unwrap()).collect();
    let wanted = ["08", "09", "10"].map(|hour| format!("date={}/hour={hour}", *TODAY));
    assert_eq!(hours.into_iter().collect::<Vec<_>>(), wanted);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_lake_that_cannot_be_written_lets_deliveries_wait_and_a_bad_payload_dies_alone() {
    // The mapping gives what is no outcome for one event.
    let mapping = "mapping = 'if .webhookEventId == \"e-7\" then outcome | .keywords = \"k\" else outcome end'";
    let site = Site::new(&LAKE.replace("mapping = \"outcome\"", mapping));
    fs::create_dir_all(site.path("lake")).unwrap();
    let in_the_way = site.path(&format!("lake/date={}", *TODAY));
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
    assert!(text.contains("COPY staged FROM"), "{text}");
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

fn erase(site: &Site, server: &Server, rest: &[&str], code: i32) -> Value {
    let console = server.console.to_string();
    let args = ["erase", "--conversation", "c-1", "--reason", "ticket 12", "--json", "--console", &console];
    let output = site.run(&[&args[..], rest].concat());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_erased_conversation_is_in_no_file_no_object_and_no_journal() {
    const EVENTS: usize = 300;
    let site = Site::new(&format!("{LAKE}{OBJECTS}"));
    let server = site.start();
    assert_eq!(post(&server, 0..EVENTS), (EVENTS as u64, 0));
    server.until_settled("lake");
    server.until_settled("records");
    until_written(&site);
    // One that is taken over and in no file yet.
    assert_eq!(server.stop(), Some(0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("\"200ms\"\nmerge", "\"1h\"\nmerge")).unwrap();
    let server = site.start();
    let late = format!(r#"{{"webhookEventId":"late","conversationId":"c-1","timestamp":"{}T08:00:00Z"}}"#, *TODAY);
    assert_eq!(server.post(late).counts(), (1, 0));
    server.until_settled("lake");
    server.until_settled("records");
    let of_one = (0..EVENTS).filter(|number| number % 97 == 1).count() as u64;
    let counted = erase(&site, &server, &["--dry-run"], 0)["destinations"].clone();
    let part = |erased: &Value, name: &str| {
        let parts = erased.as_array().unwrap();
        let part = parts.iter().find(|part| part["destination"] == name).unwrap().clone();
        (part["rows"].as_u64().unwrap(), part["waiting"].as_u64().unwrap())
    };
    assert_eq!((part(&counted, "lake"), part(&counted, "records")), ((of_one, 1), (of_one + 1, 0)), "{counted}");
    assert_eq!(rows(&site), EVENTS as u64, "only counted");
    let erased = erase(&site, &server, &["--yes"], 0)["destinations"].clone();
    assert_eq!((part(&erased, "lake"), part(&erased, "records")), (part(&counted, "lake"), part(&counted, "records")));
    assert_eq!(rows(&site), EVENTS as u64 - of_one);
    assert_eq!(count(&site.path("records/outcomes/c-1"), ".json"), 0);
    assert_eq!(count(&site.path("records"), ".json"), EVENTS - of_one as usize);
    let again = erase(&site, &server, &["--yes"], 0)["destinations"].clone();
    assert_eq!((part(&again, "lake"), part(&again, "records")), ((0, 0), (0, 0)), "{again}");
    // Nothing of it comes back.
    replay(&site, &server, "lake");
    assert_eq!(server.stop(), Some(0));
    fs::write(site.path("aftercall.toml"), config).unwrap();
    let server = site.start();
    until_written(&site);
    assert_eq!(rows(&site), EVENTS as u64 - of_one);
    drop(server);
}

#[test]
fn what_a_destination_has_left_that_was_removed_is_said_until_it_is_written() {
    let site = Site::new(&format!("{TO_FILE}{}", LAKE.replace("\"200ms\"\nmerge", "\"1h\"\nmerge")));
    let server = site.start();
    assert_eq!(post(&server, 0..10), (10, 0));
    server.until_settled("lake");
    let keeps = |server: &Server| {
        let status = server.status();
        let mut destinations = status["destinations"].as_array().unwrap().iter();
        destinations.find(|destination| destination["name"] == "lake").unwrap()["keeps"]["rows"].clone()
    };
    assert_eq!((keeps(&server), server.status()["left"].as_array().map(Vec::len)), (10.into(), Some(0)));
    let with = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let without = with.split("[destinations.lake]").next().unwrap().to_owned();
    fs::write(site.path("aftercall.toml"), &without).unwrap();
    let output = site.run(&["reload", "--console", &server.console.to_string()]);
    assert!(output.status.success(), "{output:?}");
    let left = server.status()["left"][0].clone();
    assert_eq!((&left["destination"], &left["rows"]), (&"lake".into(), &10.into()), "{left}");
    assert_eq!(server.stop(), Some(0));
    let server = site.start();
    assert!(site.logs().contains("no longer configured has taken over deliveries"), "{}", site.logs());
    let said = site.run(&["status", "--console", &server.console.to_string()]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("lake: NOT CONFIGURED, and 10 deliveries"), "{said}");
    assert_eq!(server.stop(), Some(0));
    fs::write(site.path("aftercall.toml"), with.replace("\"1h\"\nmerge", "\"200ms\"\nmerge")).unwrap();
    let server = site.start();
    until_written(&site);
    assert_eq!((rows(&site), server.status()["left"].as_array().map(Vec::len)), (10, Some(0)));
    assert_eq!(server.stop(), Some(0));
}
