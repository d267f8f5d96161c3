//! Accepts requests of an HTTP API, as a server accepts them: 200 when every event is durable, and else the same refusals.
//!
//! There is no quarantine: a request that fails verification is answered 401, counted and not kept. A function that is
//! killed before its answer leaves what a server leaves: the sender gets an error and sends again, and what was stored is
//! recognised.

use std::time::Duration;

use bytes::Bytes;
use intake::Reason;
use intake::direct::refused;

use super::function::{Function, left};
use super::http_event::{self, PAYLOAD_MAX};
use super::metrics::{self, Metric};
use super::runtime::{Failure, Invocation};
use super::wired::Wired;
use crate::serve::now;

/// Time that is left for the answer when storing takes too long: the sender is told to come again, and Lambda does not cut
/// the function off.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

pub(super) async fn answer(function: &Function, wired: &Wired, invocation: &Invocation) -> Result<Bytes, Failure> {
    if invocation.body.len() > PAYLOAD_MAX {
        return http_event::answer(&http_event::too_large());
    }
    let (sender, request) = http_event::request(&invocation.body)?;
    let before = counts(wired);
    let answered = tokio::time::timeout(left(invocation, ANSWER_MARGIN), wired.intake.answer(sender, request)).await;
    let response = answered.unwrap_or_else(|_| {
        let detail = "storing takes too long; send it again later, what was stored after all is recognised";
        refused(Reason::QueueBusy, detail)
    });
    function.wake_touched(wired).await;
    for (source, [accepted, duplicates, refused]) in counts(wired) {
        let known = before.iter().find(|(known, _)| *known == source).map_or([0; 3], |(_, counts)| *counts);
        let metrics: [Metric; 3] = [
            ("Accepted", "Count", accepted - known[0]),
            ("Duplicates", "Count", duplicates - known[1]),
            ("Refused", "Count", refused - known[2]),
        ];
        if metrics.iter().any(|(.., count)| *count > 0) {
            let source = if source.is_empty() { "none" } else { &source };
            metrics::emit(("Source", source), &metrics, now());
        }
    }
    let answer = http_event::answer(&response)?;
    if answer.len() > PAYLOAD_MAX {
        return Err(Failure::new(
            "Answer",
            "the ids of the events are more than an answer may have; send smaller batches",
        ));
    }
    Ok(answer)
}

/// What each source has sent since the start: accepted, duplicates, refused.
fn counts(wired: &Wired) -> Vec<(String, [u64; 3])> {
    let sum = |counts: intake::SourceCounts| {
        let refused = counts.refused.iter().map(|(_, count)| count).sum();
        (counts.source, [counts.accepted, counts.duplicates, refused])
    };
    wired.intake.counts().into_iter().map(sum).collect()
}
