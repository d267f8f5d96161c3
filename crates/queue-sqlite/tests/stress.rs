//! Everything at once: publishing, redelivery of known events, deliveries that fail, upkeep and crash copies, with runs
//! of identities so small that many are sealed, expire and are read back. Afterwards nothing is lost, doubled or out of
//! order, and each copy that a crash would have left answers for what had been acknowledged when it was made.
#![cfg(test)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event::{EventId, Timestamp};
use queue::conformance::fixture::{body, failure, identified, topology};
use queue::{
    Attempts, ConsumerId, DeadLetterQuery, Lease, Options, Order, Outcome, Publication, Published, Queue, Settle,
};
use queue_sqlite::SqliteQueue;
use rusqlite::Connection;

const PUBLISHERS: u64 = 4;
const PUBLICATIONS: u64 = 150;
/// So many that the bodies of their first events alone are more than a destination keeps in memory.
const CONVERSATIONS: u64 = 800;
/// Identities of a run: some dozen runs in one game.
const SEAL_AT: usize = 200;
/// Bytes of a body: all of them are several times what a destination keeps in memory, so one that falls behind reads.
const BODY: usize = 14_000;
const DESTINATIONS: [&str; 2] = ["crm", "lake"];
const START: i64 = 1_773_957_888_000;

fn options(dir: &Path) -> queue_sqlite::Options {
    let times = Options {
        dedupe_window: Duration::from_secs(3_600),
        retention: Duration::from_secs(7_200),
        times: queue::Times { lease: queue::Times::LEASE, longest_wait: queue::Times::LONGEST_WAIT },
    };
    queue_sqlite::Options { queue: times, ..queue_sqlite::Options::new(dir) }
}

fn open(dir: &Path) -> (Arc<SqliteQueue>, Vec<ConsumerId>) {
    let queue = Arc::new(SqliteQueue::open_sealing_at(&options(dir), SEAL_AT).expect("opens"));
    let ids = queue.configure(topology(&DESTINATIONS, Order::Conversation)).expect("configures");
    (queue, ids)
}

struct Game {
    queue: Arc<SqliteQueue>,
    ids: Vec<ConsumerId>,
    clock: AtomicI64,
    over: AtomicBool,
    /// Place → body of what was acknowledged.
    accepted: Mutex<BTreeMap<u64, String>>,
    duplicates: AtomicUsize,
}

impl Game {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.clock.load(Ordering::Relaxed))
    }

    async fn publish(&self, names: &[String]) -> Vec<Published> {
        let event = |name: &String| {
            let number: u64 = name.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            identified(name, "both", &format!("c{}", number % CONVERSATIONS), &format!("{name:BODY$}"))
        };
        let events = names.iter().map(event).collect();
        let content = |bytes: &[u8]| *EventId::from_identity("content", [bytes]).as_bytes();
        let publication = Publication {
            proof: "key 1".into(),
            source: Arc::from("test"),
            received: self.now(),
            events,
            content: queue::Content::Plain(content),
        };
        self.queue.publish(publication).await.expect("publishes")
    }

    /// Each publisher sends events of its own, and all of its last ones again.
    async fn publisher(self: Arc<Self>, number: u64) {
        for n in 0..PUBLICATIONS {
            let names: Vec<_> = (0..6).map(|m| format!("{number} {}", n * 6 + m)).collect();
            let published = self.publish(&names).await;
            for (name, published) in names.iter().zip(published) {
                let Published::Accepted { seq, .. } = published else { panic!("{name}: {published:?}") };
                let before = self.accepted.lock().expect("locks").insert(seq.0, name.clone());
                assert_eq!(before, None, "a place is given twice");
            }
            let again: Vec<_> =
                (0..20).filter_map(|m| (n * 6).checked_sub(m * 13)).map(|n| format!("{number} {n}")).collect();
            let published = self.publish(&again).await;
            assert!(published.iter().all(Published::is_duplicate), "known: {again:?}, got {published:?}");
            self.duplicates.fetch_add(again.len(), Ordering::Relaxed);
        }
    }

    /// Delivers, with failures by the place, until everything has been settled.
    async fn deliver(self: Arc<Self>, id: ConsumerId) -> Deliveries {
        let mut deliveries = Deliveries::default();
        // The second destination begins late, when it cannot keep up from memory.
        let begin = if id == self.ids[0] { 0 } else { PUBLISHERS * PUBLICATIONS * 4 };
        while (self.accepted.lock().expect("locks").len() as u64) < begin {
            self.queue.changed(id).await;
        }
        loop {
            let over = self.over.load(Ordering::Relaxed);
            let now = self.now();
            let leases = self.queue.lease(id, 50, now).await.expect("leases");
            if leases.is_empty() {
                match self.queue.next_due(id) {
                    // Time goes on only to what is due next, so that no lease ends.
                    Some(due) => drop(self.clock.fetch_max(due.as_millis() - START, Ordering::Relaxed)),
                    None if over => return deliveries,
                    None => tokio::task::yield_now().await,
                }
                continue;
            }
            let settlements = leases.iter().map(|lease| deliveries.attempt(lease, now)).collect();
            self.queue.settle(settlements, now).await.expect("settles");
        }
    }

    async fn maintain(self: Arc<Self>) {
        while !self.over.load(Ordering::Relaxed) {
            self.queue.maintain(self.now()).await.expect("maintains");
            self.queue.status(self.now()).await.expect("tells");
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Default)]
struct Deliveries {
    done: Vec<(u64, String)>,
    dead: HashSet<u64>,
    tried: HashMap<u64, u32>,
    latest: HashMap<String, u64>,
}

impl Deliveries {
    fn attempt(&mut self, lease: &Lease, now: Timestamp) -> Settle {
        let seq = lease.token.seq.0;
        let made = self.tried.entry(seq).or_default();
        assert_eq!(lease.attempts.made, *made, "attempts of {seq}");
        *made += 1;
        let conversation = lease.stored.event.conversation.as_deref().unwrap_or_default().to_owned();
        let latest = self.latest.insert(conversation, seq).unwrap_or(0);
        assert!(latest <= seq, "{seq} after {latest}");
        let attempts = Attempts { made: *made, charged: *made, first: Some(now), last: Some(now) };
        let outcome = match (seq % 17, *made) {
            (3, 1..3) => {
                Outcome::Retry { at: now.plus(Duration::from_millis(seq % 40)), attempts, failure: failure("busy") }
            }
            (5, _) => Outcome::Dead { attempts, failure: failure("no") },
            _ => Outcome::Done,
        };
        let first = match outcome {
            Outcome::Dead { .. } => self.dead.insert(seq),
            Outcome::Done | Outcome::Delivered(_) => {
                self.done.push((seq, body(lease).trim_end().to_owned()));
                true
            }
            _ => true,
        };
        assert!(first, "{seq} dies twice");
        Settle { token: lease.token, outcome }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_doubled_or_out_of_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (queue, ids) = open(dir.path());
    let game = Arc::new(Game {
        queue,
        ids,
        clock: AtomicI64::new(0),
        over: AtomicBool::new(false),
        accepted: Mutex::default(),
        duplicates: AtomicUsize::new(0),
    });
    let publishers: Vec<_> = (0..PUBLISHERS).map(|n| tokio::spawn(Arc::clone(&game).publisher(n))).collect();
    let deliveries: Vec<_> = game.ids.iter().map(|&id| tokio::spawn(Arc::clone(&game).deliver(id))).collect();
    let maintaining = tokio::spawn(Arc::clone(&game).maintain());
    for (number, publisher) in publishers.into_iter().enumerate() {
        publisher.await.expect("publishes");
        let accepted = game.accepted.lock().expect("locks").clone();
        let copy = if number % 2 == 0 { backup_of(dir.path()) } else { copy_of(dir.path()) };
        tokio::spawn(answers_for(copy, accepted)).await.expect("answers");
    }
    game.over.store(true, Ordering::Relaxed);
    maintaining.await.expect("maintains");
    let accepted = game.accepted.lock().expect("locks").clone();
    for delivery in deliveries {
        let delivery = delivery.await.expect("delivers");
        let done: BTreeMap<u64, String> = delivery.done.iter().cloned().collect();
        assert_eq!(done.len(), delivery.done.len(), "something is delivered twice");
        let wanted = accepted.iter().filter(|(seq, _)| *seq % 17 != 5);
        assert!(done.iter().eq(wanted), "{} of {}", done.len(), accepted.len());
        assert_eq!(delivery.dead.len(), accepted.keys().filter(|seq| *seq % 17 == 5).count());
    }
    let status = game.queue.status(game.now()).await.expect("tells");
    assert_eq!(status.accepted, PUBLISHERS * PUBLICATIONS * 6);
    assert_eq!(status.duplicates, game.duplicates.load(Ordering::Relaxed) as u64);
    assert!(status.consumers.iter().all(|c| (c.unsettled, c.leased, c.retrying) == (0, 0, 0)), "{status:?}");
    expires(&game).await;
    game.queue.close().await.expect("closes");
    let report = queue_sqlite::check(dir.path(), |_, _| {}).expect("reads");
    assert_eq!(report.findings, [""; 0]);
}

/// The files as a crash would leave them now.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    // Whoever reads keeps the write-ahead log from starting anew, so that the copies of both files fit each other.
    let reading = Connection::open(dir.join("queue.db")).expect("opens");
    reading.execute_batch("BEGIN; SELECT * FROM state;").expect("reads");
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["queue.db", "queue.db-wal"] {
        std::fs::copy(dir.join(name), copy.path().join(name)).expect("copies");
    }
    copy
}

/// A backup that is made while the queue works.
fn backup_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    queue_sqlite::backup(dir, &copy.path().join("queue.db")).expect("copies");
    copy
}

/// After the window every identity is new again, and after retention only the events of dead letters are left.
async fn expires(game: &Game) {
    game.clock.fetch_add(7_300_000, Ordering::Relaxed);
    let mut dropped = 0;
    loop {
        let maintained = game.queue.maintain(game.now()).await.expect("maintains");
        dropped += maintained.identities_dropped;
        if !maintained.more {
            break;
        }
    }
    assert!(dropped > 10 * SEAL_AT as u64, "{dropped} identities have been dropped");
    assert_eq!(game.queue.status(game.now()).await.expect("tells").retained, 0);
    let published = game.publish(&["0 0".to_owned()]).await;
    assert!(matches!(published[0], Published::Accepted { .. }), "{published:?}");
}

/// What a crash leaves behind has every acknowledged event, knows it, and delivers or has settled it.
async fn answers_for(copy: tempfile::TempDir, accepted: BTreeMap<u64, String>) {
    let (queue, ids) = open(copy.path());
    let game = Game {
        queue,
        ids,
        clock: AtomicI64::new(600_000),
        over: AtomicBool::new(false),
        accepted: Mutex::default(),
        duplicates: AtomicUsize::new(0),
    };
    let names: Vec<String> = accepted.values().cloned().collect();
    let published = game.publish(&names).await;
    let unknown = published.iter().zip(&names).find(|(published, _)| !published.is_duplicate());
    assert_eq!(unknown, None, "acknowledged, but not known after a crash");
    for (seq, published) in accepted.keys().zip(&published).step_by(97) {
        let found = game.queue.event(published.id()).await.expect("reads").expect("is there");
        assert_eq!(found.seq.0, *seq);
    }
    let before = game.queue.status(game.now()).await.expect("tells");
    for (&id, before) in game.ids.iter().zip(&before.consumers) {
        let mut delivered = 0;
        let mut latest: HashMap<String, u64> = HashMap::new();
        loop {
            let leases = game.queue.lease(id, 50, game.now()).await.expect("leases");
            if leases.is_empty() {
                break;
            }
            delivered += leases.len() as u64;
            for lease in &leases {
                let conversation = lease.stored.event.conversation.as_deref().unwrap_or_default().to_owned();
                assert!(latest.insert(conversation, lease.token.seq.0) < Some(lease.token.seq.0), "out of order");
            }
            let settle = |lease: &Lease| Settle { token: lease.token, outcome: Outcome::Done };
            game.queue.settle(leases.iter().map(settle).collect(), game.now()).await.expect("settles");
        }
        assert_eq!(
            before.delivered + before.dead_letters + delivered,
            game.queue.status(game.now()).await.expect("tells").accepted
        );
    }
    let query = DeadLetterQuery { limit: 100_000, ..DeadLetterQuery::default() };
    let letters = game.queue.dead_letters(query).await.expect("lists");
    let places: HashSet<_> = letters.iter().map(|letter| (letter.destination.clone(), letter.seq)).collect();
    assert_eq!(places.len(), letters.len(), "a delivery has died twice");
}
