//! What a service leaves to the one that follows it: where its breaker stood.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use destinations::SendError;
use queue::{BoxFuture, By, Erasure, Order, Seq};

use super::rig::{DEADLINE, Rig, Scripted, wait};
use crate::{BreakerState, BreakerStatus, Clock as _, Group, Handle, Last, NotPutAside, Options, PutAside};

/// A destination that is down while it is told to be.
fn down(rig: &Rig) -> (Arc<Scripted>, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&is_down);
    let destination = Scripted::new(rig, move |_, _| {
        let down = asked.load(Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match down {
                true => Err(SendError { status: Some(503), ..SendError::transient("the destination answered 503") }),
                false => Ok(()),
            }
        }
    });
    (destination, is_down)
}

fn breaker(handle: &Handle) -> Option<BreakerStatus> {
    handle.health().snapshot().gate.map(|gate| gate.breaker)
}

fn state(handle: &Handle) -> Option<BreakerState> {
    breaker(handle).map(|breaker| breaker.state)
}

/// Until so many probes have failed.
async fn probed(handle: &Handle, probes: u32) -> BreakerStatus {
    wait(4 * DEADLINE, || async { breaker(handle).is_some_and(|breaker| breaker.probes >= probes) }).await;
    breaker(handle).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_service_that_follows_goes_on_probing_where_the_one_before_it_stood() {
    let rig = Rig::new(Order::Conversation, 1);
    let (destination, is_down) = down(&rig);
    rig.publish(0..1_000, 1_000).await;
    let handle = rig.start(destination.clone(), Options::default());
    let stood = probed(&handle, 3).await;
    // As a kill would: nothing is said.
    handle.task.abort();
    let before = destination.ledger().len();
    let handle = rig.start(destination.clone(), Options::default());
    wait(DEADLINE, || async { breaker(&handle).is_some() }).await;
    let goes_on = breaker(&handle).unwrap();
    assert_eq!((goes_on.state, goes_on.since, goes_on.probes), (BreakerState::Open, stood.since, stood.probes));
    assert_eq!(goes_on.next_probe, stood.next_probe, "and not before");
    let failure = handle.health().snapshot().last_error.unwrap();
    assert_eq!((failure.status, failure.at <= rig.clock.now()), (Some(503), true), "{failure:?}");
    assert!(failure.message.starts_with("the destination answered 503"), "{failure:?}");
    probed(&handle, stood.probes + 3).await;
    assert_eq!(destination.ledger().len(), before + 3, "probes, and nothing else");
    is_down.store(false, Ordering::SeqCst);
    wait(4 * DEADLINE, || async { state(&handle) == Some(BreakerState::Ramp) }).await;
    drop(handle);
    let handle = rig.start(destination.clone(), Options::default());
    wait(DEADLINE, || async { breaker(&handle).is_some() }).await;
    assert_eq!((state(&handle), handle.health().snapshot().gate.unwrap().limit), (Some(BreakerState::Ramp), 1));
    // The ramp ends when there are enough of them.
    rig.publish(1_000..6_000, 1_000).await;
    rig.settled(0, DEADLINE).await;
    assert_eq!(state(&handle), Some(BreakerState::Closed));
    wait(DEADLINE, || async { rig.queue.remembered(rig.consumers[0]).await.unwrap().is_none() }).await;
    assert_eq!(destination.taken().len(), 6_000);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_another_one_now_is_probed_at_once() {
    let rig = Rig::new(Order::Conversation, 1);
    let (destination, is_down) = down(&rig);
    rig.publish(0..100, 100).await;
    let mut handle = rig.start(destination.clone(), Options::default());
    let stood = probed(&handle, 8).await;
    handle.stop();
    handle.ended().await.unwrap();
    is_down.store(false, Ordering::SeqCst);
    let handle = rig.service(0, destination.clone(), Options::default()).another_destination().start();
    rig.settled(0, DEADLINE).await;
    let first = destination.ledger().into_iter().find(|reached| reached.taken).unwrap();
    assert!(first.at < stood.next_probe.unwrap(), "{first:?} {stood:?}");
    drop(handle);
}

#[tokio::test(start_paused = true)]
async fn a_note_that_cannot_be_read_is_none() {
    let rig = Rig::new(Order::Conversation, 1);
    let (destination, _is_down) = down(&rig);
    for note in ["", "{}", "\u{0}", "{\"version\":7,\"breaker\":\"open\"}"] {
        rig.queue.remember(rig.consumers[0], Some(Bytes::from_static(note.as_bytes()))).await.unwrap();
        let mut handle = rig.start(destination.clone(), Options::default());
        wait(DEADLINE, || async { breaker(&handle).is_some() }).await;
        assert_eq!(state(&handle), Some(BreakerState::Closed), "{note}");
        handle.stop();
        handle.ended().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_without_a_probe_is_not_down_for_ever() {
    let rig = Rig::new(Order::Conversation, 1);
    let (destination, is_down) = down(&rig);
    rig.publish(0..100, 10).await;
    let handle = rig.start(destination.clone(), Options::default());
    let stood = probed(&handle, 2).await;
    for conversation in 0..10 {
        let by = By::new("ann", rig.clock.now()).because("asked for");
        let erasure = Erasure { conversation: format!("c-{conversation}"), by, dry_run: false };
        rig.queue.erase(erasure).await.unwrap();
    }
    wait(4 * DEADLINE, || async { state(&handle) == Some(BreakerState::Waiting) }).await;
    assert!(!handle.health().snapshot().holding);
    drop(handle);
    let handle = rig.start(destination.clone(), Options::default());
    wait(DEADLINE, || async { breaker(&handle).is_some() }).await;
    let waits = breaker(&handle).unwrap();
    assert_eq!((waits.state, waits.since), (BreakerState::Waiting, stood.since), "over a restart too");
    let before = destination.ledger().len();
    rig.publish(100..150, 50).await;
    wait(DEADLINE, || async { state(&handle) == Some(BreakerState::Open) }).await;
    assert_eq!(destination.ledger().len(), before + 1, "one probe");
    is_down.store(false, Ordering::SeqCst);
    rig.settled(0, 4 * DEADLINE).await;
    assert_eq!(destination.taken().len(), 50);
}

/// Takes everything, as one part.
struct Shelf {
    groups: parking_lot::Mutex<Vec<Vec<Seq>>>,
    last: Option<Last>,
}

impl PutAside for Shelf {
    fn put_aside(&self, group: Group) -> BoxFuture<'static, Result<Arc<str>, NotPutAside>> {
        self.groups.lock().push(group.events.iter().map(|stored| stored.seq).collect());
        Box::pin(std::future::ready(Ok(Arc::from("part"))))
    }

    fn last(&self, _: Arc<str>) -> BoxFuture<'static, Result<Option<Last>, String>> {
        Box::pin(std::future::ready(Ok(self.last.clone())))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_put_aside_and_not_settled_before_a_crash_is_neither_put_aside_nor_delivered_again() {
    let rig = Rig::new(Order::Conversation, 1);
    let (destination, is_down) = down(&rig);
    rig.publish(0..200, 200).await;
    let last = Last { part: Arc::from("before"), places: (101..=200).map(Seq).collect() };
    let shelf = Arc::new(Shelf { groups: parking_lot::Mutex::default(), last: Some(last) });
    let handle = rig.aside(destination.clone(), shelf.clone(), Options::default()).start();
    wait(4 * DEADLINE, || async { rig.consumer(0).await.unsettled <= 1 }).await;
    is_down.store(false, Ordering::SeqCst);
    rig.settled(0, 4 * DEADLINE).await;
    let put: Vec<u64> = shelf.groups.lock().iter().flatten().map(|seq| seq.0).collect();
    assert!(put.iter().all(|seq| *seq <= 100), "{put:?}");
    let consumer = rig.consumer(0).await;
    assert_eq!((consumer.put_aside, consumer.delivered), (100 + put.len() as u64, 100 - put.len() as u64));
    assert!(destination.taken().iter().all(|number| *number < 100), "what is in the archive is not delivered");
    drop(handle);
}
