//! Stopping: what is under way is finished, or given back.

use std::time::Duration;

use destinations::SendError;
use queue::{Order, QueueError};

use super::rig::{DEADLINE, Rig, Scripted, wait};
use crate::{Backoff, Clock as _, Error, Options, Rest};

#[tokio::test(start_paused = true)]
async fn attempts_under_way_are_finished_and_nothing_more_is_begun() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, _| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    });
    rig.publish(0..100, 100).await;
    let mut handle = rig.start(destination.clone(), Options::default());
    wait(DEADLINE, || async { handle.health().snapshot().in_flight == 50 }).await;
    handle.stop();
    handle.ended().await.unwrap();
    assert_eq!(destination.taken().len(), 50);
    let left = rig.consumer(0).await;
    assert_eq!((left.unsettled, left.leased), (50, 0), "settled, and nothing kept on lease");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_hang_are_given_back_at_the_drain_time() {
    let rig = Rig::new(Order::Conversation, 1);
    let hanging = Scripted::new(&rig, |number, _| async move {
        match number {
            0 => std::future::pending().await,
            _ => Ok(()),
        }
    });
    rig.publish(0..20, 20).await;
    let options = Options { timeout: Duration::from_secs(3_600), ..Options::default() };
    let mut handle = rig.start(hanging, options);
    wait(DEADLINE, || async { rig.consumer(0).await.unsettled == 1 }).await;
    let start = tokio::time::Instant::now();
    handle.stop();
    handle.ended().await.unwrap();
    assert!((Options::DRAIN..Options::DRAIN * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    let left = rig.consumer(0).await;
    assert_eq!((left.unsettled, left.leased, left.retrying), (1, 0, 0), "not attempted, nothing counted");

    let working = Scripted::new(&rig, |_, _| async { Ok(()) });
    let _handle = rig.start(working.clone(), Options::default());
    rig.settled(0, DEADLINE).await;
    assert_eq!(working.taken(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_longer_when_the_clock_is_set_back_meanwhile() {
    let rig = Rig::new(Order::None, 1);
    let hanging = Scripted::new(&rig, |_, _| std::future::pending());
    rig.publish(0..3, 3).await;
    let options = Options { timeout: Duration::from_secs(36_000), ..Options::default() };
    let mut handle = rig.start(hanging, options);
    wait(DEADLINE, || async { handle.health().snapshot().in_flight == 3 }).await;
    let start = tokio::time::Instant::now();
    handle.stop();
    tokio::time::sleep(Options::DRAIN / 2).await;
    rig.clock.set_back(3_600);
    handle.ended().await.unwrap();
    assert!((Options::DRAIN..Options::DRAIN * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(rig.consumer(0).await.unsettled, 3);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_stops_the_service() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    let service = rig.service(0, destination.clone(), Options::default());
    let health = service.health().clone();
    drop(service.start());
    // The service holds the only other reference to its numbers.
    wait(DEADLINE, || async { std::sync::Arc::strong_count(&health) == 1 }).await;
    rig.publish(0..1, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(destination.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_closed_ends_the_service() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    let mut handle = rig.start(destination, Options::default());
    rig.publish(0..1, 1).await;
    rig.settled(0, DEADLINE).await;
    rig.publish(1..2, 1).await;
    rig.queue.close().await.unwrap();
    let error = handle.ended().await.unwrap_err();
    assert!(matches!(error, Error::Queue { source: QueueError::Closed, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_service_rests_when_nothing_is_left_and_says_until_when() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |number, before| async move {
        match (number, before) {
            (7, 0) => Err(SendError::transient("not now")),
            _ => Ok(()),
        }
    });
    rig.publish(0..100, 100).await;
    let backoff = Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(60) };
    let handle = rig.start(destination.clone(), Options { backoff, ..Options::default() });
    let mut rest = handle.health().rest();
    let told = *rest.wait_for(Option::is_some).await.unwrap();
    assert_eq!(destination.taken().len(), 99, "not while there is something to do");
    let until = told.unwrap().until.expect("the retry is to come");
    assert!(until > rig.clock.now());
    // It goes on by itself, and then only something new can wake it.
    let told = *rest.wait_for(|rest| rest.is_some_and(|rest| rest.until.is_none())).await.unwrap();
    assert_eq!((told, destination.taken().len()), (Some(Rest { until: None, held_back: false }), 100));
    rig.publish(100..101, 1).await;
    rig.settled(0, DEADLINE).await;
    assert_eq!(destination.taken().len(), 101);
}
