//! The answers of success and of health.

mod ids;

use std::fmt::Write as _;

use bytes::Bytes;
use event::EventId;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use queue::{DeadLetterId, Published};

use crate::problem::Answer;
use crate::redact::Unusable;
use ids::Ids;

pub(crate) use ids::AnswerBody;

/// The same as [`accepted`] for a large batch.
pub(crate) fn accepted_batch(ids: Vec<EventId>, duplicates: usize) -> Answer {
    json_of(StatusCode::OK, AnswerBody::Ids(Ids::new(ids, duplicates)))
}

/// `{"accepted":n,"duplicates":n,"events":[ids]}`, the ids in the order of the events.
pub(crate) fn accepted(published: &[Published]) -> Answer {
    const AROUND: usize = 64;
    const PER_EVENT: usize = 39;
    let duplicates = published.iter().filter(|one| one.is_duplicate()).count();
    let mut text = String::with_capacity(AROUND + PER_EVENT * published.len());
    // Writing to a string does not fail.
    let _ = write!(text, r#"{{"accepted":{},"duplicates":{duplicates},"events":["#, published.len() - duplicates);
    for (at, one) in published.iter().enumerate() {
        let _ = write!(text, r#"{}"{}""#, if at == 0 { "" } else { "," }, one.id());
    }
    text.push_str("]}");
    json(StatusCode::OK, text.into())
}

/// An authentic body that became a dead letter; `detail` says why, for whoever set up the sender.
pub(crate) fn dead_lettered(id: DeadLetterId, error: &Unusable) -> Answer {
    let text = serde_json::json!({
        "accepted": 0,
        "duplicates": 0,
        "events": [],
        "dead_letters": [id],
        "detail": error.to_string(),
    });
    json(StatusCode::OK, text.to_string().into())
}

/// The process runs.
pub(crate) fn live() -> Answer {
    json(StatusCode::OK, Bytes::from_static(br#"{"status":"live"}"#))
}

/// Whether requests can be accepted; `reason` says why not.
pub(crate) fn ready(reason: Option<&str>) -> Answer {
    match reason {
        None => json(StatusCode::OK, Bytes::from_static(br#"{"status":"ready"}"#)),
        Some(reason) => {
            let text = serde_json::json!({ "status": "not ready", "reason": reason });
            json(StatusCode::SERVICE_UNAVAILABLE, text.to_string().into())
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    json_of(status, body.into())
}

fn json_of(status: StatusCode, body: AnswerBody) -> Answer {
    let mut answer = Answer::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
