//! What the index leads to is what reading everything finds, and where it does not know everything, everything is read.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use queue::conformance::fixture::{event, failure, identified};
use queue::conformance::{Fixture, Harness};
use queue::{Attempts, DeadLetterQuery, Erasure, Options, Outcome, Queue, ReplayPiece};
use rusqlite::Connection;

use super::Found;
use super::look::{by_index, by_reading};
use crate::trail_index::{build_of, store};
use crate::{SqliteQueue, schema};

/// How long the audit trail of these queues is kept: less than their events.
const AUDIT_RETENTION: Duration = Duration::from_secs(3_600);

struct InDir {
    dir: tempfile::TempDir,
    queue: Arc<SqliteQueue>,
}

impl Harness for InDir {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options =
            crate::Options { queue: options, audit_retention: AUDIT_RETENTION, ..crate::Options::new(dir.path()) };
        let queue = Arc::new(SqliteQueue::open(&options).unwrap());
        Self { dir, queue }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue) as Arc<dyn Queue>
    }

    fn crash(&mut self) {}
}

fn indexed(f: &Fixture<InDir>, conversation: &str) -> Option<Found> {
    f.harness.queue.shared.readers.with(|connection| by_index(connection, conversation)).unwrap()
}

fn read(f: &Fixture<InDir>, conversation: &str) -> Found {
    by_reading(&f.harness.queue.shared, conversation).unwrap()
}

fn open(f: &Fixture<InDir>) -> Connection {
    Connection::open(f.harness.dir.path().join(schema::FILE)).unwrap()
}

/// Does one thing of all that may happen to events.
async fn happen(f: &mut Fixture<InDir>, number: usize, (kind, a): (u8, u8)) {
    let conversation = format!("c{}", a % 4);
    let attempts = Attempts { made: 1, charged: 1, ..Attempts::default() };
    // Alike for several conversations, so that texts are shared.
    let failure = failure(&format!("refused {}", a % 3));
    match kind % 9 {
        0..=2 => drop(f.publish(vec![event("both", &conversation, &format!("body {number}"))]).await),
        3 => drop(f.publish(vec![identified(&(a % 5).to_string(), "crm", &conversation, "again")]).await),
        4 => {
            let leases = f.lease(f.crm, 2).await;
            f.settle(&leases, Outcome::Dead { attempts, failure }).await;
        }
        5 => {
            let leases = f.lease(f.lake, 2).await;
            f.settle(&leases, Outcome::Retry { at: f.now, attempts, failure }).await;
        }
        6 => {
            let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
            let ids = letters.iter().map(|letter| letter.id).take(usize::from(a % 3)).collect();
            f.queue.redrive(ids, f.by()).await.unwrap();
        }
        7 => {
            let leases = f.lease(f.crm, 1).await;
            f.settle(&leases, Outcome::Done).await;
            let events: Vec<_> =
                leases.into_iter().map(|lease| lease.stored.event.clone()).filter(|event| !event.is_erased()).collect();
            let piece = ReplayPiece {
                put_aside: 0,
                id: format!("r{number}"),
                selection: "some".to_owned(),
                destination: Arc::from("crm"),
                from: None,
                to: "end".to_owned(),
                done: true,
                erasures: f.queue.erasures(),
                events,
            };
            f.queue.replay(piece, f.now).await.unwrap();
        }
        _ => {
            let by = f.by();
            f.queue.erase(Erasure { conversation, dry_run: a % 2 == 0, by }).await.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With an index of whatever runs, and without one.
    #[test]
    fn what_the_index_leads_to_is_what_reading_finds(
        things in prop::collection::vec((any::<u8>(), any::<u8>()), 1..30), run_keys in 1_usize..30,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut f = Fixture::<InDir>::new();
        for (number, thing) in things.into_iter().enumerate() {
            runtime.block_on(happen(&mut f, number, thing));
        }
        let connection = open(&f);
        for is_indexed in [false, true] {
            if is_indexed {
                store(&connection, &build_of(&connection, run_keys).unwrap()).unwrap();
            }
            for conversation in ["c0", "c1", "c2", "c3", "nobody's"] {
                prop_assert_eq!(indexed(&f, conversation), Some(read(&f, conversation)));
            }
        }
    }
}

#[tokio::test]
async fn what_the_trail_does_not_know_any_more_is_found_by_reading() {
    let mut f = Fixture::<InDir>::new();
    f.publish(vec![event("crm", "c1", "old")]).await;
    f.publish(vec![event("crm", "c2", "old too")]).await;
    f.wait(AUDIT_RETENTION.as_secs() + 1);
    f.publish(vec![event("crm", "c3", "new")]).await;
    assert_eq!(indexed(&f, "c1").map(|found| found.places.len()), Some(1));
    while f.queue.maintain(f.now).await.unwrap().more {}
    assert_eq!(indexed(&f, "c1"), None, "its entry was dropped");
    assert_eq!(read(&f, "c1").places.len(), 1);
    let by = f.by();
    let erased = f.queue.erase(Erasure { conversation: "c1".to_owned(), dry_run: false, by }).await.unwrap();
    assert_eq!(erased.events, 1);
}

#[tokio::test]
async fn a_trail_that_was_changed_leads_nobody() {
    let f = Fixture::<InDir>::new();
    for n in 0..6 {
        f.publish(vec![event("crm", &format!("c{}", n % 2), &format!("body {n}"))]).await;
    }
    let connection = open(&f);
    let changed: i64 = connection
        .query_row("SELECT block FROM audit ORDER BY block DESC LIMIT 1 OFFSET 2", [], |row| row.get(0))
        .unwrap();
    connection.execute("UPDATE audit SET hash = zeroblob(32) WHERE block = ?1", [changed]).unwrap();
    assert_eq!(indexed(&f, "c1"), None);
    assert_eq!(read(&f, "c1").places.len(), 3);
}
