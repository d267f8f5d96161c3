//! What arrived at Aftercall, as values: the [`Event`], its [`EventId`], and when it came ([`Timestamp`]).
//!
//! This crate is pure. It does no I/O and reads no clock; whoever calls it brings the bytes and the time.

mod id;
mod timestamp;

use std::sync::Arc;

use bytes::Bytes;

pub use id::{EventId, ParseEventIdError};
pub use timestamp::Timestamp;

/// One event of a contact centre, as it was accepted.
///
/// Cheap to clone: text is shared and the body is reference counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Derived from the event's identity; the same event published twice has the same id.
    pub id: EventId,
    /// Name of the configured source it came in by.
    pub source: Arc<str>,
    /// What kind of event it is: EventBridge's `detail-type`, or a webhook's event type. Empty when the body names none.
    pub topic: Arc<str>,
    /// The conversation it belongs to; events without one have no order among each other.
    pub conversation: Option<Arc<str>>,
    /// When intake had read the whole request.
    pub received: Timestamp,
    /// Set when another event with the same identity but other content was accepted before: that event's id.
    pub conflict_of: Option<EventId>,
    /// The event's bytes exactly as they were received.
    pub body: Bytes,
}
