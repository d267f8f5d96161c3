//! A disk that is full while small Parquet files are merged: nothing is lost or doubled, what is delivered meanwhile is written,
//! and it is gone on with when there is room.

use std::fs;

use crate::faults::preload;
use crate::lake::catalogue;
use crate::site::{Server, Site};
use crate::waiting;

const LAKE: &str = r#"
[destinations.lake]
kind = "parquet"
url = "lake"
file_age = "100ms"
merge_files = 3
backoff = { base = "20ms", cap = "200ms" }
breaker = { pause = "500ms" }
[[routes]]
destination = "lake"
mapping = "outcome"
"#;
/// Events that come together.
const GROUP: usize = 10;

/// The names of the files that count, and how many rows they have.
fn counting(site: &Site) -> (Vec<String>, u64) {
    let files = catalogue(site);
    let mut names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    (names, files.iter().map(|file| file["rows"].as_u64().unwrap()).sum())
}

/// The names of the files that are there.
fn files(site: &Site) -> Vec<String> {
    let folders = fs::read_dir(site.path("lake")).into_iter().flatten().flatten();
    let folders = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("date="));
    let mut names: Vec<_> = folders
        .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten().map(move |file| (folder.file_name(), file)))
        .map(|(folder, file)| format!("{}/{}", folder.to_string_lossy(), file.file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".parquet"))
        .collect();
    names.sort();
    names
}

/// A group of events, which becomes a file.
fn post(site: &Site, server: &Server, group: usize, time: u128) {
    let event =
        |number| format!(r#"{{"webhookEventId":"e-{number}","conversationId":"c-{number}","eventTime":{time}}}"#);
    let events: Vec<_> = (group * GROUP..(group + 1) * GROUP).map(event).collect();
    assert_eq!(server.post(format!("[{}]", events.join(","))).counts(), (GROUP as u64, 0));
    server.until_settled("lake");
    let rows = ((group + 1) * GROUP) as u64;
    waiting::until_so("the group is written", || counting(site).1 == rows);
}

/// Runs with no room for files whose path has this in it.
fn survives(path: &str) {
    const GROUPS: usize = 5;
    // One time for all, so that there is one folder; of today, so that it is looked at when the server starts.
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let site = Site::new(LAKE);
    let (full, struck) = (site.path("full"), site.path("struck"));
    fs::write(&full, "").unwrap();
    let mut serve = site.serve();
    preload(&mut serve, "write:1:ENOSPC:*")
        .env("AFTERCALL_FAULT_PATH", path)
        .env("AFTERCALL_FAULT_WHILE", &full)
        .env("AFTERCALL_FAULT_STRUCK", &struck);
    let server = site.try_start(&mut serve).unwrap_or_else(|log| panic!("{path}: {log}"));
    for group in 0..GROUPS {
        post(&site, &server, group, time);
    }
    waiting::until_so(&format!("{path}: that nothing is merged is told"), || {
        struck.exists() && server.status().to_string().contains("small files are not merged")
    });
    let (names, rows) = counting(&site);
    assert_eq!((names.len(), rows), (GROUPS, (GROUPS * GROUP) as u64), "{path}: all is as it was");
    assert!(names.iter().all(|name| files(&site).contains(name)), "{path}: and there");
    server.kill();
    fs::remove_file(&full).unwrap();

    let server = site.start();
    waiting::until_so(&format!("{path}: it is merged now, and all that was begun is over"), || {
        let (names, _) = counting(&site);
        names.len() == 1 && files(&site) == names && !site.path("data/parquet/lake/replacing").exists()
    });
    assert_eq!(counting(&site).1, (GROUPS * GROUP) as u64, "{path}");
    post(&site, &server, GROUPS, time);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn no_room_for_the_note_of_a_merge_costs_nothing_but_time() {
    survives("/replacing");
}

#[test]
fn no_room_for_a_merged_file_costs_nothing_but_time() {
    // Merged files, and their entries, have it in their names.
    survives("-m1");
}
