//! Stored formats: the present one is read, others are refused with the cure.
#![cfg(test)]

use std::path::Path;

use intake::{Quarantine, QuarantineQuery};
use quarantine_sqlite::{Options, SqliteQuarantine};
use rusqlite::Connection;

/// A database of format 1, as that version wrote it.
const VERSION_1: &str = include_str!("formats/version-1.sql");

fn make(dir: &Path, sql: &str) {
    Connection::open(dir.join("quarantine.db")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), VERSION_1);
    let quarantine = SqliteQuarantine::open(Options::new(dir.path().to_owned()));
    assert_eq!(quarantine.status().closed, None);
    let listed = quarantine.list(QuarantineQuery { source: None, after: None, limit: 10 }).await.unwrap();
    assert_eq!(listed.len(), 2);
    for entry in listed {
        let request = quarantine.read(entry.id).await.unwrap().unwrap();
        assert_eq!(request.credential.is_some(), &*request.source == "bus");
    }
    assert_eq!(quarantine.key_uses().await.unwrap().len(), 1);
}

#[test]
fn another_format_and_another_program_are_refused_with_the_cure() {
    for (sql, told) in [
        (format!("{VERSION_1}; PRAGMA user_version = 2;"), "has format 2, and this program knows 1; start the version"),
        ("CREATE TABLE accounts (id INTEGER);".to_owned(), "is no quarantine of Aftercall; stop the server, move"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &sql);
        let closed = SqliteQuarantine::open(Options::new(dir.path().to_owned())).status().closed.unwrap();
        assert!(closed.contains(told), "{closed}");
    }
}
