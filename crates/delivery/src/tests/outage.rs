//! A destination that is down for a while, one event that always fails, and a queue that fails in passing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use destinations::SendError;
use event::{EventId, Timestamp};
use queue::{
    BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Fingerprint, Lease,
    Maintained, MemoryQueue, Order, Publication, Published, Queue, QueueError, QueueStatus, RedriveOutcome, Rejection,
    Review, ReviewState, Settle, Stored, Topology,
};
use tokio::time::Instant;

use super::rig::{DEADLINE, Reached, Rig, Scripted, wait};
use crate::{BreakerState, Clock as _, Error, Options, RateOptions};

/// A destination that takes `pace` for an answer and fails for a time: quickly with 503, or by not answering.
fn down(rig: &Rig, pace: Duration, from: Duration, to: Duration, silent: bool) -> Arc<Scripted> {
    let start = Instant::now();
    Scripted::new(rig, move |_, _| async move {
        tokio::time::sleep(pace).await;
        if !(from..to).contains(&start.elapsed()) {
            return Ok(());
        }
        if silent {
            std::future::pending::<()>().await;
        }
        Err(SendError { status: Some(503), ..SendError::transient("the destination answered 503") })
    })
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_met_by_few_attempts_and_a_quick_recovery() {
    for (order, conversations) in [(Order::None, 1_000), (Order::Conversation, 1_000), (Order::Conversation, 60)] {
        let rig = Rig::new(order, 1);
        let destination = down(&rig, Duration::from_millis(2), Duration::ZERO, Duration::from_secs(10), false);
        rig.publish(0..1_000, conversations).await;
        let handle = rig.start(destination.clone(), Options::default());
        wait(DEADLINE, || async { handle.health().snapshot().holding }).await;
        rig.settled(0, Duration::from_secs(60)).await;
        let start = Timestamp::from_millis(1_700_000_000_000);
        let ledger = destination.ledger();
        let failed = ledger.iter().filter(|reached| !reached.taken).count();
        assert!(failed < 300, "{failed} attempts in ten seconds");
        let first = ledger.iter().find(|reached| reached.taken).unwrap();
        let noticed = start.until(first.at);
        assert!(noticed < Duration::from_millis(12_000), "the end was noticed after {noticed:?}");
        let caught_up = start.until(ledger.last().unwrap().at);
        assert!(caught_up < Duration::from_millis(14_500), "caught up after {caught_up:?}");
        assert!(rig.dead_letters().await.is_empty());
        assert!(!handle.health().snapshot().holding);
    }
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_503_at_500_a_second_cost_a_handful_of_probes() {
    let rig = Rig::new(Order::Conversation, 1);
    let second = Duration::from_secs(1);
    let (from, to) = (5 * second, 35 * second);
    let destination = down(&rig, Duration::from_millis(5), from, to, false);
    let handle = rig.start(destination.clone(), Options { attempts: 1, ..Options::default() });
    for tick in 0..800 {
        rig.publish(tick * 25..(tick + 1) * 25, 5_000).await;
        tokio::time::sleep(second / 20).await;
    }
    rig.settled(0, 60 * second).await;
    assert!(rig.dead_letters().await.is_empty());
    let start = Timestamp::from_millis(1_700_000_000_000);
    let ledger = destination.ledger();
    let at = |reached: &Reached| start.until(reached.at);
    let probes = ledger.iter().filter(|reached| (from + second..to).contains(&at(reached))).count();
    assert!((3..=15).contains(&probes), "{probes} attempts while it was open");
    let back = ledger.iter().find(|reached| reached.taken && at(reached) > to).map(at).unwrap();
    assert!(back < to + 20 * second, "noticed at {back:?}");
    let at_first = ledger.iter().filter(|reached| (back..back + second / 5).contains(&at(reached))).count();
    assert!(at_first <= 50, "{at_first} at once after it came back, which is a ramp of one at a time");
    let caught_up = ledger.last().map(at).unwrap();
    assert!(caught_up < back + 10 * second, "caught up {:?} after it was back", caught_up - back);
    assert_eq!(handle.health().snapshot().gate.unwrap().breaker.state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_in_a_thousand_that_always_fails_dies_and_costs_the_others_nothing() {
    let mut took = Vec::new();
    for status in [None, Some(500), Some(503)] {
        let poisoned = status.is_some();
        let rig = Rig::new(Order::Conversation, 1);
        let destination = Scripted::new(&rig, move |number, _| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match number % 1_000 {
                0 if poisoned => Err(SendError { status, ..SendError::transient("answered 5xx") }),
                _ => Ok(()),
            }
        });
        rig.publish(0..20_000, 20_000).await;
        let begin = Instant::now();
        let handle = rig.start(destination.clone(), Options::default());
        wait(60 * DEADLINE, || async {
            handle.health().snapshot().delivered == 20_000 - if poisoned { 20 } else { 0 }
        })
        .await;
        took.push(begin.elapsed());
        // Others pass from time to time, which is what the budget counts by.
        for number in 20_001..20_900 {
            rig.publish(number..number + 1, 20_000).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        rig.settled(0, 60 * DEADLINE).await;
        let dead = rig.dead_letters().await;
        assert_eq!(dead.len(), if poisoned { 20 } else { 0 });
        assert!(dead.iter().all(|letter| letter.attempts.charged == Options::ATTEMPTS), "{dead:?}");
    }
    for poisoned in &took[1..] {
        let ratio = took[0].as_secs_f64() / poisoned.as_secs_f64();
        assert!(ratio >= 0.95, "the others went at {ratio:.2} of their speed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_destination_gets_nothing_until_it_is_resumed() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    let handle = rig.start(destination.clone(), Options::default());
    rig.publish(0..10, 10).await;
    rig.settled(0, DEADLINE).await;
    handle.pause();
    wait(DEADLINE, || async { handle.health().snapshot().gate.is_some_and(|gate| gate.paused) }).await;
    rig.publish(10..20, 10).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((destination.taken().len(), rig.consumer(0).await.unsettled), (10, 10));
    handle.resume();
    rig.settled(0, DEADLINE).await;
    assert_eq!(destination.taken().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_used() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    rig.publish(0..1_000, 1_000).await;
    let rate = RateOptions { per_second: Some(50), ..RateOptions::default() };
    let _handle = rig.start(destination.clone(), Options { rate, ..Options::default() });
    rig.settled(0, 60 * DEADLINE).await;
    let ledger = destination.ledger();
    let took = ledger[0].at.until(ledger[999].at);
    assert!((19.0..22.0).contains(&took.as_secs_f64()), "{took:?}");
    for window in ledger.windows(51) {
        assert!(window[0].at.until(window[50].at) >= Duration::from_secs(1), "51 within a second");
    }
}

#[tokio::test(start_paused = true)]
async fn four_hours_charge_nothing_and_kill_nothing() {
    for silent in [false, true] {
        let rig = Rig::new(Order::Conversation, 1);
        // It begins while attempts are under way, just after others were taken.
        let begin = Duration::from_millis(450);
        let end = begin + Duration::from_secs(4 * 3_600);
        let destination = down(&rig, Duration::from_millis(100), begin, end, silent);
        rig.publish(0..700, 300).await;
        // A budget of one attempt: whatever is charged kills.
        let handle = rig.start(destination.clone(), Options { attempts: 1, ..Options::default() });
        tokio::time::sleep(end / 2).await;
        assert_eq!(handle.health().snapshot().delivered, 200, "in four rounds of 50, before the outage");
        rig.settled(0, end).await;
        assert!(rig.dead_letters().await.is_empty());
        assert_eq!(destination.taken().len(), 700);
        let failed = handle.health().snapshot().failed_transient;
        assert!((100..10_000).contains(&failed), "{failed} attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_in_an_outage_charges_nothing() {
    let rig = Rig::new(Order::None, 1);
    let start = Instant::now();
    let destination = Scripted::new(&rig, move |number, _| async move {
        if number == 0 {
            // Taken before the outage, and answered in it.
            tokio::time::sleep(Duration::from_secs(3)).await;
        } else if start.elapsed() < Duration::from_secs(60) {
            return Err(SendError { status: Some(503), ..SendError::transient("the destination answered 503") });
        }
        Ok(())
    });
    rig.publish(0..10, 10).await;
    let _handle = rig.start(destination.clone(), Options { attempts: 1, ..Options::default() });
    rig.settled(0, 10 * DEADLINE).await;
    assert!(rig.dead_letters().await.is_empty());
    assert_eq!(destination.taken().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn poison_dies_of_its_charged_attempts_while_others_pass() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, _| async move {
        match number {
            0 => Err(SendError { status: Some(500), ..SendError::transient("the destination answered 500") }),
            _ => Ok(()),
        }
    });
    let _handle = rig.start(destination.clone(), Options::default());
    rig.publish(0..1, 1_000).await;
    for number in 1..600 {
        rig.publish(number..number + 1, 1_000).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.settled(0, DEADLINE).await;
    let dead = rig.dead_letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].attempts.charged, Options::ATTEMPTS);
    assert_eq!(dead[0].failure.status, Some(500));
    assert_eq!(destination.taken().len(), 599);
}

#[tokio::test(start_paused = true)]
async fn poison_alone_waits() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Err(SendError::transient("the destination answered 500")) });
    rig.publish(0..1, 1).await;
    let _handle = rig.start(destination.clone(), Options::default());
    let day = Duration::from_secs(86_400);
    tokio::time::sleep(day).await;
    assert!(rig.dead_letters().await.is_empty(), "nothing shows that the destination works");
    let ledger = destination.ledger();
    assert!((100..2_000).contains(&ledger.len()), "{} attempts in a day", ledger.len());
    let gap = |place: usize| ledger[place].at.until(ledger[place + 1].at);
    assert!((ledger.len() - 9..ledger.len() - 1).map(gap).max() > Some(Duration::from_secs(60)), "waits grow");
}

/// Twenty events that never pass look like an outage. Single probes show that it is none as soon as one of them is of
/// another event, and that is every second one at the latest.
#[tokio::test(start_paused = true)]
async fn what_never_passes_keeps_others_waiting_for_two_probes_at_most() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, _| async move {
        if number < 20 { Err(SendError::transient("the destination answered 500")) } else { Ok(()) }
    });
    rig.publish(0..20, 1_000).await;
    let handle = rig.start(destination.clone(), Options::default());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_ne!(handle.health().snapshot().gate.unwrap().breaker.state, BreakerState::Closed);
    let published = rig.clock.now();
    rig.publish(20..21, 1_000).await;
    wait(Duration::from_secs(600), || async { destination.taken() == [20] }).await;
    let waited = published.until(rig.clock.now());
    assert!(waited <= Duration::from_secs(65), "{waited:?} for two pauses of 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_charges_nothing_to_events_that_meet_an_outage() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, _| async move {
        if number == 0 { Ok(()) } else { Err(SendError::transient("the destination answered 503")) }
    });
    rig.publish(0..1, 1).await;
    let _handle = rig.start(destination.clone(), Options::default());
    rig.settled(0, DEADLINE).await;
    rig.clock.set_back(1_800);
    rig.publish(1..3, 2).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(rig.dead_letters().await.is_empty(), "the one success was before their attempts, whatever the clock said");
    assert!(destination.ledger().len() > 20);
}

/// A queue whose next so many settlements fail.
struct Failing {
    inner: MemoryQueue,
    failures: AtomicUsize,
    error: QueueError,
}

impl Failing {
    fn new(failures: usize, error: QueueError) -> Arc<Self> {
        Arc::new(Self { inner: MemoryQueue::default(), failures: AtomicUsize::new(failures), error })
    }
}

impl Queue for Failing {
    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Box::pin(std::future::ready(Err(self.error.clone()))),
            Err(_) => self.inner.settle(settlements, now),
        }
    }

    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        self.inner.publish(publication)
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        self.inner.reject(rejection)
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        self.inner.configure(topology)
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        self.inner.lease(consumer, max, now)
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        self.inner.changed(consumer)
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.inner.next_due(consumer)
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.inner.dead_letters(query)
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        self.inner.dead_letter_groups(query)
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        self.inner.redrive(ids, by)
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.inner.discard(ids, by)
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        self.inner.edit(id, copy, by)
    }

    fn erase(&self, erasure: queue::Erasure) -> BoxFuture<'_, Result<queue::Erased, QueueError>> {
        self.inner.erase(erasure)
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        self.inner.set_review(group, state, by)
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        self.inner.reviews()
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.inner.dead_letter(id)
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        self.inner.event(id)
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.remember(consumer, note)
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        self.inner.remembered(consumer)
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.note(entries)
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<queue::AuditPage, QueueError>> {
        self.inner.audit(after, max)
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        self.inner.trace(subject)
    }

    fn unmatched(&self, query: queue::UnmatchedQuery) -> BoxFuture<'_, Result<queue::UnmatchedPage, QueueError>> {
        self.inner.unmatched(query)
    }

    fn unmatched_groups(
        &self,
        query: queue::UnmatchedQuery,
    ) -> BoxFuture<'_, Result<queue::UnmatchedGroups, QueueError>> {
        self.inner.unmatched_groups(query)
    }

    fn read_log(
        &self,
        after: queue::Seq,
        events: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<queue::LogPage, QueueError>> {
        self.inner.read_log(after, events, bytes)
    }

    fn erasures(&self) -> u64 {
        self.inner.erasures()
    }

    fn keep_from(&self, place: Option<queue::Seq>) {
        self.inner.keep_from(place);
    }

    fn replay(&self, piece: queue::ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<queue::Replay, QueueError>> {
        self.inner.replay(piece, now)
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<queue::Replay>, QueueError>> {
        self.inner.replays(id)
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        self.inner.status(now)
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        self.inner.maintain(now)
    }

    fn poisoned(&self) -> Option<String> {
        self.inner.poisoned()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.close()
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_delays_settlements_and_loses_none() {
    let full = QueueError::Full { detail: "disk".into(), retry_after: Duration::from_secs(2) };
    let rig = Rig::on(Failing::new(3, full), Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    rig.publish(0..1_000, 1_000).await;
    let options = Options { concurrency: 10, ..Options::default() };
    let _handle = rig.start(destination.clone(), options);
    rig.settled(0, Duration::from_secs(60)).await;
    assert_eq!(destination.taken().len(), 1_000, "each once, as no lease ran out");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_while_the_disk_is_full_keeps_nothing_waiting() {
    let full = QueueError::Full { detail: "disk".into(), retry_after: Duration::from_secs(2) };
    let failing = Failing::new(1, full);
    let rig = Rig::on(failing.clone(), Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    rig.publish(0..100, 100).await;
    let _handle = rig.start(destination.clone(), Options { concurrency: 10, ..Options::default() });
    super::rig::wait(Duration::from_secs(60), || async { failing.failures.load(Ordering::SeqCst) == 0 }).await;
    rig.clock.set_back(86_400);
    rig.settled(0, Duration::from_secs(60)).await;
    assert_eq!(destination.taken().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_queue_ends_the_service_and_says_why() {
    let poisoned = QueueError::Poisoned { reason: "a sync failed".into() };
    let rig = Rig::on(Failing::new(1, poisoned), Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    rig.publish(0..10, 10).await;
    let error = rig.start(destination, Options::default()).ended().await.unwrap_err();
    assert!(matches!(&error, Error::Queue { source: QueueError::Poisoned { .. }, .. }));
    assert!(error.to_string().contains("destination-0") && error.to_string().contains("a sync failed"), "{error}");
}
