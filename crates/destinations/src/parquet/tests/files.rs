//! From deliveries to files, over restarts and with a store that fails.

use std::fs;

use serde_json::Value;

use super::super::{Grain, athena, frame, redshift};
use super::{delivery, files, id, options, reopen, rows, send, until_unlocked, until_written};
use crate::ErrorClass;

#[tokio::test]
async fn rows_are_in_the_folders_of_their_times_and_the_catalogue_knows_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.partition = Grain::Hour;
    let lake = reopen(&options);
    for (number, time) in ["2026-11-27T09:59:59.999Z", "2026-11-27T11:00:00+01:00"].iter().enumerate() {
        send(&lake, delivery(number, time)).await.unwrap();
    }
    until_written(dir.path());
    let found = files(&dir.path().join("lake"), ".parquet");
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("lake/date=2026-11-27/hour=09/") && found[1].contains("/date=2026-11-27/hour=10/"));
    let mut listed = Vec::new();
    for entry in files(&dir.path().join("lake/_catalogue"), ".json") {
        let entry: Value = serde_json::from_slice(&fs::read(entry).unwrap()).unwrap();
        assert_eq!((&entry["version"], &entry["schema"]), (&2.into(), &1.into()));
        listed.extend(entry["files"].as_array().unwrap().clone());
    }
    listed.sort_by_key(|file| file["name"].as_str().unwrap().to_owned());
    assert_eq!(listed.len(), 2);
    for (file, path) in listed.iter().zip(&found) {
        let data = fs::read(path).unwrap();
        let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &data));
        assert!(path.ends_with(file["name"].as_str().unwrap()));
        assert_eq!((&file["rows"], &file["bytes"], &file["sha256"]), (&1.into(), &data.len().into(), &sha256.into()));
    }
    assert_eq!(listed[0]["from"], "2026-11-27T09:59:59.999Z");
}

#[tokio::test]
async fn a_repetition_is_no_second_row_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let lake = reopen(&options);
    send(&lake, delivery(1, "2026-11-27T09:00:00Z")).await.unwrap();
    send(&lake, delivery(1, "2026-11-27T09:00:00Z")).await.unwrap();
    until_written(dir.path());
    send(&lake, delivery(1, "2026-11-27T09:00:00Z")).await.unwrap();
    drop(lake);
    let lake = reopen(&options);
    send(&lake, delivery(1, "2026-11-27T09:00:00Z")).await.unwrap();
    send(&lake, delivery(2, "2026-11-27T09:00:00Z")).await.unwrap();
    until_written(dir.path());
    let mut wanted = vec![id(1).to_string(), id(2).to_string()];
    wanted.sort();
    assert_eq!(rows(&dir.path().join("lake")), wanted);
}

#[tokio::test]
async fn what_was_written_before_a_crash_is_written_again_in_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.file_age = std::time::Duration::from_secs(3_600);
    let lake = reopen(&options);
    for number in 0..10 {
        send(&lake, delivery(number, "2026-11-27T09:00:00Z")).await.unwrap();
    }
    drop(lake);
    let open = files(&dir.path().join("journal"), ".open").remove(0);
    let segment = fs::read(&open).unwrap();
    let segment = frame::read(&segment).unwrap();
    let segment = frame::whole(segment.created, &segment.records);
    options.file_age = std::time::Duration::from_millis(1);
    let lake = reopen(&options);
    until_written(dir.path());
    drop(lake);
    let found = files(&dir.path().join("lake"), "");
    let data: Vec<_> = found.iter().map(|file| fs::read(file).unwrap()).collect();
    // As if it had been killed between the upload and the drop, and in the middle of a file.
    let torn = found.iter().find(|file| file.ends_with(".parquet")).unwrap();
    fs::write(format!("{torn}#1"), "torn").unwrap();
    until_unlocked(dir.path());
    fs::write(open.replace(".open", ".rows"), segment).unwrap();
    let _lake = reopen(&options);
    until_written(dir.path());
    assert_eq!(files(&dir.path().join("lake"), ""), found);
    assert_eq!(found.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), data, "the same bytes");
    assert_eq!(rows(&dir.path().join("lake")).len(), 10);
}

#[tokio::test]
async fn a_store_that_fails_is_transient_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let lake = reopen(&options);
    // A file where a folder should be; root may write anywhere, so rights would not do.
    let in_the_way = dir.path().join("lake/date=2026-11-27");
    fs::write(&in_the_way, "in the way").unwrap();
    send(&lake, delivery(0, "2026-11-27T09:00:00Z")).await.unwrap();
    let mut refused = None;
    for number in 1.. {
        match send(&lake, delivery(number, "2026-11-27T09:00:00Z")).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => {
                refused = Some((number, error));
                break;
            }
        }
    }
    let (number, error) = refused.unwrap();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("cannot write to"), "{error}");
    fs::remove_file(in_the_way).unwrap();
    until_written(dir.path());
    let began = std::time::Instant::now();
    while send(&lake, delivery(number, "2026-11-27T09:00:00Z")).await.is_err() {
        assert!(began.elapsed() < super::PATIENCE, "deliveries are not taken again");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    until_written(dir.path());
    let mut wanted: Vec<_> = (0..=number).map(|number| id(number).to_string()).collect();
    wanted.sort();
    assert_eq!(rows(&dir.path().join("lake")), wanted);
}

#[tokio::test]
async fn a_payload_that_does_not_fit_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let lake = reopen(&options(dir.path()));
    let mut bad = delivery(1, "2026-11-27T09:00:00Z");
    bad.payload = "{\"schema\":1,\"event_id\":7}".into();
    let (bad, good) = tokio::join!(send(&lake, bad), send(&lake, delivery(2, "2026-11-27T09:00:00Z")));
    let error = bad.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.message.contains("`/event_id`") && error.message.contains("mapping"), "{error}");
    good.unwrap();
    until_written(dir.path());
    assert_eq!(rows(&dir.path().join("lake")), [id(2).to_string()]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut super::Options)| {
        let mut options = options(dir.path());
        change(&mut options);
        super::ParquetDestination::check(&options).unwrap_err().to_string()
    };
    assert!(refused(|options| options.file_bytes = 1).contains("`file_bytes`"));
    assert!(refused(|options| options.file_age = std::time::Duration::ZERO).contains("`file_age`"));
    assert!(refused(|options| options.journal_bytes = 2_000).contains("`journal_bytes`"));
    assert!(refused(|options| options.remembered = 0).contains("`remember`"));
}

#[test]
fn the_statements_name_every_column() {
    let (athena, redshift) = (athena("outcomes", "s3://b/p", Grain::Hour), redshift("outcomes", "s3://b/p"));
    for field in super::super::schema::FIELDS {
        assert!(athena.contains(&format!("  `{}` ", field.name)) && redshift.contains(&format!("\"{}\" ", field.name)));
    }
    assert!(athena.contains("`intents` array<struct<name:string,confidence:double>>"));
    assert!(athena.contains("'storage.location.template' = 's3://b/p/date=${date}/hour=${hour}/'"));
    assert!(redshift.contains("\"compliance\" super") && redshift.contains("SERIALIZETOJSON MANIFEST"));
    assert!(redshift.contains(".replaces") && redshift.contains("known.\"event_id\" IS NULL"), "{redshift}");
}
