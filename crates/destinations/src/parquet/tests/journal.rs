//! The journal by itself: what it refuses, and what it finds after a crash.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::frame::{Record, frame_of};
use super::super::journal::{Journal, Refused, Rules, Size};
use super::{append, files, id};
use crate::OpenError;

fn rules() -> Rules {
    Rules { segment_bytes: 1_000, segment_age: Duration::from_secs(60), most_bytes: 5_000, remembered: 10 }
}

fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open(dir, rules(), || "name".to_owned())
}

fn record(number: usize, payload: &[u8]) -> Record<'_> {
    Record { event: id(number), time: 0, payload }
}

#[test]
fn a_segment_is_closed_by_size_and_by_age_and_keeps_its_rows_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, &[b'x'; 2_000])], 0).unwrap();
    assert_eq!(files(dir.path(), ".rows").len(), 1, "by size");
    append(&mut journal, &[record(2, b"x")], 0).unwrap();
    drop(journal);
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, b"again"), record(2, b"again")], 50_000).unwrap();
    journal.close_if_due(59_999).unwrap();
    assert_eq!(files(dir.path(), ".open").len(), 1);
    journal.close_if_due(60_000).unwrap();
    assert_eq!((files(dir.path(), ".open").len(), files(dir.path(), ".rows").len()), (0, 2), "by age");
    let (oldest, path, rows) = journal.oldest_closed().unwrap();
    assert_eq!((oldest, path.exists(), rows), (1, true, 1));
}

#[test]
fn more_than_the_bound_is_refused_until_a_segment_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, &[b'x'; 3_000])], 0).unwrap();
    assert!(matches!(append(&mut journal, &[record(2, &[b'x'; 3_000])], 0), Err(Refused::Full)));
    journal.drop_segment(1, &[id(1)]).unwrap();
    append(&mut journal, &[record(2, &[b'x'; 3_000])], 0).unwrap();
}

#[test]
fn the_latest_ids_are_remembered_over_a_restart_and_older_ones_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    for number in 1..=20 {
        append(&mut journal, &[record(number, &[b'x'; 2_000])], 0).unwrap();
        journal.drop_segment(number as u64, &[id(number)]).unwrap();
    }
    drop(journal);
    assert_eq!(files(dir.path(), ".ids").len(), 10);
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(20, b"again"), record(11, b"again")], 0).unwrap();
    assert_eq!(journal.size(), Size::default(), "no second row");
    append(&mut journal, &[record(1, b"too old")], 0).unwrap();
    assert_eq!(journal.size().rows, 1);
    assert_eq!(files(dir.path(), "000000000021.open").len(), 1, "no number comes again");
}

#[test]
fn a_torn_frame_is_cut_off_and_damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, b"one")], 0).unwrap();
    let whole = journal.size();
    append(&mut journal, &[record(2, b"two")], 0).unwrap();
    drop(journal);
    let path = dir.path().join("000000000001.open");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    let mut journal = open(dir.path()).unwrap();
    assert_eq!(journal.size(), whole);
    append(&mut journal, &[record(2, b"two")], 0).unwrap();
    drop(journal);
    assert_eq!(fs::read(&path).unwrap(), text, "it came again");

    let mut damaged = text.clone();
    damaged[60] ^= 1;
    fs::write(&path, damaged).unwrap();
    let error = open(dir.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("000000000001.open") && error.contains("damaged at byte 40"), "{error}");
    assert!(error.contains("replay"), "{error}");
    fs::write(&path, b"ACPQJ\0\0\x01\0").unwrap();
    assert_eq!(open(dir.path()).unwrap().size(), Size::default(), "version 1, killed while it was made");
}

#[test]
fn a_crash_between_the_ids_and_the_drop_leaves_the_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, &[b'x'; 2_000])], 0).unwrap();
    let rows = fs::read(dir.path().join("000000000001.rows")).unwrap();
    journal.drop_segment(1, &[id(1)]).unwrap();
    drop(journal);
    fs::write(dir.path().join("000000000001.rows"), rows).unwrap();
    fs::write(dir.path().join("000000000001.ids.part"), "torn").unwrap();
    let mut journal = open(dir.path()).unwrap();
    assert_eq!(journal.oldest_closed().unwrap().0, 1);
    journal.drop_segment(1, &[id(1)]).unwrap();
    assert!(journal.oldest_closed().is_none());
}

#[test]
fn a_journal_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::InUse { .. })));
}

/// Each record was reported before the next was appended, so a journal without it has lost something.
#[test]
fn a_journal_that_was_cut_short_is_refused_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(1, b"one")], 0).unwrap();
    let one = journal.size().bytes;
    append(&mut journal, &[record(2, b"two")], 0).unwrap();
    journal.mark().unwrap();
    let two = journal.size().bytes;
    drop(journal);
    let path = dir.path().join("000000000001.open");
    let text = fs::read(&path).unwrap();
    for cut in [0, 5, 39, 40, one, two - 1] {
        fs::write(&path, &text[..cut as usize]).unwrap();
        let error = open(dir.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("000000000001.open") && error.contains("replay"), "{cut}: {error}");
        assert!(
            cut < 40 || error.contains(&format!("cut short: it has {cut} bytes, and {two} were synced")),
            "{error}"
        );
    }
    fs::write(&path, &text).unwrap();
    let mut journal = open(dir.path()).unwrap();
    append(&mut journal, &[record(3, &[b'x'; 2_000])], 0).unwrap();
    drop(journal);
    // Closed, so it has to end where it did, also between two frames.
    let (path, old) = (dir.path().join("000000000001.rows"), path);
    assert!(!old.exists());
    let text = fs::read(&path).unwrap();
    for wrong in [&text[..two as usize], &[&text[..], b"more"].concat()] {
        fs::write(&path, wrong).unwrap();
        assert!(open(dir.path()).is_err());
    }
    fs::write(&path, &text).unwrap();
    assert_eq!(open(dir.path()).unwrap().size().rows, 3);
}

/// As an aftercall of before has left it: one record that is closed, and one that is open, with a torn one behind it.
#[test]
fn a_journal_of_version_1_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let old = |number: usize| {
        let frame = frame_of(&[record(number, b"old")]);
        [b"ACPQJ\0\0\x01".as_slice(), &5_i64.to_le_bytes(), &frame].concat()
    };
    fs::write(dir.path().join("000000000003.rows"), old(1)).unwrap();
    fs::write(dir.path().join("000000000004.open"), [old(2), b"ACPFtorn".to_vec()].concat()).unwrap();
    let mut journal = open(dir.path()).unwrap();
    assert_eq!((journal.size().rows, files(dir.path(), ".rows").len()), (2, 2));
    append(&mut journal, &[record(1, b"again"), record(2, b"again"), record(3, b"new")], 0).unwrap();
    assert_eq!((journal.size().rows, files(dir.path(), "000000000005.open").len()), (3, 1));
}
