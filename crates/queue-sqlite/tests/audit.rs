//! The audit trail on the disk: whatever is changed in it is found, and its retention leaves no loose end.
#![cfg(test)]

mod on_disk;

use std::path::Path;
use std::time::Duration;

use audit::{Break, Chain, Entry, What};
use event::Timestamp;
use on_disk::OnDisk;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use queue::conformance::fixture::{Fixture, event, topology};
use queue::{Order, Queue};
use queue_sqlite::{Options, SqliteQueue};
use rusqlite::{Connection, params};

/// Changes made to stored entries, each of which has to be found.
const CHANGES: u32 = 1_000;

/// Where the trail is broken.
async fn breaks(queue: &dyn Queue) -> Vec<Break> {
    let page = queue.audit(0, usize::MAX).await.unwrap();
    let mut chain = Chain::behind(page.begins);
    let mut breaks: Vec<Break> = page.blocks.iter().filter_map(|block| chain.next(block).err()).collect();
    breaks.extend(chain.finish().err());
    breaks
}

fn bytes(connection: &Connection, column: &str, block: i64) -> Vec<u8> {
    connection.query_row(&format!("SELECT {column} FROM audit WHERE block = ?1"), [block], |row| row.get(0)).unwrap()
}

fn set(connection: &Connection, column: &str, block: i64, bytes: &[u8]) {
    let sql = format!("UPDATE audit SET {column} = ?2 WHERE block = ?1");
    connection.execute(&sql, params![block, bytes]).unwrap();
}

#[test]
fn a_thousand_changed_bytes_are_all_found() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let f = runtime.block_on(async {
        let f = Fixture::<OnDisk>::new();
        for n in 0..30 {
            let events = (0..n).map(|m| event("crm", &n.to_string(), &format!("{n} {m}"))).collect();
            f.publish(events).await;
            f.drain(f.crm).await;
        }
        f
    });
    let find = || runtime.block_on(breaks(&*f.queue));
    assert_eq!(find(), []);
    let queue = f.harness.dir.path().join("queue.db");
    let connection = Connection::open(queue).unwrap();
    let blocks: i64 = connection.query_row("SELECT max(block) FROM audit", [], |row| row.get(0)).unwrap();
    assert!(blocks > 40, "{blocks}");
    let mut runner = TestRunner::new(Config { cases: CHANGES, failure_persistence: None, ..Config::default() });
    let change = (1..=blocks, any::<prop::sample::Index>(), 1u8.., prop::bool::weighted(0.1));
    let found = runner.run(&change, |(block, at, by, in_hash)| {
        let column = if in_hash { "hash" } else { "entries" };
        let good = bytes(&connection, column, block);
        let mut bad = good.clone();
        bad[at.index(good.len())] ^= by;
        set(&connection, column, block, &bad);
        let found = find();
        set(&connection, column, block, &good);
        prop_assert!(found.contains(&Break::Changed { block: block.unsigned_abs() }), "{found:?}");
        Ok(())
    });
    found.unwrap();
    assert_eq!(find(), [], "every change was taken back");
}

#[tokio::test]
async fn what_is_taken_out_or_put_elsewhere_is_found() {
    let f = Fixture::<OnDisk>::new();
    for n in 0..6 {
        f.publish(vec![event("crm", "a", &n.to_string())]).await;
    }
    let connection = Connection::open(f.harness.dir.path().join("queue.db")).unwrap();
    let (two, three) = (bytes(&connection, "entries", 2), bytes(&connection, "entries", 3));
    set(&connection, "entries", 2, &three);
    set(&connection, "entries", 3, &two);
    assert_eq!(breaks(&*f.queue).await, [Break::Changed { block: 2 }, Break::Changed { block: 3 }]);
    set(&connection, "entries", 2, &two);
    set(&connection, "entries", 3, &three);
    connection.execute("DELETE FROM audit WHERE block = 4", []).unwrap();
    assert_eq!(breaks(&*f.queue).await, [Break::Missing { from: 4, to: 4 }]);
    connection.execute("DELETE FROM audit WHERE block <= 4", []).unwrap();
    assert_eq!(breaks(&*f.queue).await[0], Break::Missing { from: 1, to: 4 });
}

/// The chain alone cannot show that its end is gone, or all of it; the log can.
#[tokio::test]
async fn a_trail_that_ends_before_the_log_is_found() {
    let f = Fixture::<OnDisk>::new();
    for n in 0..6 {
        f.publish(vec![event("crm", "a", &n.to_string())]).await;
    }
    let dir = f.harness.dir.path();
    let findings = || queue_sqlite::check(dir, |_, _| {}).unwrap().findings;
    assert!(findings().is_empty());
    let connection = Connection::open(dir.join("queue.db")).unwrap();
    connection.execute("DELETE FROM audit WHERE block >= 5", []).unwrap();
    let found = findings();
    assert!(found.iter().any(|found| found.contains("it ends before event 6")), "{found:?}");
    connection.execute("DELETE FROM audit", []).unwrap();
    let found = findings();
    assert!(found.iter().any(|found| found.contains("the audit trail is gone")), "{found:?}");
    let refused = f.queue.audit(0, 100).await.unwrap_err();
    assert!(refused.to_string().contains("the audit trail is gone"), "{refused}");
}

fn open(dir: &Path) -> SqliteQueue {
    let queue = queue::conformance::fixture::OPTIONS;
    let audit_retention = Duration::from_secs(600);
    let queue = SqliteQueue::open(&Options { queue, audit_retention, ..Options::new(dir) }).unwrap();
    queue.configure(topology(&["crm"], Order::Conversation)).unwrap();
    queue
}

async fn note(queue: &SqliteQueue, at: Timestamp) {
    let what = What::Done { by: "eva".into(), action: "paused".into(), subject: "crm".into(), detail: "".into() };
    queue.note(vec![Entry { at, what }]).await.unwrap();
}

#[tokio::test]
async fn retention_drops_the_oldest_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let begin = Timestamp::from_millis(1_773_957_888_000);
    for minute in 0..30 {
        note(&queue, begin.plus(Duration::from_secs(minute * 60))).await;
    }
    let connection = Connection::open(dir.path().join("queue.db")).unwrap();
    set(&connection, "entries", 1, b"damaged");
    drop(connection);
    let now = begin.plus(Duration::from_secs(1_500));
    while queue.maintain(now).await.unwrap().more {}
    let page = queue.audit(0, 100).await.unwrap();
    assert_eq!((page.begins.number, page.blocks.first().map(|block| block.number)), (15, Some(16)));
    assert_eq!(breaks(&queue).await, []);
    queue.close().await.unwrap();
    drop(queue);
    let queue = open(dir.path());
    note(&queue, now).await;
    assert_eq!(breaks(&queue).await, []);
    let connection = Connection::open(dir.path().join("queue.db")).unwrap();
    connection.execute("UPDATE audit_start SET block = 16", []).unwrap();
    connection.execute("DELETE FROM audit WHERE block = 16", []).unwrap();
    assert!(breaks(&queue).await.contains(&Break::Beheaded { begins: 17 }), "a beginning that nothing vouches for");
}
