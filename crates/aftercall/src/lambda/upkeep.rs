//! Does once a minute what nobody is woken for: drops what is older than retention, wakes the destinations that have
//! something to do (retries, leases of a function that was killed, probes of a destination that was down, wake-ups that got
//! lost), writes metrics, and evaluates alarms ([`super::alarms`]). All of it may be done twice or not at all for a while without harm.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use queue::ConsumerStatus;

use super::alarms;
use super::function::{Function, left};
use super::metrics::{self, Metric};
use super::runtime::{Failure, Invocation};
use super::wired::Wired;
use crate::serve::now;

/// Said of a destination that no function can deliver to.
pub(super) const NEEDS_A_SERVER: &str = "this kind of destination writes to a disk of its own, which a function does not \
                                         have; run `aftercall serve` on the same table for it, or take it out";
/// Time that is kept for the counts, for waking and for the answer.
const REST_MARGIN: Duration = Duration::from_secs(15);

pub(super) async fn answer(function: &Function, wired: &Wired, invocation: &Invocation) -> Result<Bytes, Failure> {
    let failed = |error: queue::QueueError| Failure::new("Queue", error.to_string());
    // Waking comes first: upkeep may take all of the time.
    let status = wired.queue.status(now()).await.map_err(failed)?;
    let configured = status.consumers.iter().filter(|consumer| consumer.configured);
    let waiting: Vec<&ConsumerStatus> = configured.clone().filter(|consumer| has_something(consumer)).collect();
    let is_local = |consumer: &ConsumerStatus| wired.local.iter().any(|name| **name == *consumer.name);
    let (local, woken): (Vec<&ConsumerStatus>, Vec<_>) = waiting.into_iter().partition(|consumer| is_local(consumer));
    let woken: Vec<Arc<str>> = woken.into_iter().map(|consumer| Arc::from(consumer.name.as_str())).collect();
    function.wake.send(&woken).await;
    for consumer in local {
        tracing::error!(destination = consumer.name, waiting = consumer.unsettled, "{NEEDS_A_SERVER}");
    }
    configured.for_each(tell);
    metrics::emit(("Queue", "all"), &[("AllDeadLetters", "Count", status.dead_letters)], now());
    alarms::round(function, wired, invocation, &status).await;
    let mut expired = 0;
    while !left(invocation, REST_MARGIN).is_zero() {
        let done = wired.queue.maintain(now()).await.map_err(failed)?;
        expired += done.expired;
        if !done.more {
            break;
        }
    }
    if expired > 0 {
        tracing::error!(
            deliveries = expired,
            "deliveries reached the end of retention undelivered and became dead letters"
        );
    }
    let answer = serde_json::json!({ "woken": woken, "expired": expired });
    Ok(Bytes::from(answer.to_string()))
}

/// Whether something may be leased, now or when a retry or a lease is over; not if all of it waits behind dead letters.
fn has_something(consumer: &ConsumerStatus) -> bool {
    consumer.unsettled > consumer.held
}

fn tell(consumer: &ConsumerStatus) {
    let now = now();
    let age = consumer.oldest_unsettled.map_or(Duration::ZERO, |oldest| oldest.until(now));
    let counts: [Metric; 3] = [
        ("Undelivered", "Count", consumer.unsettled),
        ("OldestAgeSeconds", "Seconds", age.as_secs()),
        ("DeadLetters", "Count", consumer.dead_letters),
    ];
    metrics::emit(("Destination", &consumer.name), &counts, now);
}
