//! Fills a queue so that every table has rows, for the fixtures of old formats: see `tests/formats/README.md`.
//!
//! `cargo run -p queue-sqlite --example fill_queue -- DIRECTORY`
#![expect(clippy::expect_used, clippy::panic, reason = "a tool of the tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, body, event, failure, identified, topology};
use queue::conformance::{Fixture, Harness};
use queue::{Attempts, Lease, MemoryQueue, Options, Order, Outcome, Queue, Rejection, Stage};
use queue_sqlite::SqliteQueue;

/// Identities of a run: few, so that there are runs and a log of identities.
const SEAL_AT: usize = 40;

/// The queue in the directory that was named.
struct Named(Arc<SqliteQueue>);

impl Harness for Named {
    fn new(options: Options) -> Self {
        let dir = std::env::args().nth(1).unwrap_or_else(|| panic!("name a directory"));
        assert!(!Path::new(&dir).join("queue.db").exists(), "there is a queue in {dir} already");
        let options = queue_sqlite::Options { queue: options, ..queue_sqlite::Options::new(dir) };
        Self(Arc::new(SqliteQueue::open_sealing_at(&options, SEAL_AT).expect("opens")))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.0) as Arc<dyn Queue>
    }

    fn crash(&mut self) {}
}

#[tokio::main]
async fn main() {
    assert_eq!(OPTIONS.retention, Duration::from_secs(7_200), "what follows counts on it");
    let mut f = Fixture::<Named>::new();
    leave_a_dead_letter_beyond_retention(&mut f).await;
    publish(&f).await;
    settle_in_part(&f).await;
    let rejection = Rejection {
        proof: Arc::from("key 1"),
        source: Arc::from("test"),
        received: f.now,
        failure: queue::Failure { stage: Stage::Intake, ..failure("no JSON") },
        body: bytes::Bytes::from_static(b"neither JSON nor an event"),
    };
    f.queue.reject(rejection).await.expect("rejects");
    f.queue.close().await.expect("closes");
    f.queue = Arc::new(MemoryQueue::default());
}

/// Places 1 to 30: all settled and dropped but the event of 7, which is dead at the lake.
async fn leave_a_dead_letter_beyond_retention(f: &mut Fixture<Named>) {
    f.publish((1..=30).map(|n| event("both", &format!("c{n}"), &format!("old {n}"))).collect()).await;
    f.drain(f.crm).await;
    let (dead, done): (Vec<_>, Vec<_>) = f.lease(f.lake, 100).await.into_iter().partition(|lease| place(lease) == 7);
    let attempts = Attempts { made: 1, charged: 1, first: Some(f.now), last: Some(f.now) };
    f.settle(&dead, Outcome::Dead { attempts, failure: failure("refused") }).await;
    f.settle(&done, Outcome::Done).await;
    f.wait(7_201);
    while f.queue.maintain(f.now).await.expect("maintains").more {}
}

/// Places 31 to 90 for both, 91 to 95 for nobody, 96 a conflict with 40 for both; three duplicates.
async fn publish(f: &Fixture<Named>) {
    for n in 31..=90 {
        f.publish(vec![event("both", &format!("c{n}"), &format!("new {n}"))]).await;
    }
    f.publish((91..=95).map(|n| event("nobody", "", &format!("new {n}"))).collect()).await;
    f.publish(vec![identified("new 40", "both", "c40", "other 40")]).await;
    f.publish((50..53).map(|n| event("both", &format!("c{n}"), &format!("new {n}"))).collect()).await;
}

/// The CRM has 31 dead, 33 and 35 waiting for a retry, even places done; the lake has 31 to 50 done and 60 dead.
async fn settle_in_part(f: &Fixture<Named>) {
    // All of them at once, whatever their conversations: the conflict would wait behind the event it conflicts with.
    f.queue.configure(topology(&["crm", "lake"], Order::None)).expect("configures");
    let attempts = Attempts { made: 3, charged: 2, first: Some(f.now), last: Some(f.now.plus(Duration::from_secs(5))) };
    for lease in f.lease(f.crm, 1_000).await {
        let outcome = match place(&lease) {
            31 => Outcome::Dead { attempts, failure: failure("refused") },
            33 | 35 => Outcome::Retry { at: due(f.now), attempts, failure: failure("busy") },
            even if even.is_multiple_of(2) && even <= 90 => Outcome::Done,
            _ => Outcome::Release,
        };
        f.settle(&[lease], outcome).await;
    }
    for lease in f.lease(f.lake, 1_000).await {
        let outcome = match place(&lease) {
            31..=50 => Outcome::Done,
            60 => Outcome::Dead { attempts, failure: failure("refused") },
            _ => Outcome::Release,
        };
        assert!(body(&lease).ends_with(&place(&lease).to_string()) || place(&lease) == 96);
        f.settle(&[lease], outcome).await;
    }
}

fn due(now: Timestamp) -> Timestamp {
    now.plus(Duration::from_secs(600))
}

fn place(lease: &Lease) -> u64 {
    lease.token.seq.0
}
