//! The writer when commits fail, driven turn by turn.

use event::{Event, EventId, Timestamp};
use queue::{
    Attempts, Consumer as Configured, Failure, FailureClass, LeaseToken, Order, Outcome, Router, Routes, Seq, Settle,
    Stage, Target, Times, Topology, body_hash,
};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Receiver};

use super::*;
use crate::inbox::{Prepared, Publish};
use crate::log::Damage;
use crate::reader::Readers;
use crate::{TellWriter, schema};

const TIMES: Times = Times { lease: Times::LEASE, longest_wait: Times::LONGEST_WAIT };
const LARGE: usize = 1 << 20;
const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

struct Everything;

impl Router for Everything {
    fn route(&self, _: &Event) -> Routes {
        [Target { consumer: 0, route: 0 }].into_iter().collect()
    }
}

struct Bench {
    writer: Writer,
    shared: Arc<Shared>,
    id: queue::ConsumerId,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(dir.path()).unwrap();
        let readers = Readers::new(dir.path().to_owned());
        let shared = Arc::new(Shared::new(dir.path().to_owned(), TIMES, readers, Vec::new()).unwrap());
        let checkpointer = Checkpointer::start(dir.path(), TellWriter(Arc::clone(&shared))).unwrap();
        let retention = Retention { events: Duration::from_secs(7_200), audit: Duration::from_secs(7_200) };
        let known = Known::load(&connection, Duration::from_secs(3_600), 100).unwrap();
        let mut writer = Writer::new(connection, Arc::clone(&shared), known, retention, checkpointer).unwrap();
        let consumers = vec![Configured {
            name: Arc::from("crm"),
            order: Order::Conversation,
            behind_dead: queue::BehindDead::Continue,
        }];
        let (reply, answer) = std::sync::mpsc::channel();
        let topology = Topology { consumers, router: Arc::new(Everything) };
        writer.turn(vec![Op::Configure { topology, reply }]);
        let id = answer.recv().unwrap().unwrap()[0];
        Self { writer, shared, id, _dir: dir }
    }

    fn publish(bytes: usize) -> (Op, Receiver<Result<Vec<queue::Published>, QueueError>>) {
        let body = bytes::Bytes::from(vec![b'x'; bytes]);
        let event = Event {
            id: EventId::from_identity("test", [bytes.to_le_bytes().as_slice()]),
            source: Arc::from("test"),
            topic: Arc::from("test"),
            conversation: None,
            received: NOW,
            conflict_of: None,
            body,
        };
        let (reply, answer) = oneshot::channel();
        let events = vec![Prepared {
            body_hash: body_hash(&event.body),
            digest: audit::Digest::of(&event.body),
            event,
            routes: Routes::default(),
        }];
        (
            Op::Publish(Publish {
                proof: Arc::from("key 1"),
                events,
                content: queue::Content::Plain(|_| [0; 16]),
                routing: None,
                reply,
            }),
            answer,
        )
    }

    fn lease(&self, now: Timestamp) -> Vec<LeaseToken> {
        let consumer = self.shared.consumer(self.id).unwrap();
        let taken = consumer.state.lock().window.take(10, now, TIMES);
        let token = |seq, generation| LeaseToken { consumer: self.id, seq: Seq(seq), generation };
        taken.into_iter().map(|taken| token(taken.seq, taken.generation)).collect()
    }

    fn settle(token: LeaseToken) -> (Op, Receiver<Result<(), QueueError>>) {
        let failure = Failure::new(Stage::Deliver, FailureClass::Permanent, "no".repeat(LARGE));
        let outcome = Outcome::Dead { attempts: Attempts::default(), failure };
        let (reply, answer) = oneshot::channel();
        (Op::Settle { settlements: vec![Settle { token, outcome }], now: NOW, reply }, answer)
    }

    fn limit_pages(&self, pages: i64) {
        let _: i64 = self
            .writer
            .connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0))
            .unwrap();
    }

    fn dead_letters(&self) -> i64 {
        self.writer.connection.query_row("SELECT count(*) FROM dead_letters", [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn a_full_disk_refuses_publishers_and_keeps_the_rest() {
    let mut bench = Bench::new();
    bench.writer.turn(vec![Bench::publish(10).0, Bench::publish(11).0]);
    let leases = bench.lease(NOW);
    assert_eq!(leases.len(), 2);
    let damages = vec![Damage { seq: 7, what: "it is missing".to_owned() }];
    bench.limit_pages(1);
    let ((publish, mut published), (settle, mut settled)) = (Bench::publish(LARGE), Bench::settle(leases[0]));
    bench.writer.turn(vec![publish, settle, Op::Damaged { consumer: bench.id, damages, now: NOW }]);
    assert!(matches!(published.try_recv(), Ok(Err(QueueError::Full { .. }))));
    assert_eq!(settled.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(bench.writer.patience(), Some(FULL_PAUSE), "neither spins nor sleeps for ever");
    // Long after both leases have ended, only the one that is not being settled can be taken again.
    let again = bench.lease(NOW.plus(TIMES.lease * 100));
    assert_eq!(again.iter().map(|token| token.seq).collect::<Vec<_>>(), [leases[1].seq]);
    bench.writer.turn(Vec::new());
    assert_eq!((settled.try_recv().unwrap_err(), bench.dead_letters()), (TryRecvError::Empty, 0));
    bench.limit_pages(i64::from(u16::MAX));
    bench.writer.turn(Vec::new());
    assert!(matches!(settled.try_recv(), Ok(Ok(()))));
    assert_eq!(bench.dead_letters(), 2, "one delivery and one damaged place, once each");
    assert_ne!(bench.writer.patience(), Some(FULL_PAUSE));
}

/// Its place is the next one's then, and must not count as settled.
#[test]
fn a_take_over_that_is_undone_leaves_its_place_to_others() {
    let mut bench = Bench::new();
    let moved = |bytes: usize, left: Vec<queue::Left>, reply| {
        let (Op::Publish(publish), _) = Bench::publish(bytes) else { panic!("a publication") };
        let event = publish.events[0].event.clone();
        let (known_by, known_since, proof) = (event.id, event.received, Arc::from("moved"));
        Op::TakeOver {
            moved: vec![queue::Moved { known_by, known_since, event, again: None, left, dead: Vec::new(), proof }],
            reply,
        }
    };
    let attempts = Attempts { made: 3, ..Attempts::default() };
    let tried = queue::Left { destination: Arc::from("crm"), attempts, due: NOW };
    bench.limit_pages(1);
    for left in [Vec::new(), vec![tried]] {
        let (reply, mut taken) = oneshot::channel();
        bench.writer.turn(vec![moved(LARGE, left, reply)]);
        assert!(matches!(taken.try_recv(), Ok(Err(QueueError::Full { .. }))));
    }
    bench.limit_pages(i64::from(u16::MAX));
    let ((publish, mut published), (reply, mut taken)) = (Bench::publish(10), oneshot::channel());
    bench.writer.turn(vec![publish, moved(11, Vec::new(), reply)]);
    assert!(matches!(published.try_recv(), Ok(Ok(_))));
    assert_eq!(taken.try_recv().unwrap().unwrap().last, Seq(2));
    let consumer = bench.shared.consumer(bench.id).unwrap();
    assert!(consumer.state.lock().stored_retries.is_empty());
    assert_eq!(bench.lease(NOW).iter().map(|token| token.seq).collect::<Vec<_>>(), [Seq(1)], "and not the settled one");
}

#[test]
fn what_is_written_late_is_written_once_also_when_a_commit_fails_in_between() {
    let mut bench = Bench::new();
    let identities = |bench: &Bench| -> i64 {
        // Each row ends with a checksum of 4 bytes.
        let sql = "SELECT coalesce(sum(length(entries) - 4) / 32, 0) FROM identity_log";
        bench.writer.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    bench.writer.turn(vec![Bench::publish(10).0, Bench::publish(11).0]);
    assert_eq!((identities(&bench), bench.writer.patience()), (0, Some(IDLE_FLUSH)));
    bench.limit_pages(1);
    bench.writer.turn(vec![Bench::publish(LARGE).0]);
    bench.writer.turn(Vec::new());
    bench.limit_pages(i64::from(u16::MAX));
    bench.writer.turn(Vec::new());
    assert_eq!(identities(&bench), 2);
    bench.writer.turn(vec![Bench::publish(12).0, Bench::publish(11).0]);
    assert_eq!(identities(&bench), 2);
    let (reply, mut noted) = oneshot::channel();
    bench.writer.turn(vec![Op::Note { entries: Vec::new(), reply }]);
    assert!(matches!(noted.try_recv(), Ok(Ok(()))));
    assert_eq!(identities(&bench), 3);
    let (counters, through) = Counters::load(&bench.writer.connection).unwrap();
    assert_eq!((counters, through), (bench.writer.counters, 3));
}

#[test]
fn a_delivery_that_dies_is_seen_as_unsettled_or_dead_also_while_the_commit_fails() {
    let mut bench = Bench::new();
    bench.writer.turn(vec![Bench::publish(10).0]);
    let consumer = bench.shared.consumer(bench.id).unwrap();
    let seen = || (consumer.state.lock().cursor.unsettled(1), consumer.dead_letters.load(Ordering::Relaxed));
    assert_eq!(seen(), (1, 0));
    let (mut settle, mut settled) = Bench::settle(bench.lease(NOW)[0]);
    let Op::Settle { settlements, .. } = &mut settle else { panic!("a settlement") };
    let Outcome::Dead { failure, .. } = &mut settlements[0].outcome else { panic!("a death") };
    failure.message = "no".into();
    bench.limit_pages(1);
    bench.writer.turn(vec![settle, Bench::publish(LARGE).0]);
    assert_eq!((settled.try_recv().unwrap_err(), bench.dead_letters()), (TryRecvError::Empty, 0), "it was undone");
    assert_eq!(seen(), (0, 1));
    bench.limit_pages(i64::from(u16::MAX));
    bench.writer.turn(Vec::new());
    assert!(matches!(settled.try_recv(), Ok(Ok(()))));
    assert_eq!((seen(), bench.dead_letters()), ((0, 1), 1), "once");
}

#[test]
fn publishers_without_room_do_not_keep_deliveries_from_being_settled() {
    let mut bench = Bench::new();
    bench.writer.turn(vec![Bench::publish(10).0]);
    bench.limit_pages(1);
    let ((publish, mut published), (mut settle, mut settled)) =
        (Bench::publish(LARGE), Bench::settle(bench.lease(NOW)[0]));
    let Op::Settle { settlements, .. } = &mut settle else { panic!("a settlement") };
    settlements[0].outcome = Outcome::Done;
    bench.writer.turn(vec![settle, publish]);
    assert!(matches!(published.try_recv(), Ok(Err(QueueError::Full { .. }))));
    assert_eq!(settled.try_recv().unwrap_err(), TryRecvError::Empty);
    let (publish, mut published) = Bench::publish(LARGE);
    bench.writer.turn(vec![publish]);
    assert!(matches!(published.try_recv(), Ok(Err(QueueError::Full { .. }))));
    assert!(matches!(settled.try_recv(), Ok(Ok(()))));
}

#[test]
fn a_run_that_cannot_be_written_makes_nothing_spin() {
    let mut bench = Bench::new();
    bench.limit_pages(1);
    let entries = (0..5_000u64).map(|n| {
        *crate::dedupe::Entry::new(EventId::from_identity("test", [n.to_le_bytes().as_slice()]), n, NOW, n).as_bytes()
    });
    let mut packed: Vec<_> = entries.collect();
    packed.sort_unstable();
    bench.writer.dedupe.seal(crate::dedupe::Sealed::new(1, packed));
    assert_eq!(bench.writer.patience(), Some(Duration::ZERO));
    bench.writer.turn(Vec::new());
    assert_eq!(bench.writer.patience(), Some(FULL_PAUSE));
    bench.limit_pages(1 << 20);
    // The slices of the run, and a look for what it replaces.
    (0..10).for_each(|_| bench.writer.turn(Vec::new()));
    assert!(!bench.writer.dedupe.is_sealing());
}

#[test]
fn a_settlement_is_answered_when_the_queue_stops() {
    let mut bench = Bench::new();
    bench.writer.turn(vec![Bench::publish(10).0]);
    let (settle, mut settled) = Bench::settle(bench.lease(NOW)[0]);
    let before = bench.writer.counters;
    bench.writer.undo(&Failed::Disk("a sync failed".to_owned()), before, Done::default(), vec![settle]);
    assert!(bench.writer.patience().is_some(), "there is someone to tell");
    bench.writer.turn(Vec::new());
    assert!(matches!(settled.try_recv(), Ok(Err(QueueError::Poisoned { .. }))));
    assert_eq!(bench.writer.patience(), None);
}
