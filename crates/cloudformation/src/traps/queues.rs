//! What is wrong with queues.

use std::collections::BTreeSet;

use crate::report::{Judge, Trap};
use crate::template::{Queue, Redrive, Target, Value};

/// An outage that must not cost anything. A busy receiver is down for longer than this once in some years.
const OUTAGE: u64 = 4 * HOUR;
const HOUR: u64 = 3_600;
/// The most that SQS keeps a message.
const RETENTION_MAX: u64 = 14 * 24 * HOUR;
/// The most that `maxReceiveCount` can be.
const RECEIVES_MAX: u64 = 1_000;
/// The most that a visibility timeout can be: twelve hours.
const VISIBILITY_MAX: u64 = 12 * HOUR;
/// "at least six times the timeout of your function":
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>.
const TIMEOUTS_PER_VISIBILITY: u64 = 6;

pub(super) fn examine(judge: &mut Judge<'_>) {
    let template = judge.template;
    let for_dead_letters = for_dead_letters(judge);
    for queue in template.queues() {
        if !for_dead_letters.contains(queue.id) {
            retention(judge, &queue);
            match &queue.redrive {
                None => without(judge, &queue),
                Some(redrive) => receives(judge, &queue, redrive),
            }
        }
        if let Some(dead) =
            queue.redrive.as_ref().and_then(|redrive| redrive.target.id()).and_then(|id| template.queue(id))
        {
            kinds(judge, &queue, &dead);
            expiry(judge, &queue, &dead);
        }
    }
    visibility(judge);
}

/// The queues that are there for dead letters: of other queues, of rules, of functions.
fn for_dead_letters(judge: &Judge<'_>) -> BTreeSet<String> {
    let template = judge.template;
    let mut found = BTreeSet::new();
    for resource in template.all() {
        let mut rest = vec![&resource.properties];
        while let Some(node) = rest.pop() {
            for (name, member) in node.members() {
                let arn = match name {
                    "deadLetterTargetArn" => Some(member),
                    "DeadLetterConfig" => member.get("Arn").or_else(|| member.get("TargetArn")),
                    "DeadLetterQueue" => member.get("TargetArn"),
                    "OnFailure" => member.get("Destination"),
                    _ => None,
                };
                if let Some(Target::Here(id)) = arn.map(|arn| template.target(arn)) {
                    found.insert(id);
                }
                rest.push(member);
            }
            if let Value::List(elements) = &node.value {
                rest.extend(elements);
            }
        }
    }
    found
}

fn retention(judge: &mut Judge<'_>, queue: &Queue<'_>) {
    let trap = Trap::ShortRetention;
    let Some(seconds) = judge.known(trap, queue.id, "MessageRetentionPeriod", &queue.retention) else { return };
    if seconds < RETENTION_MAX {
        let what = format!(
            "messages that wait for {}{} are deleted, read or not; an outage over a long weekend is enough",
            spell(seconds),
            queue.retention.origin()
        );
        let cure = format!("MessageRetentionPeriod: {RETENTION_MAX}, the fourteen days that SQS offers");
        judge.find(trap, queue.id, queue.id, queue.line, what, cure);
    }
}

fn without(judge: &mut Judge<'_>, queue: &Queue<'_>) {
    let what =
        "it has no dead-letter queue: a message that cannot be worked on comes back until it expires, and in a FIFO \
                queue all of its group waits behind it"
            .to_owned();
    let cure = "give it a RedrivePolicy with a queue of its own for dead letters, and an alarm on that".to_owned();
    judge.find(Trap::QueueWithoutDeadLetterQueue, queue.id, queue.id, queue.line, what, cure);
}

fn receives(judge: &mut Judge<'_>, queue: &Queue<'_>, redrive: &Redrive) {
    let trap = Trap::LowMaxReceiveCount;
    let count = judge.known(trap, queue.id, "maxReceiveCount", &redrive.max_receives);
    let visibility = judge.known(trap, queue.id, "VisibilityTimeout", &queue.visibility);
    let (Some(count), Some(visibility)) = (count, visibility) else { return };
    let lasts = count.saturating_mul(visibility);
    if lasts >= OUTAGE {
        return;
    }
    let what = format!(
        "{count} receives of {} each: a receiver that is down for {} has every message in the dead-letter queue, though \
         nothing is wrong with any of them",
        spell(visibility),
        spell(lasts)
    );
    let wanted = OUTAGE.div_ceil(visibility.max(1));
    let cure = if wanted <= RECEIVES_MAX {
        format!(
            "maxReceiveCount: {wanted} or more outlasts {}; find poison by its error, not by its count",
            spell(OUTAGE)
        )
    } else {
        format!(
            "maxReceiveCount: {RECEIVES_MAX} with a VisibilityTimeout of {} or more outlasts {}",
            OUTAGE.div_ceil(RECEIVES_MAX),
            spell(OUTAGE)
        )
    };
    judge.find(trap, queue.id, queue.id, redrive.line, what, cure);
}

fn kinds(judge: &mut Judge<'_>, queue: &Queue<'_>, dead: &Queue<'_>) {
    if queue.fifo != dead.fifo {
        let kind = |fifo| if fifo { "a FIFO queue" } else { "a standard queue" };
        let what = format!(
            "it is {}, and its dead-letter queue {} is {}: SQS refuses that",
            kind(queue.fifo),
            dead.id,
            kind(dead.fifo)
        );
        let cure = format!("make {} {} too", dead.id, kind(queue.fifo));
        judge.find(Trap::DeadLetterQueueOfOtherKind, queue.id, queue.id, queue.line, what, cure);
    }
}

/// A standard queue's dead letters keep the time at which they were first sent; those of a FIFO queue begin anew.
fn expiry(judge: &mut Judge<'_>, queue: &Queue<'_>, dead: &Queue<'_>) {
    let trap = Trap::DeadLettersExpireFirst;
    let source = judge.known(trap, queue.id, "MessageRetentionPeriod", &queue.retention);
    let letters = judge.known(trap, dead.id, "MessageRetentionPeriod", &dead.retention);
    let (Some(source), Some(letters)) = (source, letters) else { return };
    let too_short = if queue.fifo { letters < source } else { letters <= source };
    if too_short && letters < RETENTION_MAX {
        let what = format!(
            "a dead letter of {} keeps the age of its message, and {} deletes what is {}{} old: a letter can be gone before \
             anybody has seen it",
            queue.id,
            dead.id,
            spell(letters),
            dead.retention.origin()
        );
        let cure = format!("MessageRetentionPeriod: {RETENTION_MAX} for {}", dead.id);
        judge.find(trap, dead.id, dead.id, dead.line, what, cure);
    }
}

fn visibility(judge: &mut Judge<'_>) {
    let trap = Trap::VisibilityTooShort;
    let template = judge.template;
    for consumer in template.consumers() {
        let queue = consumer.queue.id().and_then(|id| template.queue(id));
        let function = consumer.function.id().and_then(|id| template.function(id));
        let (Some(queue), Some(function)) = (queue, function) else { continue };
        let visibility = judge.known(trap, queue.id, "VisibilityTimeout", &queue.visibility);
        let timeout = judge.known(trap, function.id, "Timeout", &function.timeout);
        let window = judge.known(trap, &consumer.name, "MaximumBatchingWindowInSeconds", &consumer.window);
        let (Some(visibility), Some(timeout), Some(window)) = (visibility, timeout, window) else { continue };
        let wanted = timeout.saturating_mul(TIMEOUTS_PER_VISIBILITY).saturating_add(window);
        if visibility < wanted.min(VISIBILITY_MAX) {
            let what = format!(
                "a message is hidden for {}{}, and {} works on it for up to {}{} and may be throttled before: it is received \
                 again meanwhile, and done twice",
                spell(visibility),
                queue.visibility.origin(),
                function.id,
                spell(timeout),
                function.timeout.origin()
            );
            let cure = format!(
                "VisibilityTimeout: {} or more (six times the timeout, and the batching window)",
                wanted.min(VISIBILITY_MAX)
            );
            judge.find(trap, queue.id, queue.id, queue.line, what, cure);
        }
    }
}

/// Seconds, for people.
fn spell(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * HOUR, "days"), (HOUR, "hours"), (60, "minutes")];
    let unit = UNITS.iter().find(|(unit, _)| seconds >= 2 * unit && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}
