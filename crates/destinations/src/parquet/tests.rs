//! Files in a real directory, from a real journal.

mod erasing;
mod failing;
mod files;
mod held;
mod journal;
mod merging;
mod rows;

use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use bytes::Bytes;
use event::{Event, EventId, Outcome, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::frame::Record;
use super::journal::{Journal, Refused};
use super::{Options, ParquetDestination};
use crate::{Destination, OutgoingDelivery, SendError};
use storage::Location;

/// No state takes longer to come about, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome of an event with this body.
fn outcome(id: EventId, body: &str) -> String {
    outcome_of(id, "c-1", body)
}

fn outcome_of(id: EventId, conversation: &str, body: &str) -> String {
    Outcome::of(&event(id, conversation, body)).to_json()
}

fn event(id: EventId, conversation: &str, body: &str) -> Event {
    Event {
        id,
        source: "calls".into(),
        topic: "acw".into(),
        conversation: Some(conversation.into()),
        received: Timestamp::from_millis(1_777_887_082_415),
        conflict_of: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn id(number: usize) -> EventId {
    EventId::from_identity("test", [number.to_be_bytes().as_slice()])
}

fn delivery(number: usize, time: &str) -> OutgoingDelivery {
    let body = format!(r#"{{"timestamp":"{time}","data":{{"keywords":["k-{number}"]}}}}"#);
    OutgoingDelivery {
        event: id(number),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: None,
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: outcome(id(number), &body).into(),
        replayed: false,
        trace: None,
    }
}

/// Appends those whose events have no row yet; of each, whether it is one.
fn append(journal: &mut Journal, records: &[Record<'_>], now: i64) -> Result<Vec<bool>, Refused> {
    let is_new: Vec<_> = records.iter().map(|record| journal.is_new(record.event)).collect();
    let new = records.iter().zip(&is_new).filter(|(_, is_new)| **is_new);
    let new: Vec<_> = new.map(|(record, _)| *record).collect();
    journal.append(&new, now).map(|()| is_new)
}

/// With files that are written at once, and none that is merged.
fn options(dir: &Path) -> Options {
    let mut options = Options::new(Location::Directory(dir.join("lake")), dir.join("journal"));
    options.file_age = Duration::from_millis(1);
    options.merge_files = 0;
    options
}

async fn send(lake: &ParquetDestination, delivery: OutgoingDelivery) -> Result<(), SendError> {
    lake.send(delivery).await.map(drop)
}

/// Every file below a directory whose name ends so, sorted.
fn files(dir: &Path, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(data: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(data).unwrap().build().unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

/// The ids of all rows in all files.
fn rows(dir: &Path) -> Vec<String> {
    let mut ids: Vec<_> = files(dir, ".parquet").iter().flat_map(|file| ids_of(Path::new(file))).collect();
    ids.sort();
    ids
}

/// The ids of all rows in the files that the catalogue says count.
fn catalogued(dir: &Path) -> Vec<String> {
    let (mut names, mut gone) = (Vec::new(), Vec::new());
    for entry in files(&dir.join("_catalogue"), ".json") {
        let entry: serde_json::Value = serde_json::from_slice(&std::fs::read(entry).unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        names.extend(entry["files"].as_array().unwrap().iter().map(|file| text(&file["name"])));
        gone.extend(entry["replaces"].as_array().into_iter().flatten().map(text));
    }
    names.retain(|name| !gone.contains(name));
    let mut ids: Vec<_> = names.iter().flat_map(|name| ids_of(&dir.join(name))).collect();
    ids.sort();
    ids
}

fn ids_of(file: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    // A file may be replaced by itself while it is read, but never be half.
    for batch in read(std::fs::read(file).unwrap().into()) {
        let column = arrow_array::cast::as_string_array(batch.column_by_name("event_id").unwrap()).clone();
        ids.extend(column.iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}

#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until nothing is in the journal that is not in the lake.
fn until_written(dir: &Path) {
    until("all is written", || {
        files(&dir.join("journal"), ".open").is_empty() && files(&dir.join("journal"), ".rows").is_empty()
    });
}

/// Waits until nobody has the journal open.
fn until_unlocked(dir: &Path) {
    until("the journal is unlocked", || {
        std::fs::File::open(dir.join("journal/lock")).is_ok_and(|lock| lock.try_lock().is_ok())
    });
}

/// Opens it again, when the threads of the one before are gone.
fn reopen(options: &Options) -> ParquetDestination {
    let mut opened = None;
    until("the journal is unlocked", || {
        opened = ParquetDestination::open(options).ok();
        opened.is_some()
    });
    opened.unwrap()
}
