//! What is held in memory makes the same files as what is read from the journal.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use proptest::prelude::*;

use super::super::Grain;
use super::super::frame::Record;
use super::super::held::{Held, New};
use super::super::journal::{Journal, Place, Rules};
use super::super::lake::Lake;
use super::super::row::Row;
use super::super::upload::Uploader;
use super::{append, delivery, files, id};

fn uploader(dir: &std::path::Path) -> Uploader {
    std::fs::create_dir_all(dir).unwrap();
    let objects = Arc::new(LocalFileSystem::new_with_prefix(dir).unwrap());
    let lake = Lake { objects, directory: Some(dir.to_owned()) };
    Uploader { lake, grain: Grain::Hour, journal: "name".to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_same_files_are_made_of_memory_and_of_the_journal(
        groups in prop::collection::vec(prop::collection::vec((0_usize..40, 0_u8..5), 1..8), 1..8),
        many in 0_usize..6_000,
        makes_ahead in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules {
            segment_bytes: u64::MAX,
            segment_age: std::time::Duration::from_secs(1),
            most_bytes: u64::MAX,
            remembered: 10,
        };
        let mut journal = Journal::open(&dir.path().join("journal"), rules, || "name".to_owned()).unwrap();
        let mut held = Held::new(u64::MAX);
        let many: Vec<_> = (100..100 + many).map(|number| (number, 0)).collect();
        for group in groups.iter().chain([&many]).filter(|group| !group.is_empty()) {
            let deliveries: Vec<_> =
                group.iter().map(|(number, hour)| delivery(*number, &format!("2026-11-27T{hour:02}:00:00Z"))).collect();
            let rows: Vec<_> = deliveries.iter().map(|delivery| Row::parse(&delivery.payload).unwrap()).collect();
            let record = |(delivery, row): (&'_ crate::OutgoingDelivery, &Row<'_>)| (delivery.event, row.time().unwrap());
            let records: Vec<_> = deliveries
                .iter()
                .zip(&rows)
                .map(|(delivery, row)| {
                    let (event, time) = record((delivery, row));
                    Record { event, time, payload: &delivery.payload }
                })
                .collect();
            let to = journal.place(5);
            let is_new = append(&mut journal, &records, 5).unwrap();
            let new = records.iter().zip(&rows).zip(is_new).filter(|(_, is_new)| *is_new);
            let new = new.map(|((record, row), _)| New {
                event: record.event,
                time: record.time,
                row: row.clone(),
                bytes: record.payload.len(),
            });
            held.push(to, Grain::Hour, new);
            while let Some(piece) = makes_ahead.then(|| held.next()).flatten() {
                held.put_back(piece.make());
            }
        }
        journal.close_if_due(10_000).unwrap();
        let (number, path, rows) = journal.oldest_closed().unwrap();
        let segment = held.take(number, rows);
        prop_assert!(segment.is_some());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let first = runtime.block_on(uploader(&one).write(number, &path, segment)).unwrap();
        let second = runtime.block_on(uploader(&other).write(number, &path, None)).unwrap();
        prop_assert_eq!(first.ids, second.ids);
        prop_assert_eq!(first.folders, second.folders);
        let contents = |root: &std::path::Path| {
            let read = |file: String| (file[root.to_str().unwrap().len()..].to_owned(), std::fs::read(&file).unwrap());
            files(root, "").into_iter().map(read).collect::<Vec<_>>()
        };
        prop_assert_eq!(contents(&one), contents(&other));
    }
}

#[test]
fn rows_are_held_only_as_far_as_there_is_memory_for_them() {
    let payload = delivery(1, "2026-11-27T00:00:00Z").payload;
    let row = Row::parse(&payload).unwrap();
    let new = |number| New { event: id(number), time: 0, row: row.clone(), bytes: 600 };
    let mut held = Held::new(1_000);
    for (segment, event) in [(1, 1), (2, 2)] {
        held.push(Place { segment, before: 0, created: 1 }, Grain::Day, std::iter::once(new(event)));
    }
    assert!(held.take(1, 1).is_some(), "the oldest is written first");
    assert!(held.take(2, 1).is_none(), "what there was no room for is read from the journal");
}
