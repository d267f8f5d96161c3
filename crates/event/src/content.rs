//! Content: what an event says, apart from how it is written and how it travelled.
//!
//! Two bodies have the same content if they differ only in the order of members, in whitespace, in how strings are
//! escaped, in members that a later one of the same name overrides, or in what publishing adds. Numbers count by their
//! digits: `1.0` is not `1`.
//!
//! Publishing adds the EventBridge envelope (`id`, `time` and so on), which is new whenever Genesys publishes an event
//! again, so of an envelope only `detail` and `detail-type` count. It also adds `timestamp`, `metadata`, `version` and
//! `topicName` in `detail`. They are left out where `eventTime` still says when the event happened; where there is
//! none they may be all that tells one event from the next (presence, sentiment), so there the whole `detail` counts.

mod canonical;

use aws_lc_rs::digest;

use crate::fields::{Field, Fields, PLAIN_READER, Seat};
use crate::json::{self, Raw};
use canonical::canonical;

/// Members of a flat `detail` that publishing adds.
const ADDED_BY_PUBLISHING: [&str; 4] = ["timestamp", "metadata", "version", "topicName"];

/// A hash of the content of a body or of an item of a batch. Bytes that are not JSON are hashed as they are.
pub fn content_hash(body: &[u8]) -> [u8; 16] {
    let fields = json::text(body).ok().and_then(|text| PLAIN_READER.read(text).ok());
    match fields {
        Some(fields) => of(&fields),
        None => hash("bytes", [body]),
    }
}

/// Bytes that are the same for values that say the same, however they are written, and different for others: what counts
/// is what counts in a body.
pub fn canonical_form(value: Raw<'_>) -> Vec<u8> {
    canonical(value, &[])
}

/// A hash of the content of what was read.
pub(crate) fn of(fields: &Fields<'_, '_>) -> [u8; 16] {
    let Some(published) = fields.published() else {
        return whole(fields.value());
    };
    let has = |field| fields.business_name(published.seat, field).is_some();
    if has(Field::WebhookEventId) {
        // A webhook body that was relayed over EventBridge has the content that it would have by itself.
        whole(published.business)
    } else if has(Field::EventTime) {
        let added: &[&str] = if published.seat == Seat::Detail { &ADDED_BY_PUBLISHING } else { &[] };
        hash("business", [published.topic.as_bytes(), &canonical(published.business, added)])
    } else {
        hash("published", [published.topic.as_bytes(), &canonical(published.whole, &[])])
    }
}

/// A hash of all that a value says.
pub(crate) fn whole(value: Raw<'_>) -> [u8; 16] {
    hash("whole", [canonical(value, &[]).as_slice()])
}

/// The first half of a SHA-256. `kind` keeps the ways to make content apart.
fn hash<'a>(kind: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(kind.as_bytes());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    half
}

#[cfg(test)]
mod tests;
