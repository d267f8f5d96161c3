//! A destination that works, and events that do not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use destinations::SendError;
use event::Timestamp;
use proptest::prelude::*;
use queue::{FailureClass, Order, Stage};

use super::rig::{DEADLINE, Rig, Scripted, as_it_is};
use crate::{Backoff, BreakerOptions, Clock, Error, MapError, Options, RateOptions, Service};

async fn soon() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_reached_and_never_exceeded() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, _| async {
        soon().await;
        Ok(())
    });
    rig.publish(0..1_000, 1_000).await;
    let handle = rig.start(destination.clone(), Options::default());
    rig.settled(0, DEADLINE).await;
    assert_eq!(destination.most_at_once(), 50);
    let mut taken = destination.taken();
    taken.sort_unstable();
    assert_eq!(taken, (0..1_000).collect::<Vec<_>>(), "each once");
    let health = handle.health().snapshot();
    assert_eq!((health.delivered, health.in_flight), (1_000, 0));
    assert_eq!((health.latency.iter().sum::<u64>(), health.latency_us), (1_000, 1_000 * 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_keeps_its_order_through_failures() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, before| async move {
        soon().await;
        match (number % 3, before) {
            (0, 0 | 1) => Err(SendError::transient("not yet")),
            _ => Ok(()),
        }
    });
    rig.publish(0..400, 20).await;
    let _handle = rig.start(destination.clone(), Options::default());
    rig.settled(0, Duration::from_secs(3_600)).await;
    let mut by_conversation: HashMap<u32, Vec<u32>> = HashMap::new();
    for number in destination.taken() {
        by_conversation.entry(number % 20).or_default().push(number);
    }
    for (conversation, numbers) in by_conversation {
        assert_eq!(numbers.len(), 20, "conversation {conversation}");
        assert!(numbers.is_sorted(), "conversation {conversation}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_conversation_blocks_no_other() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, _| async move {
        if number % 10 == 3 {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    rig.publish(0..100, 10).await;
    let options = Options { concurrency: 2, timeout: Duration::from_secs(86_400), ..Options::default() };
    let _handle = rig.start(destination.clone(), options);
    let others = || async { destination.taken().len() == 90 };
    super::rig::wait(DEADLINE, others).await;
    assert_eq!(rig.consumer(0).await.unsettled, 10);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_destination_blocks_no_other() {
    let rig = Rig::new(Order::Conversation, 2);
    let stuck = Scripted::new(&rig, |_, _| std::future::pending());
    let working = Scripted::new(&rig, |_, _| async { Ok(()) });
    rig.publish(0..100, 7).await;
    let _stuck = rig.service(0, stuck, Options::default()).start();
    let _working = rig.service(1, working.clone(), Options::default()).start();
    rig.settled(1, DEADLINE).await;
    assert_eq!(working.taken().len(), 100);
    assert_eq!(rig.consumer(0).await.unsettled, 100);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_floor() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, before| async move {
        if before > 0 {
            return Ok(());
        }
        let retry_after = Some(Duration::from_secs(30));
        Err(SendError { retry_after, ..SendError::transient("busy") })
    });
    rig.publish(0..1, 1).await;
    let _handle = rig.start(destination.clone(), Options::default());
    rig.settled(0, Duration::from_secs(3_600)).await;
    let ledger = destination.ledger();
    let waited = ledger[0].at.until(ledger[1].at);
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_succeed_dies_at_once_with_its_reason() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |number, _| async move {
        match number {
            4 => Err(SendError { status: Some(422), ..SendError::permanent("the destination answered 422") }),
            5 => panic!("in the destination"),
            _ => Ok(()),
        }
    });
    let mapper = |stored: &queue::Stored, route| match &stored.event.body[..] {
        b"0" => panic!("in the mapping"),
        b"1" => Err(MapError::new("`.contact` is null")),
        b"2" => Ok(None),
        b"3" => Ok(Some(vec![b'0'; 101].into())),
        _ => as_it_is(stored, route),
    };
    rig.publish(0..10, 1).await;
    let options = Options { max_payload: 100, ..Options::default() };
    let handle = rig.mapped(0, Arc::new(mapper), destination.clone(), options).start();
    rig.settled(0, DEADLINE).await;
    assert_eq!(destination.taken(), [6, 7, 8, 9]);

    let dead = rig.dead_letters().await;
    let reasons: Vec<_> = dead.iter().map(|d| (d.failure.stage, d.failure.class, d.failure.status)).collect();
    assert_eq!(
        reasons,
        [
            (Stage::Map, FailureClass::Bug, None),
            (Stage::Map, FailureClass::Permanent, None),
            (Stage::Map, FailureClass::Permanent, None),
            (Stage::Deliver, FailureClass::Permanent, Some(422)),
            (Stage::Deliver, FailureClass::Bug, None),
        ]
    );
    assert_eq!(dead[0].failure.message, "a bug, caught: in the mapping");
    assert_eq!(dead[1].failure.message, "`.contact` is null");
    assert!(dead[2].failure.message.contains("max_payload"));
    assert!(dead.iter().all(|d| d.attempts.made == 1 && d.attempts.charged == 0));
    let health = handle.health().snapshot();
    assert_eq!((health.failed_bug, health.failed_permanent, health.dead), (2, 3, 5));
    assert_eq!((health.delivered, health.last_error.unwrap().message), (4, dead[4].failure.message.clone()));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_the_timeout() {
    let rig = Rig::new(Order::None, 1);
    let destination = Scripted::new(&rig, |_, before| async move {
        if before == 0 {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    rig.publish(0..1, 1).await;
    let handle = rig.start(destination.clone(), Options::default());
    rig.settled(0, DEADLINE).await;
    let error = handle.health().snapshot().last_error.unwrap();
    assert_eq!(error.message, "no answer within 5 s");
    let start = Timestamp::from_millis(1_700_000_000_000);
    assert!(start.until(destination.ledger()[0].at) >= Options::TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn events_published_to_an_idle_service_are_delivered_at_once() {
    let rig = Rig::new(Order::Conversation, 1);
    let destination = Scripted::new(&rig, |_, _| async { Ok(()) });
    let _handle = rig.start(destination.clone(), Options::default());
    for number in 0..50 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let published = rig.clock.now();
        rig.publish(number..number + 1, 1).await;
        rig.settled(0, DEADLINE).await;
        let reached = destination.ledger()[number as usize];
        assert_eq!((reached.number, reached.at), (number, published), "in the same millisecond");
    }
}

#[tokio::test]
async fn wrong_options_are_refused_with_their_name() {
    let rig = Rig::new(Order::None, 1);
    let refused = |options: Options| {
        let parts = crate::Parts {
            name: "x".into(),
            consumer: rig.consumers[0],
            queue: rig.queue.clone(),
            mapper: Arc::new(as_it_is),
            destination: Scripted::new(&rig, |_, _| async { Ok(()) }),
            clock: rig.clock.clone(),
            seed: 1,
            aside: None,
            paused: false,
        };
        match Service::new(parts, options) {
            Err(Error::Option { key, .. }) => key,
            _ => "accepted",
        }
    };
    let good = Options::default;
    let backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(1) };
    assert_eq!(refused(good()), "accepted");
    assert_eq!(refused(Options { concurrency: 0, ..good() }), "concurrency");
    assert_eq!(refused(Options { concurrency: 10_001, ..good() }), "concurrency");
    assert_eq!(refused(Options { timeout: Duration::ZERO, ..good() }), "timeout");
    assert_eq!(refused(Options { attempts: 0, ..good() }), "attempts");
    assert_eq!(refused(Options { backoff, ..good() }), "backoff");
    assert_eq!(refused(Options { max_payload: 0, ..good() }), "max_payload");
    for wrong in [
        BreakerOptions { percent: 0, ..BreakerOptions::default() },
        BreakerOptions { percent: 101, ..BreakerOptions::default() },
        BreakerOptions { minimum: 0, ..BreakerOptions::default() },
        BreakerOptions { window: Duration::from_millis(99), ..BreakerOptions::default() },
        BreakerOptions { pause: Duration::ZERO, ..BreakerOptions::default() },
    ] {
        assert_eq!(refused(Options { breaker: wrong, ..good() }), "breaker");
    }
    let rate = RateOptions { per_day: Some(0), ..RateOptions::default() };
    assert_eq!(refused(Options { rate, ..good() }), "rate");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the destination does, each event is taken once and in order, or is one dead letter.
    #[test]
    fn no_third_end(
        fates in prop::collection::vec(0u8..10, 1..80),
        conversations in 1u32..10,
        concurrency in 1usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let rig = Rig::new(Order::Conversation, 1);
            let count = fates.len() as u32;
            let script = fates.clone();
            let destination = Scripted::new(&rig, move |number, before| {
                let fate = script[number as usize];
                async move {
                    match fate {
                        0 => Err(SendError::permanent("never")),
                        1 if before == 0 => panic!("now and then"),
                        2 if before < 3 => Err(SendError::transient("later")),
                        3 if before == 0 => std::future::pending().await,
                        _ => Ok(()),
                    }
                }
            });
            rig.publish(0..count, conversations).await;
            let options = Options { concurrency, ..Options::default() };
            let _handle = rig.start(destination.clone(), options);
            rig.settled(0, Duration::from_secs(86_400)).await;
            let taken = destination.taken();
            let dead = rig.dead_letters().await.len();
            assert_eq!(taken.len() + dead, fates.len());
            assert_eq!(dead, fates.iter().filter(|fate| **fate < 2).count());
            for conversation in 0..conversations {
                let own = taken.iter().filter(|number| **number % conversations == conversation);
                assert!(own.is_sorted_by(|a, b| a < b), "in order, each once");
            }
            assert!(destination.most_at_once() <= concurrency);
        });
    }
}
