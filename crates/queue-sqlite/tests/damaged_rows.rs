//! Flipped bits in stored rows: none is overlooked, and a repair skips no event.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, topology};
use queue::{By, DeadLetterQuery, Lease, NotRedriven, Order, Outcome, Queue, ReviewState, Settle};
use queue_sqlite::{Failed, SqliteQueue};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A queue in which every table has rows, and when it was filled; see `formats/README.md`.
const FILLED: &str = include_str!("formats/version-1.sql");
const NOW: Timestamp = Timestamp::from_millis(1_773_965_089_000);
/// Each table with the columns that name a row.
const TABLES: [(&str, &[&str]); 5] = [
    ("destinations", &["id"]),
    ("cursor_chunks", &["destination", "chunk"]),
    ("retries", &["destination", "seq"]),
    ("state", &["one"]),
    ("dead_letters", &["id"]),
];

fn open(dir: &Path) -> Result<SqliteQueue, Failed> {
    SqliteQueue::open(&queue_sqlite::Options { queue: OPTIONS, ..queue_sqlite::Options::new(dir) })
}

fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join("queue.db")).unwrap().execute_batch(FILLED).unwrap();
    drop(open(dir.path()).unwrap());
    dir
}

/// Everything that the two destinations get from now on, by destination and place.
async fn delivered(dir: &Path) -> BTreeSet<(usize, u64)> {
    let queue = Arc::new(open(dir).unwrap());
    let ids = queue.configure(topology(&["crm", "lake"], Order::None)).unwrap();
    let mut all = BTreeSet::new();
    let now = Timestamp::from_millis(NOW.as_millis() + 600_000);
    for (number, id) in ids.into_iter().enumerate() {
        loop {
            let leases: Vec<Lease> = queue.lease(id, 50, now).await.unwrap();
            if leases.is_empty() {
                break;
            }
            all.extend(leases.iter().map(|lease| (number, lease.token.seq.0)));
            let done = leases.iter().map(|lease| Settle { token: lease.token, outcome: Outcome::Done });
            queue.settle(done.collect(), now).await.unwrap();
        }
    }
    all
}

/// Every value of a table with its place: column, row's key, value.
fn values(connection: &Connection, table: &str, keys: &[&str]) -> Vec<(String, Vec<Value>, Value)> {
    let mut columns = connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
    let columns: Vec<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for column in columns {
        let sql = format!("SELECT {column}, {} FROM {table}", keys.join(", "));
        let mut select = connection.prepare(&sql).unwrap();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = (1..=keys.len()).map(|at| row.get(at).unwrap()).collect();
            all.push((column.clone(), key, row.get(0).unwrap()));
        }
    }
    all
}

/// The value with one bit changed.
fn flipped(value: &Value, bit: usize) -> Option<Value> {
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let at = bit % (bytes.len().max(1) * 8);
        *bytes.get_mut(at / 8)? ^= 1 << (at % 8);
        Some(bytes)
    };
    match value {
        Value::Integer(number) => Some(Value::Integer(number ^ (1 << (bit % 40)))),
        Value::Text(text) => String::from_utf8(flip(text.as_bytes())?).ok().map(Value::Text),
        Value::Blob(bytes) => flip(bytes).map(Value::Blob),
        Value::Null | Value::Real(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_skips_an_event() {
    let whole = filled();
    let expected = delivered(whole.path()).await;
    assert!(expected.len() > 50, "{}", expected.len());
    let mut tried = 0;
    for (table, keys) in TABLES {
        let list = filled();
        let all = values(&Connection::open(list.path().join("queue.db")).unwrap(), table, keys);
        assert!(!all.is_empty(), "{table}");
        for (number, (column, key, value)) in all.iter().enumerate() {
            let Some(changed) = flipped(value, number * 7 + 3) else { continue };
            // The body has a checksum of its own, and the id of a dead letter is given when it is stored.
            if table == "dead_letters" && (column == "body" || column == "id") {
                continue;
            }
            let dir = filled();
            let connection = Connection::open(dir.path().join("queue.db")).unwrap();
            let named = (2..).zip(keys).map(|(at, key)| format!("{key} = ?{at}")).collect::<Vec<_>>().join(" AND ");
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {named}");
            let parameters = std::iter::once(&changed).chain(key);
            let Ok(1) = connection.execute(&sql, params_from_iter(parameters)) else { continue };
            drop(connection);
            tried += 1;
            is_noticed_and_repaired(dir.path(), table, column, &expected).await;
        }
    }
    assert!(tried > 50, "{tried}");
}

async fn is_noticed_and_repaired(dir: &Path, table: &str, column: &str, expected: &BTreeSet<(usize, u64)>) {
    let at = format!("{table}.{column}");
    let report = queue_sqlite::check(dir, |_, _| {}).unwrap();
    assert!(report.findings.iter().any(|finding| finding.contains(table)), "{at}: {:?}", report.findings);
    if table != "dead_letters" {
        let refused = open(dir).unwrap_err();
        assert!(matches!(&refused, Failed::Damaged(text) if text.contains(table)), "{at}: {refused}");
    }
    let done = queue_sqlite::repair(dir).unwrap();
    assert!(!done.is_empty(), "{at}");
    let left = queue_sqlite::check(dir, |_, _| {}).unwrap().findings;
    // Which event a dead letter was about can't be known again, and is still said.
    assert!(left.is_empty() || at == "dead_letters.seq", "{at}: {left:?}");
    // A changed name is told to whoever repairs; everything else brings at least what was still to come.
    if at != "destinations.name" && at != "destinations.id" {
        let after = delivered(dir).await;
        assert!(expected.is_subset(&after), "{at}: {:?} are skipped", expected.difference(&after));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_never_delivered_and_a_damaged_state_leaves_its_group_open() {
    for (table, keys) in [("edits", &["letter"]), ("reviews", &["fingerprint"])] {
        for column in ["at", "who", "why", "body", "state", "seen"] {
            let dir = filled();
            let id = {
                let queue = open(dir.path()).unwrap();
                queue.configure(topology(&["crm", "lake"], Order::None)).unwrap();
                let letter = queue.dead_letters(DeadLetterQuery::default()).await.unwrap()[0].clone();
                let by = By::new("ann", NOW).because("because");
                assert!(queue.edit(letter.id, Some("edited".into()), by.clone()).await.unwrap());
                queue.set_review(letter.fingerprint(), ReviewState::Acknowledged, by).await.unwrap();
                letter.id
            };
            let connection = Connection::open(dir.path().join("queue.db")).unwrap();
            let all = values(&connection, table, keys);
            let Some((_, key, value)) = all.iter().find(|(name, ..)| name == column) else { continue };
            let changed = flipped(value, 3).unwrap();
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {} = ?2", keys[0]);
            assert_eq!(connection.execute(&sql, [&changed, &key[0]]).unwrap(), 1);
            drop(connection);
            let at = format!("{table}.{column}");
            let findings = queue_sqlite::check(dir.path(), |_, _| {}).unwrap().findings;
            assert!(findings.iter().any(|finding| finding.contains(table)), "{at}: {findings:?}");
            let queue = open(dir.path()).unwrap();
            queue.configure(topology(&["crm", "lake"], Order::None)).unwrap();
            let redrive = async |queue: &SqliteQueue| {
                queue.redrive(vec![id], By::new("ann", NOW)).await.unwrap()[0].result.clone()
            };
            if table == "edits" {
                assert_eq!(redrive(&queue).await, Err(NotRedriven::DamagedEdit), "{at}");
            } else {
                assert_eq!(queue.reviews().await.unwrap(), [], "{at}");
            }
            drop(queue);
            assert!(queue_sqlite::repair(dir.path()).unwrap()[0].contains(table), "{at}");
            assert_eq!(queue_sqlite::check(dir.path(), |_, _| {}).unwrap().findings, [""; 0], "{at}");
            let queue = open(dir.path()).unwrap();
            queue.configure(topology(&["crm", "lake"], Order::None)).unwrap();
            assert!(redrive(&queue).await.is_ok(), "{at}: what is left can be delivered");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_gives_no_place_out_again() {
    let dir = filled();
    let connection = Connection::open(dir.path().join("queue.db")).unwrap();
    // As retention leaves it: all is settled and gone, and what is known of it is known by the destinations alone.
    let gone = "DELETE FROM events; DELETE FROM dead_letters; DELETE FROM retries; DELETE FROM identity_log;
                DELETE FROM identity_runs; DELETE FROM identity_chunks; UPDATE state SET floor = floor + 1;";
    connection.execute_batch(gone).unwrap();
    drop(connection);
    queue_sqlite::repair(dir.path()).unwrap();
    let queue = Arc::new(open(dir.path()).unwrap());
    let ids = queue.configure(topology(&["crm", "lake"], Order::None)).unwrap();
    let publication = queue::Publication {
        proof: Arc::from("key 1"),
        source: "test".into(),
        received: NOW,
        events: vec![queue::conformance::fixture::event("both", "new", "new")],
        content: queue::Content::Plain(|_| [0; 16]),
    };
    queue.publish(publication).await.unwrap();
    for id in ids {
        assert_eq!(queue.lease(id, 10, NOW).await.unwrap().len(), 1, "nobody has settled it already");
    }
}
