//! Identity: what makes two arrivals the same event.
//!
//! It depends on what the body says and not on the way it came, so an event that arrives by webhook and by
//! EventBridge has one identity. The first of these that a body has counts:
//!
//! 1. an **id** that its sender gave it: where the source's settings point (`event_id`), else `webhookEventId`, at the
//!    top or, in a webhook body that was relayed over EventBridge, in `detail` or `detail.eventBody`;
//! 2. the **business key** of a conversation's detail event (`v2.detail.events.…`): conversation, participant, session,
//!    topic and `eventTime`. Genesys publishes an event again under a new EventBridge `id`, and one conversation has
//!    several acw events, so neither of those will do. The **audit id** of an audit;
//! 3. for an item of a webhook's batch that Genesys did not publish itself, the **place** in the batch: the identity of the whole and the item's index;
//! 4. the **content** ([`crate::content_hash`]).
//!
//! Ids are compared as text, so the number 5 and the string "5" are the same id. Empty and blank strings, null,
//! booleans, objects and arrays are no ids. Two events that share an id or a key but differ in content are a conflict,
//! which the queue keeps.
//!
//! Everything else goes by content: transcriptions, of which many have the same conversation and time; and of the
//! detail events those that can come several at once for one session.

use std::borrow::Cow;

use crate::EventId;
use crate::fields::{Field, Fields, Published, Seat};
use crate::{content, topic};

/// Detail events of which one session may have several in the same millisecond.
const SEVERAL_AT_ONCE: [&str; 2] = [".attributes", ".flow.outcome"];

/// The identity that a body says it has, by its id or its key.
pub(crate) fn stated(fields: &Fields<'_, '_>) -> Option<EventId> {
    let published = fields.published();
    match given_id(fields, published.as_ref()) {
        Some(id) => Some(EventId::from_identity("id", [id.as_bytes()])),
        None => key(fields, &published?),
    }
}

/// The identity of a body by itself.
pub(crate) fn alone(fields: &Fields<'_, '_>) -> EventId {
    stated(fields).unwrap_or_else(|| from_content(content::of(fields)))
}

/// The identity of an item, where it does not depend on the batch that it is in.
pub(crate) fn in_any_batch(fields: &Fields<'_, '_>) -> Option<EventId> {
    stated(fields).or_else(|| fields.published().map(|_| from_content(content::of(fields))))
}

/// The identity of what has this content.
pub(crate) fn from_content(content: [u8; 16]) -> EventId {
    EventId::from_identity("content", [content.as_slice()])
}

/// The identity by the place in a batch.
pub(crate) fn by_place(batch: EventId, index: usize) -> EventId {
    EventId::from_identity("item", [batch.as_bytes().as_slice(), &(index as u64).to_be_bytes()])
}

fn given_id<'a>(fields: &Fields<'a, '_>, published: Option<&Published<'a>>) -> Option<Cow<'a, str>> {
    let at = |seat| fields.business_name(seat, Field::WebhookEventId);
    fields.event_id().or_else(|| at(Seat::Body)).or_else(|| at(published?.seat))
}

fn key(fields: &Fields<'_, '_>, published: &Published<'_>) -> Option<EventId> {
    let topic = &*published.topic;
    if topic.starts_with(topic::AUDITS) {
        let id = fields.business_name(published.seat, Field::Id)?;
        return Some(EventId::from_identity("audit", [id.as_bytes()]));
    }
    if !topic.starts_with(topic::CONVERSATION_DETAIL) || SEVERAL_AT_ONCE.iter().any(|end| topic.ends_with(end)) {
        return None;
    }
    let part = |field| fields.business_name(published.seat, field);
    let (conversation, time) = (part(Field::Conversation)?, part(Field::EventTime)?);
    let participant = part(Field::Participant).unwrap_or_default();
    let session = part(Field::Session).unwrap_or_default();
    let parts = [&*conversation, &*participant, &*session, topic, &*time];
    Some(EventId::from_identity("business", parts.map(str::as_bytes)))
}

#[cfg(test)]
mod tests;
