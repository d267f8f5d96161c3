//! Small files become one, and no row is lost or doubled wherever it stops.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::super::{Options, ParquetDestination};
use super::failing::Failing;
use super::{catalogued, delivery, files, id, options, reopen, rows, send, until, until_unlocked, until_written};
use crate::{Destination as _, Erasure};

/// Of the day on which the tests began: only folders of the last days are looked at when a lake is opened.
fn at_nine() -> String {
    static TODAY: LazyLock<String> = LazyLock::new(|| jiff::Timestamp::now().strftime("%F").to_string());
    format!("{}T09:00:00Z", *TODAY)
}

/// So many files are there to be merged.
const FILES: usize = 4;

fn ids(numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids: Vec<_> = numbers.map(|number| id(number).to_string()).collect();
    ids.sort();
    ids
}

/// Merges as soon as two files are there.
fn merging(dir: &Path) -> Options {
    let mut options = options(dir);
    options.merge_files = 2;
    options
}

/// A lake of so many files with a row each.
async fn filled(dir: &Path) {
    let lake = reopen(&options(dir));
    for number in 0..FILES {
        send(&lake, delivery(number, &at_nine())).await.unwrap();
        until_written(dir);
    }
    drop(lake);
    until_unlocked(dir);
    assert_eq!(files(&dir.join("lake"), ".parquet").len(), FILES);
}

fn until_merged(dir: &Path) {
    until("there is one file, and no note", || {
        files(&dir.join("lake"), ".parquet").len() == 1 && !dir.join("journal/replacing").exists()
    });
}

#[tokio::test]
async fn small_files_become_one_and_the_catalogue_says_what_it_replaces() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let before = files(&dir.path().join("lake"), ".parquet");
    let lake = reopen(&merging(dir.path()));
    until_merged(dir.path());
    assert_eq!(rows(&dir.path().join("lake")), ids(0..FILES));
    assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES));
    let merged = files(&dir.path().join("lake"), ".parquet").remove(0);
    let name = merged.rsplit('/').next().unwrap().replace(".parquet", ".json");
    let entry = fs::read(dir.path().join("lake/_catalogue").join(name)).unwrap();
    let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
    assert_eq!(entry["replaces"].as_array().unwrap().len(), before.len());
    assert_eq!((&entry["rows"], &entry["files"][0]["rows"]), (&FILES.into(), &FILES.into()));
    assert_eq!(entry["files"][0]["from"], at_nine().replace('Z', ".000Z"));
    let data = fs::read(&merged).unwrap();
    assert_eq!(entry["files"][0]["bytes"], data.len());
    // What was merged is still known.
    send(&lake, delivery(0, &at_nine())).await.unwrap();
    send(&lake, delivery(FILES, &at_nine())).await.unwrap();
    until_written(dir.path());
    assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES + 1));
}

#[tokio::test]
async fn what_is_large_enough_or_alone_or_of_another_journal_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let before = files(&dir.path().join("lake"), ".parquet");
    let stays = |options: &Options| {
        let inner = Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("lake")).unwrap());
        let looked = Failing::new(inner, usize::MAX, false);
        let lake = ParquetDestination::open_in(options, Arc::new(looked.clone())).unwrap();
        until("it has looked", || looked.lists() > 0);
        // Its thread ends when it has done what it found to do.
        drop(lake);
        until_unlocked(dir.path());
        until("the other journal is unlocked too", || {
            fs::File::open(options.journal.join("lock")).unwrap().try_lock().is_ok()
        });
        assert_eq!((files(&dir.path().join("lake"), ".parquet"), looked.changes()), (before.clone(), 0));
    };
    let mut large = merging(dir.path());
    large.merge_below = 1;
    stays(&large);
    let mut few = merging(dir.path());
    few.merge_files = FILES + 1;
    few.merge_after = Duration::from_secs(1_000_000_000);
    stays(&few);
    let mut other = merging(dir.path());
    other.journal = dir.path().join("other-journal");
    stays(&other);
}

/// With each change of the store failing, before or after it is made.
#[tokio::test]
async fn wherever_it_stops_the_catalogue_has_each_row_once_and_it_is_gone_on_with() {
    for is_made in [false, true] {
        for at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            filled(dir.path()).await;
            let inner: Arc<dyn ObjectStore> =
                Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("lake")).unwrap());
            let failing = Failing::new(inner, at, is_made);
            let lake = ParquetDestination::open_in(&merging(dir.path()), Arc::new(failing.clone())).unwrap();
            let merged = || {
                files(&dir.path().join("lake"), ".parquet").len() == 1 && !dir.path().join("journal/replacing").exists()
            };
            until("it fails or is merged", || lake.standing().unwrap().problem.is_some() || merged());
            drop(lake);
            until_unlocked(dir.path());
            assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES), "change {at}, made: {is_made}");
            // Whoever lists the folder misses nothing, and sees a row twice at most.
            let mut listed = rows(&dir.path().join("lake"));
            assert!(listed.len() <= 2 * FILES);
            listed.dedup();
            assert_eq!(listed, ids(0..FILES), "change {at}, made: {is_made}");
            if failing.changes() <= at {
                assert!(at > FILES, "it was merged with {at} changes");
                break;
            }
            let lake = reopen(&merging(dir.path()));
            until_merged(dir.path());
            assert_eq!(rows(&dir.path().join("lake")), ids(0..FILES), "change {at}, made: {is_made}");
            assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES), "change {at}, made: {is_made}");
            send(&lake, delivery(1, &at_nine())).await.unwrap();
            until_written(dir.path());
        }
    }
}

#[tokio::test]
async fn files_that_somebody_has_deleted_are_not_merged_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let inner: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("lake")).unwrap());
    // The note is there, and the merged file is not.
    let lake = ParquetDestination::open_in(&merging(dir.path()), Arc::new(Failing::new(inner, 0, false))).unwrap();
    until("it fails", || lake.standing().unwrap().problem.is_some());
    drop(lake);
    until_unlocked(dir.path());
    assert!(dir.path().join("journal/replacing").exists());
    fs::remove_file(&files(&dir.path().join("lake"), ".parquet")[0]).unwrap();
    let lake = reopen(&merging(dir.path()));
    until("it says so", || lake.standing().unwrap().problem.is_some_and(|problem| problem.contains("is gone")));
    assert!(!dir.path().join("journal/replacing").exists());
    assert_eq!(rows(&dir.path().join("lake")).len(), FILES - 1);
}

#[tokio::test]
async fn what_came_late_for_an_old_folder_is_merged_after_a_restart_when_that_gets_more() {
    const LONG_AGO: &str = "2020-01-02T09:00:00Z";
    let dir = tempfile::tempdir().unwrap();
    let lake = reopen(&options(dir.path()));
    for number in 0..FILES {
        send(&lake, delivery(number, LONG_AGO)).await.unwrap();
        until_written(dir.path());
    }
    drop(lake);
    until_unlocked(dir.path());
    let lake = reopen(&merging(dir.path()));
    // If it were looked for, it would be merged before what comes now.
    for number in FILES..FILES + 2 {
        send(&lake, delivery(number, &at_nine())).await.unwrap();
        until_written(dir.path());
    }
    until("today's are merged", || files(&dir.path().join("lake"), ".parquet").len() == FILES + 1);
    for number in FILES + 2..FILES + 4 {
        send(&lake, delivery(number, LONG_AGO)).await.unwrap();
        until_written(dir.path());
    }
    until("all of the old folder are one", || files(&dir.path().join("lake"), ".parquet").len() == 2);
    assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES + 4));
}

/// One of the files before they were merged: its name below the lake, and what is in it.
fn one_of(dir: &Path) -> (String, Bytes) {
    let lake = dir.join("lake");
    let file = files(&lake, ".parquet").remove(0);
    let name = Path::new(&file).strip_prefix(&lake).unwrap().to_str().unwrap().to_owned();
    (name, fs::read(file).unwrap().into())
}

#[tokio::test]
async fn a_merged_file_that_comes_back_is_not_merged_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let (name, data) = one_of(dir.path());
    let comes_back = || fs::write(dir.path().join("lake").join(&name), &data).unwrap();
    let is_gone = || !dir.path().join("lake").join(&name).exists();
    let lake = reopen(&merging(dir.path()));
    until_merged(dir.path());
    comes_back();
    for number in FILES..FILES + 2 {
        send(&lake, delivery(number, &at_nine())).await.unwrap();
        until_written(dir.path());
    }
    until("it is deleted again", is_gone);
    until_merged(dir.path());
    drop(lake);
    until_unlocked(dir.path());
    assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES + 2));
    // The same by a process that has not replaced it itself.
    comes_back();
    let lake = reopen(&merging(dir.path()));
    until("it is deleted by the next process", is_gone);
    comes_back();
    let erasure = Erasure { conversation: "c-1".to_owned(), dry_run: true, cursor: None };
    let counted = lake.erase(erasure.clone()).await.unwrap().unwrap();
    assert_eq!((counted.files, counted.rows), (1, FILES as u64 + 2));
    let erased = lake.erase(Erasure { dry_run: false, ..erasure }).await.unwrap().unwrap();
    assert_eq!((erased.files, erased.rows), (1, FILES as u64 + 2));
    assert!(is_gone() && rows(&dir.path().join("lake")).is_empty() && catalogued(&dir.path().join("lake")).is_empty());
}

#[tokio::test]
async fn a_merged_file_that_comes_back_when_all_is_done_is_deleted_later() {
    let dir = tempfile::tempdir().unwrap();
    let lake = reopen(&options(dir.path()));
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    for number in 0..FILES {
        send(&lake, delivery(number, &yesterday.to_string())).await.unwrap();
        until_written(dir.path());
    }
    drop(lake);
    until_unlocked(dir.path());
    let (name, data) = one_of(dir.path());
    let inner: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("lake")).unwrap());
    let late = Failing::late(inner, &name, data);
    let mut merging = merging(dir.path());
    merging.merge_after = Duration::from_millis(1);
    let _lake = ParquetDestination::open_in(&merging, Arc::new(late.clone())).unwrap();
    until("it has come late", || late.has_come());
    until_merged(dir.path());
    assert_eq!(rows(&dir.path().join("lake")), ids(0..FILES));
    assert_eq!(catalogued(&dir.path().join("lake")), ids(0..FILES));
}
