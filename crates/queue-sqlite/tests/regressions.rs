//! One case for each bug that was fixed, named after what it prevents.
#![cfg(test)]

mod on_disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event::Timestamp;
use on_disk::OnDisk;
use queue::conformance::Fixture;
use queue::conformance::fixture::{body, event, failure, identified, topology};
use queue::{Attempts, DeadLetterQuery, Order, Outcome, Publication, Queue, QueueError};
use rusqlite::Connection;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("in time")
}

async fn messages(queue: &Arc<dyn Queue>) -> Vec<String> {
    let letters = queue.dead_letters(DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() }).await;
    letters.expect("lists").into_iter().map(|letter| letter.failure.message).collect()
}

fn outside(f: &Fixture<OnDisk>) -> Connection {
    let connection = Connection::open(f.harness.dir.path().join("queue.db")).expect("opens");
    connection.busy_timeout(DEADLINE).expect("waits");
    connection
}

fn damage(f: &Fixture<OnDisk>, seq: u64) {
    let changed = outside(f).execute("UPDATE events SET body = x'00' WHERE seq = ?1", [seq as i64]);
    assert_eq!(changed.expect("changes"), 1);
}

/// The router and the places that it names change together, whatever is published or read meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_configuration_loses_no_event_that_is_under_way() {
    const EVENTS: usize = 3_000;
    let f = Arc::new(Fixture::<OnDisk>::new());
    let published = Arc::new(AtomicBool::new(false));
    let (queue, over) = (Arc::clone(&f.queue), Arc::clone(&published));
    let configuring = tokio::task::spawn_blocking(move || {
        let mut turn = 0;
        while !over.load(Ordering::Relaxed) || turn % 2 == 1 {
            let names: &[&str] = if turn % 2 == 0 { &["lake", "crm"] } else { &["crm", "lake"] };
            queue.configure(topology(names, Order::Conversation)).expect("configures");
            turn += 1;
        }
        turn
    });
    let draining = {
        let (f, over) = (Arc::clone(&f), Arc::clone(&published));
        tokio::spawn(async move {
            let mut delivered = Vec::new();
            loop {
                let last = over.load(Ordering::Relaxed);
                delivered.extend(f.drain(f.crm).await);
                if last {
                    return delivered;
                }
            }
        })
    };
    for n in 0..EVENTS / 3 {
        let one = |m| event("crm", &format!("c{}", n % 50), &format!("{n} {m}"));
        f.publish((0..3).map(one).collect()).await;
    }
    published.store(true, Ordering::Relaxed);
    let turns = configuring.await.expect("configures");
    let mut delivered = draining.await.expect("drains");
    delivered.extend(f.drain(f.crm).await);
    assert_eq!(delivered.len(), EVENTS, "after {turns} configurations");
    assert!(f.drain(f.lake).await.is_empty(), "nothing was for the lake");
}

/// What customers have said, and who said it, is for the user that runs the server; others see not even names.
#[test]
fn the_directory_and_all_that_is_in_it_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("made/data");
    let options = || queue_sqlite::Options::new(&dir);
    drop(queue_sqlite::SqliteQueue::open(&options()).expect("opens"));
    assert_eq!((mode(&dir), mode(&parent.path().join("made"))), (0o700, 0o700));
    for file in std::fs::read_dir(&dir).expect("lists") {
        let path = file.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    // One that somebody has opened to a group on purpose stays so.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o750)).expect("changes");
    drop(queue_sqlite::SqliteQueue::open(&options()).expect("opens"));
    assert_eq!(mode(&dir), 0o750);
}

/// Who wants an old event is not known before the destinations are.
#[tokio::test(flavor = "multi_thread")]
async fn upkeep_before_the_first_configuration_drops_nothing_undelivered() {
    use queue::conformance::Harness;
    let mut f = Fixture::<OnDisk>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    f.queue = Arc::new(queue::MemoryQueue::default());
    f.harness.crash();
    f.queue = f.harness.queue();
    f.wait(7_201);
    assert_eq!(f.queue.maintain(f.now).await.expect("maintains").events_dropped, 0);
    f.crm = f.queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures")[0];
    assert_eq!(f.queue.maintain(f.now).await.expect("maintains").expired, 1);
    assert_eq!(messages(&f.queue).await.len(), 1);
}

/// An event is delivered or expires, never both, however close they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_that_expires_is_not_leased_meanwhile() {
    const EVENTS: usize = 4_000;
    let mut f = Fixture::<OnDisk>::new();
    f.publish((0..EVENTS).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    f.wait(7_201);
    let f = Arc::new(f);
    let maintaining = {
        let f = Arc::clone(&f);
        tokio::spawn(async move {
            for _ in 0..40 {
                f.queue.maintain(f.now).await.expect("maintains");
            }
        })
    };
    let mut delivered = Vec::new();
    loop {
        let last = maintaining.is_finished();
        let leases = f.queue.lease(f.crm, 3, f.now).await.expect("leases");
        f.settle(&leases, Outcome::Done).await;
        delivered.extend(leases.iter().map(|lease| lease.token.seq));
        if last && leases.is_empty() {
            break;
        }
    }
    maintaining.await.expect("maintains");
    let query = DeadLetterQuery { limit: EVENTS, ..DeadLetterQuery::default() };
    let expired: Vec<_> = f.queue.dead_letters(query).await.expect("lists").iter().filter_map(|l| l.seq).collect();
    let both = delivered.iter().filter(|seq| expired.contains(seq)).count();
    assert_eq!((both, delivered.len() + expired.len()), (0, EVENTS));
}

/// Looking at the queue takes nothing from whoever waits for the time.
#[tokio::test(flavor = "multi_thread")]
async fn status_and_upkeep_do_not_hide_what_is_due() {
    let mut f = Fixture::<OnDisk>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2")]).await;
    let leases = f.lease(f.crm, 1).await;
    let at = f.now.plus(Duration::from_secs(10));
    let attempts = Attempts { made: 1, ..Attempts::default() };
    f.settle(&leases, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    f.lease(f.crm, 1).await;
    f.wait(70);
    f.queue.status(f.now).await.expect("tells");
    f.queue.maintain(f.now).await.expect("maintains");
    assert_eq!(f.queue.next_due(f.crm), Some(at));
}

/// A bug in what a caller brings along stops the queue; it leaves nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_a_writer_that_has_ended() {
    let f = Fixture::<OnDisk>::new();
    f.publish(vec![identified("1", "crm", "a", "one")]).await;
    let publication = Publication {
        proof: Arc::from("key 1"),
        source: Arc::from("test"),
        received: f.now,
        events: vec![identified("1", "crm", "a", "two")],
        content: queue::Content::Plain(|_| panic!("a bug")),
    };
    assert!(soon(f.queue.publish(publication)).await.is_err());
    soon(f.queue.changed(f.crm)).await;
    assert!(soon(f.queue.settle(Vec::new(), f.now)).await.is_err());
    let queue = Arc::clone(&f.queue);
    let configuring = tokio::task::spawn_blocking(move || queue.configure(topology(&["crm"], Order::None)));
    assert!(soon(configuring).await.expect("ends").is_err());
    assert!(f.queue.poisoned().is_some());
}

/// One damaged event is no reason to stop, also when someone asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_damaged_event_does_not_stop_the_queue() {
    let f = Fixture::<OnDisk>::new();
    let published = f.publish(vec![event("crm", "a", "1")]).await;
    damage(&f, 1);
    let asked = f.queue.event(published[0].id()).await;
    assert!(matches!(asked, Err(QueueError::Damaged { .. })), "{asked:?}");
    assert_eq!(f.queue.poisoned(), None);
    f.publish(vec![event("crm", "a", "2")]).await;
}

/// Files that cannot be opened for the moment, for example because too many are open, are no damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_cannot_open_the_file_does_not_stop_the_queue() {
    let f = Fixture::<OnDisk>::new();
    let (file, away) = (f.harness.dir.path().join("queue.db"), f.harness.dir.path().join("away"));
    std::fs::rename(&file, &away).expect("renames");
    let asked = f.queue.dead_letters(DeadLetterQuery::default()).await;
    assert!(matches!(asked, Err(QueueError::Transient { .. })), "{asked:?}");
    std::fs::rename(&away, &file).expect("renames");
    f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    f.publish(vec![event("crm", "a", "1")]).await;
}

/// A damaged place becomes one dead letter, also when the queue is killed right after.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_is_buried_once() {
    let mut f = Fixture::<OnDisk>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2"), event("crm", "c", "3")]).await;
    damage(&f, 2);
    f.crash();
    let began = Instant::now();
    assert_eq!(f.lease(f.crm, 10).await.len(), 2);
    while messages(&f.queue).await.is_empty() {
        assert!(began.elapsed() < DEADLINE, "the damaged event is never buried");
        tokio::task::yield_now().await;
    }
    f.crash();
    assert_eq!(f.drain(f.crm).await, ["1", "3"]);
    // Settling has gone through the writer, and so has whatever came before it.
    assert_eq!(messages(&f.queue).await.len(), 1, "{:?}", messages(&f.queue).await);
}

/// What has gone with retention is not taken for damage when its destination comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_comes_back_after_retention_finds_no_damage() {
    let mut f = Fixture::<OnDisk>::new();
    f.publish((0..5).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    let leases = f.lease(f.crm, 1).await;
    let attempts = Attempts { made: 1, ..Attempts::default() };
    f.settle(&leases, Outcome::Retry { at: f.now, attempts, failure: failure("busy") }).await;
    f.queue.configure(topology(&["lake"], Order::Conversation)).expect("configures");
    f.wait(7_201);
    assert_eq!(f.queue.maintain(f.now).await.expect("maintains").events_dropped, 4, "all but the one that has failed");
    f.queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures");
    f.publish(vec![event("crm", "a", "new")]).await;
    assert_eq!(f.drain(f.crm).await, ["new"]);
    assert_eq!(messages(&f.queue).await, ["not delivered before the end of retention"]);
    assert_eq!(f.queue.status(f.now).await.expect("tells").consumers[0].retrying, 0);
}

/// The window is never shorter than it was promised, not by a fraction of a second either.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_known_until_the_very_end_of_the_window() {
    let mut f = Fixture::<OnDisk>::new();
    f.now = Timestamp::from_millis(1_773_957_888_900);
    f.publish(vec![event("crm", "a", "1")]).await;
    f.now = f.now.plus(Duration::from_millis(3_599_999));
    assert!(f.publish(vec![event("crm", "a", "1")]).await[0].is_duplicate());
    f.wait(2);
    assert!(!f.publish(vec![event("crm", "a", "1")]).await[0].is_duplicate());
}

/// Every call fails once the queue is closed, also those that need no writer.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_leased_or_read_after_closing() {
    let f = Fixture::<OnDisk>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    f.queue.close().await.expect("closes");
    assert!(matches!(f.queue.lease(f.crm, 1, f.now).await, Err(QueueError::Closed)));
    assert!(matches!(f.queue.status(f.now).await, Err(QueueError::Closed)));
    assert!(matches!(f.queue.dead_letters(DeadLetterQuery::default()).await, Err(QueueError::Closed)));
    soon(f.queue.changed(f.crm)).await;
}

/// Chunks of a run that was never finished go, whatever its number was.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_every_unfinished_run() {
    let mut f = Fixture::<OnDisk>::new();
    outside(&f).execute("INSERT INTO identity_chunks VALUES (7 << 24, zeroblob(32))", []).expect("inserts");
    f.crash();
    let left: i64 =
        outside(&f).query_row("SELECT count(*) FROM identity_chunks", [], |row| row.get(0)).expect("counts");
    assert_eq!(left, 0);
}

/// A destination that is left out while its events are being read keeps them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_destination_that_is_left_out_while_it_reads_keeps_its_events() {
    let f = Fixture::<OnDisk>::new();
    for round in 0..60 {
        f.publish((0..20).map(|n| event("crm", &format!("c{n}"), &format!("{round} {n}"))).collect()).await;
        // Lets go of all bodies, so that the lease has to read them.
        f.queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures");
        let (queue, crm, now) = (Arc::clone(&f.queue), f.crm, f.now);
        let leasing = tokio::spawn(async move { queue.lease(crm, 20, now).await });
        f.queue.configure(topology(&["lake"], Order::Conversation)).expect("configures");
        let leases = leasing.await.expect("ends").expect("leases");
        f.settle(&leases, Outcome::Done).await;
        f.queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures");
        let mut delivered: Vec<_> = leases.iter().map(body).collect();
        let began = Instant::now();
        while delivered.len() < 20 && began.elapsed() < DEADLINE / 10 {
            delivered.extend(f.drain(f.crm).await);
        }
        assert_eq!(delivered.len(), 20, "round {round}");
    }
}

/// Redriving many large events at once would hold all their bodies in memory until the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_large_events_takes_several_commits() {
    let f = Fixture::<OnDisk>::new();
    let large = "x".repeat(9 << 20);
    f.publish((0..3).map(|n| event("crm", &format!("c{n}"), &format!("{n}{large}"))).collect()).await;
    for _ in 0..3 {
        // Few large ones are in memory at a time.
        let leases = f.lease(f.crm, 1).await;
        f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    }
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    assert_eq!(ids.len(), 3);
    let first = f.queue.redrive(ids.clone(), f.by()).await.expect("redrives");
    assert_eq!(first.iter().map(|outcome| outcome.id).collect::<Vec<_>>(), ids[..2], "as many as fit");
    let rest = f.queue.redrive(ids[2..].to_vec(), f.by()).await.expect("redrives");
    assert!(rest.len() == 1 && rest[0].result.is_ok());
    assert_eq!(f.queue.status(f.now).await.expect("tells").dead_letters, 0);
}
