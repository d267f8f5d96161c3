//! Erasing on the disk: nothing is left in the file, not in its inner pages either, and no record vouches for more.
#![cfg(test)]

mod on_disk;

use std::path::Path;

use on_disk::OnDisk;
use queue::conformance::fixture::{Fixture, event, failure, identified};
use queue::{Attempts, Erasure, Outcome};
use queue_sqlite::check;
use rusqlite::{Connection, params};

fn count(dir: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count()).sum()
}

async fn erase(f: &Fixture<OnDisk>, conversation: &str) -> queue::Erased {
    let by = f.by().because("asked to");
    f.queue.erase(Erasure { conversation: conversation.to_owned(), dry_run: false, by }).await.unwrap()
}

#[tokio::test]
async fn no_page_of_the_file_keeps_anything() {
    let f = Fixture::<OnDisk>::new();
    let said = "x".repeat(200);
    // More than the first page of each table holds, so that the first one becomes an inner page.
    for n in 0..300 {
        f.publish(vec![event("crm", &format!("c{}", n % 3), &format!("Swordfish {n} {said}"))]).await;
    }
    let leases = f.lease(f.crm, 3).await;
    let attempts = Attempts { made: 1, charged: 1, ..Attempts::default() };
    f.settle(&leases, Outcome::Dead { attempts, failure: failure("cannot take Swordfish") }).await;
    assert!(count(f.harness.dir.path(), "Swordfish") > 300);
    for (conversation, events) in [("c0", 100), ("c1", 100), ("c2", 100)] {
        let erased = erase(&f, conversation).await;
        assert_eq!((erased.events, erased.dead_letters, erased.log_emptied), (events, 1, true), "{erased:?}");
    }
    assert_eq!(count(f.harness.dir.path(), "Swordfish"), 0, "also what was said of all three alike");
}

#[tokio::test]
async fn an_erasure_vouches_for_nothing_but_emptiness() {
    let (f, other) = (Fixture::<OnDisk>::new(), Fixture::<OnDisk>::new());
    f.publish(vec![identified("1", "nobody", "a", "one")]).await;
    other.publish(vec![identified("1", "nobody", "a", "forged")]).await;
    erase(&f, "a").await;
    let findings = || check(f.harness.dir.path(), |_, _| ()).unwrap().findings;
    assert_eq!(findings(), Vec::<String>::new());
    let open = |f: &Fixture<OnDisk>| Connection::open(f.harness.dir.path().join("queue.db")).unwrap();
    let (crc, body): (i64, Vec<u8>) = open(&other)
        .query_row("SELECT crc, body FROM events WHERE seq = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    open(&f).execute("UPDATE events SET crc = ?1, body = ?2 WHERE seq = 1", params![crc, body]).unwrap();
    let found = findings();
    assert!(found.len() == 1 && found[0].contains("it is not the one that was received"), "{found:?}");
}
