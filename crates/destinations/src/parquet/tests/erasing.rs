//! Erasing a conversation: its rows go, from the journal and from files, and all others stay.

use std::time::Duration;

use object_store::local::LocalFileSystem;
use parquet::file::metadata::ParquetMetaDataReader;
use proptest::prelude::*;

use super::super::encode::Gathered;
use super::super::lake::{Found, Lake};
use super::super::peek::may_have;
use super::super::row::Row;
use super::{catalogued, delivery, files, id, options, outcome_of, reopen, rows, send, until_unlocked, until_written};
use crate::{Destination as _, Erased, Erasure, OutgoingDelivery};

fn of(conversation: &str, number: usize) -> OutgoingDelivery {
    let body = format!(r#"{{"timestamp":"2026-11-27T09:00:00Z","data":{{"keywords":["Swordfish-{number}"]}}}}"#);
    OutgoingDelivery {
        payload: outcome_of(id(number), conversation, &body).into(),
        ..delivery(number, "2026-11-27T09:00:00Z")
    }
}

async fn erase(lake: &super::ParquetDestination, conversation: &str, dry_run: bool) -> Erased {
    let mut sum = Erased::default();
    let mut cursor = None;
    loop {
        let erasure = Erasure { conversation: conversation.to_owned(), dry_run, cursor };
        let part = lake.erase(erasure).await.unwrap().unwrap();
        sum.waiting += part.waiting;
        sum.rows += part.rows;
        sum.files += part.files;
        sum.looked += part.looked;
        sum.kept.extend(part.kept);
        cursor = part.next;
        if cursor.is_none() {
            return sum;
        }
    }
}

/// Files below a directory in which something stands; the journal's are not packed.
fn with(dir: &std::path::Path, text: &str) -> usize {
    let has = |file: &String| std::fs::read(file).unwrap().windows(text.len()).any(|part| part == text.as_bytes());
    files(dir, "").iter().filter(|file| has(file)).count()
}

fn sorted(numbers: &[usize]) -> Vec<String> {
    let mut ids: Vec<_> = numbers.iter().map(|number| id(*number).to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn rows_go_from_the_journal_and_from_files_and_all_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    let lake = reopen(&options);
    // A file with both, one with the conversation alone, and enough others to need more than one request.
    for group in [&[("gone", 0), ("stays", 1)][..], &[("gone", 2)]] {
        for (conversation, number) in group {
            send(&lake, of(conversation, *number)).await.unwrap();
        }
        until_written(dir.path());
    }
    for number in 10..20 {
        send(&lake, of("stays", number)).await.unwrap();
        until_written(dir.path());
    }
    drop(lake);
    until_unlocked(dir.path());
    options.file_age = Duration::from_secs(3_600);
    let lake = reopen(&options);
    for (conversation, number) in [("gone", 3), ("stays", 4), ("gone", 5)] {
        send(&lake, of(conversation, number)).await.unwrap();
    }
    let before = files(&dir.path().join("lake"), ".parquet");
    let counted = erase(&lake, "gone", true).await;
    assert_eq!((counted.waiting, counted.rows), (2, 2), "{counted:?}");
    assert_eq!(files(&dir.path().join("lake"), ".parquet"), before, "only counted");
    assert_eq!(with(&dir.path().join("journal"), "Swordfish-3"), 1);
    let erased = erase(&lake, "gone", false).await;
    assert_eq!((erased.waiting, erased.rows, erased.files), (2, 2, counted.files), "{erased:?}");
    assert!(erased.kept.is_empty() && erased.looked >= before.len() as u64);
    assert_eq!(with(&dir.path().join("journal"), "Swordfish-3") + with(&dir.path().join("journal"), "Swordfish-5"), 0);
    assert_eq!(with(&dir.path().join("journal"), "Swordfish-4"), 1, "the journal goes on");
    assert!(!dir.path().join("journal/replacing").exists());
    let stay: Vec<_> = [1].into_iter().chain(10..20).collect();
    assert_eq!(rows(&dir.path().join("lake")), sorted(&stay));
    assert_eq!(catalogued(&dir.path().join("lake")), sorted(&stay));
    // They are still known, over a restart too, and what is appended now comes behind them.
    for number in [0, 2, 3, 5, 6] {
        send(&lake, of("gone", number)).await.unwrap();
    }
    drop(lake);
    until_unlocked(dir.path());
    options.file_age = Duration::from_millis(1);
    let lake = reopen(&options);
    send(&lake, of("gone", 3)).await.unwrap();
    until_written(dir.path());
    let stay: Vec<_> = [1, 4, 6].into_iter().chain(10..20).collect();
    assert_eq!(rows(&dir.path().join("lake")), sorted(&stay));
    assert_eq!(erase(&lake, "gone", false).await.rows, 1, "what came behind it");
    assert_eq!(erase(&lake, "nobody", false).await, Erased { looked: 11 + 1, ..Erased::default() });
}

#[tokio::test]
async fn what_cannot_be_erased_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let lake = reopen(&options(dir.path()));
    send(&lake, of("gone", 1)).await.unwrap();
    until_written(dir.path());
    drop(lake);
    let mut other = options(dir.path());
    other.journal = dir.path().join("other");
    let lake = reopen(&other);
    std::fs::write(dir.path().join("lake/date=2026-11-27/damaged.parquet"), "not what it was").unwrap();
    let erased = erase(&lake, "gone", false).await;
    assert_eq!((erased.rows, erased.kept.len()), (0, 2), "{erased:?}");
    let why: String = erased.kept.iter().map(|kept| kept.why.as_str()).collect();
    assert!(why.contains("another journal") && why.contains("restore or delete it"), "{why}");
    assert_eq!(erased.kept.iter().filter_map(|kept| kept.rows).sum::<u64>(), 1);
}

/// Makes the conversations of a file unreadable.
fn spoil(file: &str) {
    let mut text = std::fs::read(file).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::copy_from_slice(&text)).unwrap();
    let mut columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let column = columns.find(|column| column.column_path().string() == "conversation_id").unwrap();
    let (at, length) = column.byte_range();
    text[at as usize..(at + length) as usize].fill(0xff);
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_file_that_says_that_it_does_not_have_the_conversation_is_not_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let lake = reopen(&options(dir.path()));
    for number in 0..30 {
        send(&lake, of(&format!("c-{}", number % 10), number)).await.unwrap();
        until_written(dir.path());
    }
    let before = files(&dir.path().join("lake"), ".parquet");
    let has = |file: &String| super::read(std::fs::read(file).unwrap().into())[0].num_rows();
    assert!(before.len() > 8 && before.iter().map(has).sum::<usize>() == 30);
    before.iter().for_each(|file| spoil(file));
    assert_eq!(
        erase(&lake, "c-nobody", false).await,
        Erased { looked: before.len() as u64, ..Erased::default() },
        "none of them was read, so that none can be read was not seen"
    );
    let told = erase(&lake, "c-3", false).await;
    assert!(!told.kept.is_empty(), "what may have it is read: {told:?}");
    assert_eq!(told.looked, before.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_file_denies_a_conversation_that_it_has(
        conversations in prop::collection::vec("[a-zA-Z0-9é-]{1,80}", 1..200),
        others in prop::collection::vec("[a-z]{20}", 50),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let objects = std::sync::Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
        let lake = Lake { objects, directory: None };
        let mut gathered = Gathered::new();
        for (number, conversation) in conversations.iter().enumerate() {
            let payload = outcome_of(id(number), conversation, "{}");
            gathered.push(&Row::parse(payload.as_bytes()).unwrap(), payload.len(), 0).unwrap();
        }
        let data = gathered.encode().unwrap();
        let found = Found { name: "date=2026-11-27/x.parquet".to_owned(), bytes: data.len() as u64, written: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(lake.put(&found.name, data.into())).unwrap();
        let may_have = |conversation: &String| runtime.block_on(may_have(&lake, &found, conversation)).unwrap();
        prop_assert!(conversations.iter().all(may_have));
        let wrong = others.iter().filter(|other| !conversations.contains(other) && may_have(other)).count();
        prop_assert!(wrong < 10, "{wrong} of 50");
    }
}
