//! Takes messages of SQS, as a source of kind `sqs` does: what can be read is published, what cannot is a dead letter.
//!
//! A message is reported as done only when it is durable, or a dead letter. All others come again, and after as many times
//! as the queue allows they go into its dead-letter queue, which `review` reads. Of a FIFO queue nothing is done behind the
//! first failure, so order is kept. A function that is killed has reported nothing: all of its messages come again, and
//! those that were published are recognised.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::function::{Function, left};
use super::records::{Batch, Record, failures};
use super::runtime::{Failure, Invocation};
use super::wired::Wired;

/// Time that is left for waking, and for the answer.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_secs(3);

pub(super) async fn answer(function: &Function, wired: &Wired, invocation: &Invocation) -> Result<Bytes, Failure> {
    let batch = Batch::parse(&invocation.body)?;
    let mut failed: Vec<&str> = Vec::new();
    // One after the other: so what a queue hands over in order is published in order.
    for record in &batch.records {
        if batch.is_ordered() && !failed.is_empty() {
            failed.push(&record.message_id);
            continue;
        }
        let taken = timeout(left(invocation, ANSWER_MARGIN), take(wired, record)).await;
        if let Err(problem) = taken.unwrap_or_else(|_| Err("the function's time is over".to_owned())) {
            let message = &*record.message_id;
            tracing::warn!(message, problem, "a message was not taken and comes again");
            failed.push(&record.message_id);
        }
    }
    function.wake_touched(wired).await;
    failures(failed)
}

async fn take(wired: &Wired, record: &Record<'_>) -> Result<(), String> {
    let source = source(wired, record)?;
    wired.intake.take(source, &proof(record), record.body()).await.map_err(|problem| problem.to_string())
}

/// The source that a message is of.
pub(super) fn source<'a>(wired: &'a Wired, record: &Record<'_>) -> Result<&'a str, String> {
    let queue = record.first_queue();
    wired.source_of(queue).map(|name| &**name).ok_or_else(|| {
        format!("no source of kind `sqs` has the queue `{queue}`; add one with its queue_url to the configuration")
    })
}

/// What the audit trail says of it.
pub(super) fn proof(record: &Record<'_>) -> String {
    format!("SQS queue {}", record.first_queue())
}
