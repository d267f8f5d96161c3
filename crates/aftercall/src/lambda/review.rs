//! Takes what `route` could not: messages of the dead-letter queue are published after all, or become dead letters of stage
//! `intake`, where people see them. And does what people have decided about a group of dead letters.
//!
//! A message is reported as done only when one of the two is durable. A function that is killed in the middle of a group
//! has done a part of it; asked again, it goes on.

use std::time::Duration;

use bytes::Bytes;
use queue::{By, DeadLetterQuery, Fingerprint, QueueError};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::function::{Function, left};
use super::records::{Batch, Record, failures};
use super::route::{ANSWER_MARGIN, proof, source};
use super::runtime::{Failure, Invocation};
use super::wired::Wired;
use crate::serve::now;

/// Dead letters that are read and dealt with at once.
const PAGE: usize = 100;
/// Time that one page may take: with less than that left, the answer says that there is more.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// Groups of an answer, the largest first.
const GROUPS_MAX: usize = 100;
/// Reasons of letters that stay which an answer repeats.
const REASONS_MAX: usize = 20;

/// What is asked about a group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: Action,
    group: Fingerprint,
    by: String,
    #[serde(default)]
    reason: String,
}

impl Asked {
    /// What is on record about a decision is who made it, and why something is gone.
    fn check(&self) -> Result<(), &'static str> {
        if self.by.trim().is_empty() {
            return Err("`by` is empty; it says who has decided");
        }
        if matches!(self.action, Action::Discard) && self.reason.trim().is_empty() {
            return Err("`reason` is empty; nothing is discarded without one");
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Redrive,
    Discard,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    action: Action,
    group: Fingerprint,
    done: usize,
    /// Letters that stay, and the first reasons.
    refused: usize,
    reasons: Vec<String>,
    /// The time was over before the group was: ask again.
    more: bool,
}

pub(super) async fn answer(function: &Function, wired: &Wired, invocation: &Invocation) -> Result<Bytes, Failure> {
    let event: serde_json::Value = serde_json::from_slice(&invocation.body)
        .map_err(|error| Failure::new("Event", format!("this is no JSON: {error}")))?;
    let answer = if event.get("action").is_some_and(|action| action == "groups") {
        let groups = wired.queue.dead_letter_groups(DeadLetterQuery::default()).await;
        let groups = groups.map_err(|error| Failure::new("Queue", error.to_string()))?;
        let shown = &groups[..groups.len().min(GROUPS_MAX)];
        let answer = serde_json::json!({ "groups": shown, "more": shown.len() < groups.len() });
        Ok(Bytes::from(answer.to_string()))
    } else if event.get("action").is_some() {
        let asked: Asked = serde_json::from_value(event).map_err(|error| {
            let form = r#"{"action": "redrive" or "discard", "group": "16 digits", "by": "who", "reason": "why"}"#;
            let groups = r#"{"action": "groups"}"#;
            Failure::new("Event", format!("{error}; this function understands {form} and {groups}"))
        })?;
        asked.check().map_err(|problem| Failure::new("Event", problem))?;
        let done = decide(wired, invocation, asked).await.map_err(|error| Failure::new("Queue", error.to_string()))?;
        serde_json::to_vec(&done).map(Bytes::from).map_err(|error| Failure::new("Bug", error.to_string()))
    } else {
        messages(wired, invocation).await
    };
    function.wake_touched(wired).await;
    answer
}

async fn messages(wired: &Wired, invocation: &Invocation) -> Result<Bytes, Failure> {
    let batch = Batch::parse(&invocation.body)?;
    let mut failed: Vec<&str> = Vec::new();
    for record in &batch.records {
        let taken = timeout(left(invocation, ANSWER_MARGIN), take(wired, record)).await;
        if let Err(problem) = taken.unwrap_or_else(|_| Err("the function's time is over".to_owned())) {
            let message = &*record.message_id;
            tracing::error!(
                message,
                problem,
                "a message of the dead-letter queue is neither published nor a dead letter"
            );
            failed.push(&record.message_id);
        }
    }
    failures(failed)
}

async fn take(wired: &Wired, record: &Record<'_>) -> Result<(), String> {
    let (source, why) = match source(wired, record) {
        Ok(source) => match wired.intake.take(source, &proof(record), record.body()).await {
            Ok(()) => return Ok(()),
            Err(problem) if problem.passes() => return Err(problem.to_string()),
            Err(problem) => (source, problem.to_string()),
        },
        // Kept under the name of its queue, so that it is somewhere people look.
        Err(problem) => (record.first_queue(), problem),
    };
    wired
        .intake
        .bury(source, &proof(record), record.body(), &why)
        .await
        .map(drop)
        .map_err(|problem| problem.to_string())
}

/// Redrives or discards a group of dead letters, as far as the time goes.
async fn decide(wired: &Wired, invocation: &Invocation, asked: Asked) -> Result<Done, QueueError> {
    let Asked { action, group, by, reason } = asked;
    let by = By::new(by, now()).because(reason);
    let mut done = Done { action, group, done: 0, refused: 0, reasons: Vec::new(), more: false };
    let mut query = DeadLetterQuery { group: Some(group), limit: PAGE, ..DeadLetterQuery::default() };
    loop {
        if left(invocation, ANSWER_MARGIN) < PAGE_TIME {
            done.more = true;
            break;
        }
        let letters = wired.queue.dead_letters(query.clone()).await?;
        let Some(last) = letters.last().map(|letter| letter.id) else { break };
        let mut ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
        match action {
            Action::Discard => done.done += wired.queue.discard(ids, by.clone()).await?.len(),
            Action::Redrive => {
                // Of many large ones only the first may be dealt with at once.
                while !ids.is_empty() {
                    let outcomes = wired.queue.redrive(std::mem::take(&mut ids), by.clone()).await?;
                    let dealt: Vec<_> = outcomes.iter().map(|outcome| outcome.id).collect();
                    ids = letters.iter().map(|letter| letter.id).filter(|id| Some(id) > dealt.last()).collect();
                    for outcome in outcomes {
                        match outcome.result {
                            Ok(_) => done.done += 1,
                            Err(reason) => done.refuse(&reason.to_string()),
                        }
                    }
                    if dealt.is_empty() {
                        break;
                    }
                }
            }
        }
        query.after = Some(last);
    }
    let (by, done_now, refused) = (&*by.name, done.done, done.refused);
    tracing::info!(%group, ?action, by, done = done_now, refused, "a decision about a group of dead letters was carried out");
    Ok(done)
}

impl Done {
    fn refuse(&mut self, reason: &str) {
        self.refused += 1;
        if self.reasons.len() < REASONS_MAX && !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Asked>(text).map_err(|error| error.to_string());
        let asked = read(r#"{"action":"redrive","group":"00000000000000ff","by":"ann","reason":"mended"}"#).unwrap();
        assert_eq!((&*asked.by, &*asked.reason, asked.check()), ("ann", "mended", Ok(())));
        for bad in [
            r#"{"action":"discard","group":"00000000000000ff","by":"ann"}"#,
            r#"{"action":"discard","group":"00000000000000ff","by":"ann","reason":" "}"#,
            r#"{"action":"redrive","group":"00000000000000ff","by":""}"#,
        ] {
            read(bad).unwrap().check().unwrap_err();
        }
        assert!(read(r#"{"action":"delete","group":"00000000000000ff","by":"ann"}"#).unwrap_err().contains("redrive"));
        assert!(read(r#"{"action":"redrive","group":"ff","by":"ann"}"#).unwrap_err().contains("16 hexadecimal"));
        assert!(read(r#"{"action":"redrive","group":"00000000000000ff"}"#).unwrap_err().contains("by"));
    }
}
