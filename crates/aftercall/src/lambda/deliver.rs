//! Delivers to the destinations that it is woken for, with the service that a server runs, until nothing is left that could
//! be delivered soon, or until its time is nearly over. Then the attempts under way end and are settled.
//!
//! A wake-up is always acknowledged when the queue could be asked, also while the destination is down: events wait in the
//! queue, so no message is received again and again because of an outage. A function that is killed leaves leases, which end
//! by their time; `upkeep` wakes the destination again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Service, SystemClock};
use futures::future::join_all;
use queue::{ConsumerId, Queue};
use rand::RngExt as _;

use super::function::{Function, left};
use super::metrics;
use super::records::{Batch, failures};
use super::runtime::{Failure, Invocation};
use super::wake::WakeUp;
use super::wired::Wired;
use crate::config::DestinationParts;
use crate::router::RouteMapper;
use crate::serve::now;

/// A service with nothing to do for longer than this ends; a shorter wait is worth it, for a retry or for the rate limit.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time for settling and for waking, after the last attempt.
const SETTLE_MARGIN: Duration = Duration::from_secs(4);

pub(super) async fn answer(function: &Function, wired: &Arc<Wired>, invocation: &Invocation) -> Result<Bytes, Failure> {
    let batch = Batch::parse(&invocation.body)?;
    // The messages that name each destination.
    let mut woken: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for record in &batch.records {
        match serde_json::from_str::<WakeUp>(&record.body) {
            Ok(WakeUp { destination }) => woken.entry(destination).or_default().push(&record.message_id),
            Err(error) => {
                let message = &*record.message_id;
                tracing::error!(message, %error, "a message is no wake-up and is dropped; who else sends to this queue?");
            }
        }
    }
    let (queue, ids) = wired.open_again().await.map_err(|error| Failure::new("Queue", format!("{error:#}")))?;
    let ended = join_all(woken.keys().map(|name| run(wired, &queue, &ids, name, invocation))).await;
    // So that others may deliver to these destinations; what cannot be given back ends by time.
    if let Err(error) = queue.close().await {
        tracing::warn!(%error, "the destinations are given back late");
    }
    let (mut again, mut done, mut failed) = (Vec::<Arc<str>>::new(), Vec::<Arc<str>>::new(), Vec::new());
    for ((name, messages), ended) in woken.iter().zip(ended) {
        match ended {
            // Whoever is woken now could do no more.
            Ok(End::Nothing | End::HeldBack) => {}
            Ok(End::Late) => again.push(Arc::from(name.as_str())),
            Ok(End::Done) => done.push(Arc::from(name.as_str())),
            Err(problem) => {
                tracing::error!(destination = name, problem, "a destination's deliveries ended with an error");
                failed.extend(messages);
            }
        }
    }
    again.extend(came_meanwhile(wired, &done).await);
    function.wake.send(&again).await;
    // What a destination has published itself, such as where a transcript is.
    function.wake_touched(wired).await;
    failures(failed)
}

/// Of these destinations those that have something to do all the same. A wake-up for it may have come to another function
/// while this one was delivering, and has done nothing there.
async fn came_meanwhile(wired: &Wired, done: &[Arc<str>]) -> Vec<Arc<str>> {
    if done.is_empty() {
        return Vec::new();
    }
    let Ok(status) = wired.queue.status(now()).await else { return Vec::new() };
    let has_more = |name: &&Arc<str>| {
        let consumer = status.consumers.iter().find(|consumer| *consumer.name == ***name);
        consumer.is_some_and(|of| of.unsettled > of.held + of.retrying + of.leased)
    };
    done.iter().filter(has_more).cloned().collect()
}

/// Why a destination's deliveries ended.
enum End {
    /// There was nothing to do, or another one does it.
    Nothing,
    /// Nothing more could be delivered soon.
    Done,
    /// There may be more, and the breaker or the rate holds it back.
    HeldBack,
    /// The time was over, and there may be more.
    Late,
}

async fn run(
    wired: &Arc<Wired>,
    queue: &Arc<dyn Queue>,
    ids: &[ConsumerId],
    name: &str,
    invocation: &Invocation,
) -> Result<End, String> {
    let place = wired.destinations.iter().position(|known| **known == *name);
    let Some(consumer) = place.and_then(|place| ids.get(place)) else {
        tracing::warn!(destination = name, "a wake-up names a destination that is not configured (any more)");
        return Ok(End::Nothing);
    };
    if wired.local.iter().any(|known| **known == *name) {
        tracing::error!(destination = name, "{}", super::upkeep::NEEDS_A_SERVER);
        return Ok(End::Nothing);
    }
    let (opening, named) = (Arc::clone(wired), name.to_owned());
    let opened = tokio::task::spawn_blocking(move || opening.destination(&named)).await;
    let parts = match opened.map_err(|error| error.to_string())? {
        None => return Ok(End::Nothing),
        Some(parts) => parts.map_err(|error| error.in_a_line())?,
    };
    deliver(wired, queue, &parts, *consumer, invocation).await
}

/// Runs the destination's service.
async fn deliver(
    wired: &Wired,
    queue: &Arc<dyn Queue>,
    parts: &DestinationParts,
    consumer: ConsumerId,
    invocation: &Invocation,
) -> Result<End, String> {
    let margin = parts.delivery.timeout + SETTLE_MARGIN;
    if left(invocation, margin).is_zero() {
        let timeout = parts.delivery.timeout.as_secs_f32();
        return Err(format!(
            "the function's timeout is too short for an attempt of {timeout} s and {} s for the rest; make it longer",
            SETTLE_MARGIN.as_secs()
        ));
    }
    if let Some(fetching) = parts.destination.fetching() {
        fetching.connect(Arc::clone(&wired.queue));
    }
    parts.destination.tend();
    let made = delivery::Parts {
        name: Arc::clone(&parts.name),
        consumer,
        queue: Arc::clone(queue),
        mapper: Arc::new(RouteMapper { tables: Arc::clone(&wired.tables), destination: Arc::clone(&parts.name) }),
        destination: Arc::clone(&parts.destination.destination),
        clock: Arc::new(SystemClock),
        seed: rand::rng().random(),
        aside: None,
        paused: false,
    };
    let service = Service::new(made, parts.delivery.clone()).map_err(|error| error.to_string())?;
    let mut handle = service.start();
    let health = Arc::clone(handle.health());
    let mut rest = health.rest();
    let ended = tokio::select! {
        () = tokio::time::sleep(left(invocation, margin)) => Ok(End::Late),
        rest = rest.wait_for(|rest| rest.is_some_and(|rest| rest.until.is_none_or(|at| at > now().plus(PATIENCE)))) => {
            let held_back = rest.is_ok_and(|rest| rest.is_some_and(|rest| rest.held_back));
            Ok(if held_back { End::HeldBack } else { End::Done })
        }
        ended = handle.ended() => Err(ended.err().map_or_else(|| "it ended by itself".to_owned(), |e| e.to_string())),
    };
    if ended.is_ok() {
        handle.finish();
        handle.ended().await.map_err(|error| error.to_string())?;
    }
    let told = health.snapshot();
    let begun = told.delivered + told.failed_transient + told.failed_permanent + told.failed_bug + told.not_yet;
    let open = u64::from(told.gate.is_some_and(|gate| gate.breaker.state.is_open()));
    let counts = [
        ("Delivered", "Count", told.delivered),
        ("FailedAttempts", "Count", told.failed_transient + told.failed_permanent + told.failed_bug),
        ("Died", "Count", told.dead),
        ("BreakerOpen", "None", open),
    ];
    metrics::emit(("Destination", &parts.name), &counts, now());
    ended.map(|end| if begun == 0 { End::Nothing } else { end })
}
