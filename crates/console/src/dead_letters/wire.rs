//! Dead letters as they go over the wire. Times are milliseconds of Unix time.

use std::sync::Arc;

use event::Timestamp;
use intake::Released;
use queue::{DeadLetter, DeadLetterGroup, DeadLetterId, Edit, Failure, Fingerprint, ReviewState, Seq};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::request::Number;

/// A page of dead letters, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(super) struct Page {
    pub(super) dead_letters: Vec<Shown>,
    /// Ask with `cursor` this for the next page; none on the last one.
    pub(super) next: Option<String>,
}

/// A page of groups, the largest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterGroupPage)]
pub(super) struct Groups {
    pub(super) groups: Vec<DeadLetterGroup>,
    /// Ask with `cursor` this for the next page; none on the last one.
    pub(super) next: Option<String>,
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct Shown {
    id: DeadLetterId,
    group: Fingerprint,
    died: Timestamp,
    /// None at stage `intake`.
    destination: Option<Arc<str>>,
    event: Option<String>,
    seq: Option<u64>,
    source: Arc<str>,
    topic: Arc<str>,
    conversation: Option<Arc<str>>,
    attempts: u32,
    charged: u32,
    first_attempt: Option<Timestamp>,
    last_attempt: Option<Timestamp>,
    failure: Failure,
    /// Whether an earlier event of its conversation is a dead letter there too; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_dead: Option<bool>,
    /// How many later events of its conversation wait for it; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// The event's bytes as text, with a sign in place of what is none; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// How many bytes there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<usize>,
    /// The edited copy that a redrive delivers in place of the body.
    edit: Option<Edited>,
    /// The event is an edited copy of what was received, since an earlier redrive; only of a single one.
    altered: bool,
    /// What was received, if the event was altered and it is still in the log; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<String>,
    /// The version of the mapping that would be applied now; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mapping_now: Option<String>,
}

/// An edited copy.
#[derive(Debug, Serialize, ToSchema)]
struct Edited {
    /// Who made it.
    by: Arc<str>,
    at: Timestamp,
    reason: Arc<str>,
    /// Its bytes as text; only of a single dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl From<Edit> for Edited {
    fn from(Edit { by, body }: Edit) -> Self {
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        Self { by: by.name, at: by.at, reason: by.reason, body }
    }
}

impl From<DeadLetter> for Shown {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            group: letter.fingerprint(),
            died: letter.died,
            destination: letter.destination,
            event: letter.event.map(|event| event.to_string()),
            seq: letter.seq.map(|seq| seq.0),
            source: letter.source,
            topic: letter.topic,
            conversation: letter.conversation,
            attempts: letter.attempts.made,
            charged: letter.attempts.charged,
            first_attempt: letter.attempts.first,
            last_attempt: letter.attempts.last,
            failure: letter.failure,
            behind_dead: letter.received.map(|_| letter.behind_dead),
            held: letter.received.map(|_| letter.held),
            body_bytes: letter.body.as_ref().map(|body| body.len()),
            body: letter.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            edit: letter.edit.map(Edited::from),
            altered: letter.altered,
            original: None,
            mapping_now: None,
        }
    }
}

/// Which dead letters something is done with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeadLetterIds)]
pub(super) struct Ids {
    #[schema(min_items = 1, max_items = 1000)]
    pub(super) ids: Vec<Number>,
}

/// Which dead letters are dropped, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Discard {
    #[schema(min_items = 1, max_items = 10000)]
    pub(super) ids: Vec<Number>,
    /// Why they are not needed; stands in the server's log.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    pub(super) reason: String,
}

/// What the present mapping makes of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tried {
    pub(super) id: DeadLetterId,
    /// Why it failed when it died.
    pub(super) before: Option<String>,
    /// The start of what would be sent now.
    pub(super) payload: Option<String>,
    /// Why nothing would be sent now.
    pub(super) error: Option<String>,
}

/// What a redrive would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// How many would be sent.
    pub(super) pass: usize,
    /// How many would not.
    pub(super) fail: usize,
    pub(super) results: Vec<Tried>,
}

/// What a redrive did.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Redrive {
    /// Those whose events are on their way again. Of many large events only the first may be here; ask again for the
    /// others.
    pub(super) redriven: Vec<Redriven>,
    /// Those of stage `intake` whose edited copies were published.
    pub(super) published: Vec<Published>,
    pub(super) refused: Vec<Refused>,
}

/// A dead letter that is none any more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Redriven {
    pub(super) id: DeadLetterId,
    /// The place in the log at which its event is again.
    pub(super) seq: Seq,
}

/// A dead letter of stage `intake` that is none any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedCopy)]
pub(super) struct Published {
    id: DeadLetterId,
    /// How many of its events are new.
    accepted: u64,
    /// How many were known.
    duplicates: u64,
    /// Their ids.
    events: Vec<String>,
}

impl Published {
    pub(super) fn new(id: DeadLetterId, released: Released) -> Self {
        let (accepted, duplicates, events) = match released {
            Released::Published { accepted, duplicates, events } => (accepted, duplicates, events),
            Released::Would | Released::DeadLetter { .. } => (0, 0, Vec::new()),
        };
        let events = events.iter().map(ToString::to_string).collect();
        Self { id, accepted: accepted as u64, duplicates: duplicates as u64, events }
    }
}

/// A dead letter that stays one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refused {
    pub(super) id: DeadLetterId,
    pub(super) reason: String,
}

/// Those that were there and are dropped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Discarded {
    pub(super) discarded: Vec<DeadLetterId>,
}

/// Why a body is edited.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EditQuery {
    /// Why, 1 to 500 characters; kept with the copy.
    #[param(min_length = 1, max_length = 500, pattern = "\\S")]
    pub(super) reason: String,
}

/// A dead letter whose edited copy was kept or dropped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EditDone {
    pub(super) id: DeadLetterId,
    /// Why the present mapping would fail for the copy; none if it would not.
    pub(super) mapping_error: Option<String>,
}

/// How far people are with a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetReview {
    #[schema(inline)]
    pub(super) state: ReviewState,
    /// What is to be noted.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(super) note: String,
}
