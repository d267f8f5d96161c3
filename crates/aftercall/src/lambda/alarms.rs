//! Alarms, in rounds of a minute, over what the table knows: dead letters, what waits, breakers. The notifiers of the
//! configuration are told.
//!
//! What is remembered is one item of the table, which is kept before anything is told ([`operate::rounds`]): an alarm opens
//! once, whoever evaluates it, and after however many cold starts. A function that is killed while it tells leaves what is not
//! told to the next round; some of it may be told twice, under the same keys. An alarm that cannot be evaluated fails nothing
//! else that upkeep does.

use std::time::Duration;

use event::Timestamp;
use futures::future::join_all;
use operate::alarms::{Breaker, DestinationReading, Notice, Reading};
use operate::notifier::{self, NotifyError, send_once};
use operate::rounds::{Rounds, opens};
use queue::QueueStatus;
use tokio::time::timeout;

use super::function::{Function, left};
use super::runtime::Invocation;
use super::wired::Wired;
use crate::config::Action;
use crate::serve::{log_notice, now};

/// Time that is left for the rest of upkeep.
const REST_MARGIN: Duration = Duration::from_secs(20);
/// Time for keeping what was told, after the last attempt.
const KEEP_MARGIN: Duration = Duration::from_secs(3);
/// How hard what is kept is compressed: texts that are much alike.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of it before it was compressed, at most; what is larger is damaged.
const PLAIN_MAX: usize = 16 << 20;

/// One round. What goes wrong is in the log.
pub(super) async fn round(function: &Function, wired: &Wired, invocation: &Invocation, status: &QueueStatus) {
    let time = left(invocation, REST_MARGIN);
    match timeout(time, watch(function, wired, status, time)).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => tracing::error!(problem, "alarms cannot be evaluated; the next round tries again"),
        Err(_) => tracing::error!("the function's time is over before alarms are evaluated; give upkeep more"),
    }
}

async fn watch(function: &Function, wired: &Wired, status: &QueueStatus, time: Duration) -> Result<(), String> {
    let Some(parts) = wired.alarms().await? else { return Ok(()) };
    let told = |error: queue::QueueError| error.to_string();
    let (seen, kept) = wired.table_queue.watched().await.map_err(told)?;
    let mut rounds = kept.as_deref().map_or_else(Rounds::default, read);
    if rounds.is_busy(now()) {
        return Ok(());
    }
    let reading = reading(function, wired, status).await?;
    let began = now();
    let act = |notice: &mut Notice| act(notice, &parts.actions);
    let new = rounds.begin(reading, &parts.options, &parts.notifiers, act, (began, began.plus(time)));
    // Before anything is told, so that nobody else tells it.
    let Some(seen) = wired.table_queue.keep_watched(seen, pack(&rounds)?).await.map_err(told)? else {
        // Another function has evaluated the same.
        return Ok(());
    };
    new.iter().for_each(log_notice);
    let deadline = tokio::time::Instant::now() + time.saturating_sub(KEEP_MARGIN);
    let waiting = parts.notifiers.iter().map(|notifier| (notifier, rounds.waiting(&notifier.name)));
    let tellings = join_all(waiting.map(|(notifier, all)| tell(notifier, all, &parts.instance, deadline))).await;
    for (notifier, tries) in parts.notifiers.iter().zip(tellings) {
        for (notice, result) in tries {
            if let Err(error) = &result {
                let (name, alarm) = (&notifier.name, &notice.alarm.key);
                tracing::error!(notifier = name, alarm, %error, "a notifier did not take a notice; it is told again");
            }
            rounds.told(&notifier.name, &notice, result, now());
        }
    }
    rounds.end();
    match wired.table_queue.keep_watched(seen, pack(&rounds)?).await.map_err(told)? {
        Some(_) => Ok(()),
        None => Err("somebody else has kept alarms meanwhile; what was told may be told again".to_owned()),
    }
}

/// Tells a notifier what waits for it, until it fails or time is over.
async fn tell(
    notifier: &notifier::Options,
    waiting: Vec<Notice>,
    instance: &str,
    deadline: tokio::time::Instant,
) -> Vec<(Notice, Result<(), NotifyError>)> {
    let mut tries = Vec::new();
    for notice in waiting {
        let sent = tokio::time::timeout_at(deadline, send_once(notifier, &notice, instance, now())).await;
        let late = || NotifyError::Transient { message: "the function's time is over".to_owned(), retry_after: None };
        let result = sent.unwrap_or_else(|_| Err(late()));
        let fails = matches!(result, Err(NotifyError::Transient { .. }));
        tries.push((notice, result));
        if fails {
            break;
        }
    }
    tries
}

/// What is to be done when an alarm opens: who is told besides. Nothing can be paused from here.
fn act(notice: &mut Notice, actions: &[Action]) -> Vec<String> {
    let mut called = Vec::new();
    let is_meant = |action: &&Action| {
        let about = action.destination.as_ref().is_none_or(|name| *name == notice.alarm.subject);
        opens(notice) && action.on == notice.alarm.kind && about
    };
    let meant: Vec<&Action> = actions.iter().filter(is_meant).collect();
    for action in meant {
        if action.pause {
            notice.alarm.detail.push_str(" It was not paused, as [[alarms.actions]] has it: functions cannot.");
        }
        called.extend(action.call.clone());
    }
    called
}

async fn reading(function: &Function, wired: &Wired, status: &QueueStatus) -> Result<Reading, String> {
    let failed = |error: queue::QueueError| error.to_string();
    let queue = &*wired.queue;
    let mut letters = function.letters.lock().await;
    letters.read_new(queue).await.map_err(failed)?;
    let groups = match letters.settle(status) {
        Some(mut groups) => {
            queue::apply_reviews(&mut groups, &queue.reviews().await.map_err(failed)?);
            Some(groups)
        }
        None => None,
    };
    let mut destinations = Vec::new();
    for (name, id) in wired.destinations.iter().zip(&wired.ids) {
        let consumer = status.consumers.iter().find(|consumer| consumer.configured && *consumer.name == **name);
        let patience = wired.patience(name);
        // Nothing is known of it while what was kept cannot be read.
        let breaker = match queue.remembered(*id).await {
            Ok(None) => Breaker::Closed,
            Ok(Some(note)) => delivery::stands_open_since(&note).map_or(Breaker::Unknown, |since| match since {
                Some(since) => Breaker::Open(since),
                None => Breaker::Closed,
            }),
            Err(_) => Breaker::Unknown,
        };
        // Nothing is left to probe with, so nobody would find out that it is up.
        let is_idle = consumer.is_some_and(|consumer| consumer.unsettled == 0);
        let oldest: Option<Timestamp> = consumer.and_then(|consumer| consumer.oldest_unsettled);
        destinations.push(DestinationReading {
            name: name.to_string(),
            oldest: oldest.map(|oldest| oldest.plus(patience)),
            waiting: consumer.map_or(0, |consumer| consumer.unsettled),
            held: consumer.map_or(0, |consumer| consumer.held),
            put_aside: consumer.map_or(0, |consumer| consumer.put_aside),
            breaker: if is_idle { Breaker::Closed } else { breaker },
            ..DestinationReading::default()
        });
    }
    Ok(Reading { groups, destinations, ..Reading::default() })
}

fn pack(rounds: &Rounds) -> Result<Vec<u8>, String> {
    zstd::bulk::compress(&rounds.pack(), ZSTD_LEVEL).map_err(|error| error.to_string())
}

/// What cannot be read is begun anew: alarms are told again then, rather than never.
fn read(kept: &[u8]) -> Rounds {
    let plain = zstd::bulk::decompress(kept, PLAIN_MAX).map_err(|error| error.to_string());
    plain.and_then(|plain| Rounds::unpack(&plain)).unwrap_or_else(|problem| {
        tracing::error!(problem, "what alarms have remembered cannot be read; they begin anew");
        Rounds::default()
    })
}
