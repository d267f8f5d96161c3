//! Databases of every format that was ever written: opened with the present program, everything in them is there.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;

use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, body, event, identified, topology};
use queue::conformance::{Fixture, Harness};
use queue::{Attempts, DeadLetterQuery, Options, Order, Outcome, Queue, Stage};
use queue_sqlite::SqliteQueue;
use rusqlite::Connection;
use tempfile::TempDir;

/// See `formats/README.md`.
const FORMATS: [&str; 4] = [
    include_str!("formats/version-1.sql"),
    include_str!("formats/version-2.sql"),
    include_str!("formats/version-3.sql"),
    include_str!("formats/version-4.sql"),
];
/// When the queues were filled.
const NOW: Timestamp = Timestamp::from_millis(1_773_965_089_000);

/// A queue that was there before.
struct Filled {
    dir: TempDir,
    queue: Option<Arc<SqliteQueue>>,
}

fn open(dir: &Path) -> Arc<SqliteQueue> {
    let options = queue_sqlite::Options { queue: OPTIONS, ..queue_sqlite::Options::new(dir) };
    Arc::new(SqliteQueue::open(&options).expect("opens"))
}

impl Harness for Filled {
    fn new(_: Options) -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), queue: None }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(self.queue.as_ref().expect("open")) as Arc<dyn Queue>
    }

    fn crash(&mut self) {
        self.queue = None;
        self.queue = Some(open(self.dir.path()));
    }
}

fn restore(sql: &str, dir: &Path) {
    let connection = Connection::open(dir.join("queue.db")).expect("opens");
    connection.execute_batch(sql).expect("restores");
}

fn filled(sql: &str) -> Fixture<Filled> {
    let mut harness = Filled::new(OPTIONS);
    restore(sql, harness.dir.path());
    harness.crash();
    let queue = harness.queue();
    let ids = queue.configure(topology(&["crm", "lake"], Order::None)).expect("configures");
    Fixture { harness, queue, crm: ids[0], lake: ids[1], now: NOW }
}

fn bodies(places: impl IntoIterator<Item = u64>) -> Vec<String> {
    let body = |place| if place == 96 { "other 40".to_owned() } else { format!("new {place}") };
    places.into_iter().map(body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_stays_settled_and_the_rest_is_delivered() {
    for sql in FORMATS {
        let mut f = filled(sql);
        let status = f.queue.status(f.now).await.expect("tells");
        assert_eq!((status.accepted, status.retained, status.unmatched), (96, 66, 5));
        assert_eq!(
            status.consumers.iter().map(|c| (c.watermark, c.delivered)).collect::<Vec<_>>(),
            [(32, 60), (50, 49)]
        );
        f.crash();
        f.queue.configure(topology(&["crm", "lake"], Order::None)).expect("configures");
        assert_eq!(f.drain(f.crm).await, bodies((37..90).step_by(2).chain([96])), "two wait for their retry");
        assert_eq!(f.drain(f.lake).await, bodies((51..60).chain(61..=90).chain([96])));
        f.wait(600);
        let retried = f.lease(f.crm, 10).await;
        let attempts = Attempts {
            made: 3,
            charged: 2,
            first: Some(NOW),
            last: Some(Timestamp::from_millis(NOW.as_millis() + 5_000)),
        };
        assert_eq!(
            retried.iter().map(|lease| (body(lease), lease.attempts)).collect::<Vec<_>>(),
            [("new 33".to_owned(), attempts), ("new 35".to_owned(), attempts)]
        );
        f.settle(&retried, Outcome::Done).await;
        let status = f.queue.status(f.now).await.expect("tells");
        assert!(status.consumers.iter().all(|c| (c.watermark, c.unsettled) == (96, 0)), "{status:?}");
        f.queue.close().await.expect("closes");
        let report = queue_sqlite::check(f.harness.dir.path(), |_, _| {}).expect("reads");
        assert_eq!(report.findings, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_with_their_bodies() {
    for sql in FORMATS {
        let f = filled(sql);
        assert_eq!(f.queue.status(f.now).await.expect("tells").dead_letters, 4);
        let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
        let mut bodies = Vec::new();
        for letter in &letters {
            let whole = f.queue.dead_letter(letter.id).await.expect("reads").expect("is there");
            bodies.push(String::from_utf8(whole.body.expect("a body").to_vec()).expect("text"));
        }
        assert_eq!(bodies, ["old 7", "new 31", "new 60", "neither JSON nor an event"]);
        let of: Vec<_> = letters.iter().map(|letter| (letter.destination.as_deref(), letter.failure.stage)).collect();
        assert_eq!(
            of,
            [
                (Some("lake"), Stage::Deliver),
                (Some("crm"), Stage::Deliver),
                (Some("lake"), Stage::Deliver),
                (None, Stage::Intake)
            ]
        );
        assert!(letters.iter().all(|letter| letter.failure.status == Some(503)), "{letters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_are_known() {
    for sql in FORMATS {
        let f = filled(sql);
        let known = (31..=90).map(|n| event("both", &format!("c{n}"), &format!("new {n}")));
        let conflict = identified("new 40", "both", "c40", "other 40");
        let published = f.publish(known.chain([conflict]).collect()).await;
        assert!(published.iter().all(queue::Published::is_duplicate), "{published:?}");
        assert_eq!(f.queue.status(f.now).await.expect("tells").duplicates, 3 + 61);
    }
}
