//! Destinations of which nothing is wrong, but what deliveries are about is not there yet: days of it in virtual time.

use std::time::Duration;

use destinations::{Patience, SendError};
use queue::{MemoryQueue, Order, Times};

use super::rig::{Rig, Scripted};
use crate::{BreakerState, Options};

const DAY: Duration = Duration::from_secs(86_400);

const PATIENCE: Patience = Patience {
    shortest: Duration::from_secs(300),
    longest: Duration::from_secs(6 * 3_600),
    give_up: Some((Duration::from_secs(7 * 86_400), "it never came")),
};

fn not_there() -> SendError {
    SendError::not_yet(PATIENCE, Some(404), "it is not there yet")
}

/// Waits may last as long as the patience says, which whoever wires a queue must tell it.
fn rig() -> Rig {
    let times = Times { longest_wait: PATIENCE.longest, ..Times::default() };
    let queue = MemoryQueue::new(queue::Options { times, ..queue::Options::default() });
    Rig::on(std::sync::Arc::new(queue), Order::None, 1)
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_days_is_delivered_and_what_never_comes_is_a_dead_letter_and_neither_is_an_outage() {
    let rig = rig();
    // One in ten never comes, one in ten is there at once, the others come after some attempts.
    let destination = Scripted::new(&rig, |number, before| async move {
        match number % 10 {
            0 => Err(not_there()),
            1 => Ok(()),
            late if before >= 2 * late as usize => Ok(()),
            _ => Err(not_there()),
        }
    });
    rig.publish(0..200, 200).await;
    let handle = rig.start(destination.clone(), Options { attempts: 1, ..Options::default() });
    rig.settled(0, 8 * DAY).await;
    let health = handle.health().snapshot();
    assert_eq!(health.gate.unwrap().breaker.state, BreakerState::Closed);
    assert_eq!((health.delivered, health.dead, health.failed_transient), (180, 20, 0));
    assert!(health.not_yet > 1_000 && health.last_error.is_none(), "{health:?}");
    for letter in rig.dead_letters().await {
        assert_eq!(letter.failure.message, "it never came: it is not there yet");
        assert_eq!((letter.failure.status, letter.attempts.charged), (Some(404), 0));
        assert!((20..60).contains(&letter.attempts.made), "{:?}", letter.attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_wait_keep_nobody_back_who_comes_meanwhile() {
    let rig = rig();
    let destination =
        Scripted::new(&rig, |number, _| async move { if number < 1_000 { Err(not_there()) } else { Ok(()) } });
    rig.publish(0..1_000, 1_000).await;
    let _handle = rig.start(destination.clone(), Options { concurrency: 4, ..Options::default() });
    super::rig::wait(DAY, || async { destination.ledger().len() >= 1_000 }).await;
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let asked = destination.ledger().len();
    rig.publish(1_000..1_010, 1_010).await;
    super::rig::wait(Duration::from_secs(10), || async { destination.taken().len() == 10 }).await;
    let before_them = destination.ledger().iter().skip(asked).take_while(|reached| !reached.taken).count();
    assert!(before_them <= 1_000, "{before_them}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_it_is_not_there_ends_an_outage_and_silence_does_not() {
    let rig = rig();
    // The platform is down for everybody's first two attempts; then it says that nothing is there, but for one that is
    // turned away before anybody is asked.
    let destination = Scripted::new(&rig, |number, before| async move {
        match before {
            0..2 => Err(SendError { status: Some(503), ..SendError::transient("the platform answered 503") }),
            _ if number == 7 => Err(SendError::not_yet(PATIENCE, None, "it is not its turn")),
            _ => Err(not_there()),
        }
    });
    rig.publish(0..60, 60).await;
    let handle = rig.start(destination.clone(), Options { attempts: 1, ..Options::default() });
    let is = |state| handle.health().snapshot().gate.is_some_and(|gate| gate.breaker.state == state);
    super::rig::wait(Duration::from_secs(10), || async { is(BreakerState::Open) }).await;
    super::rig::wait(DAY, || async { is(BreakerState::Closed) }).await;
    assert!(rig.dead_letters().await.is_empty(), "an outage is not charged");
}
