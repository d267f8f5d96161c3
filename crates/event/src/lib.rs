//! What arrived at Aftercall, as values: the [`Event`], its [`EventId`], and when it came ([`Timestamp`]); and how the
//! body of a request becomes events ([`Splitter`]); and what an event tells of a call ([`Outcome`]).
//!
//! This crate is pure. It does no I/O and reads no clock; whoever calls it brings the bytes and the time.

mod content;
mod error;
mod fields;
mod id;
mod identity;
pub mod json;
pub mod outcome;
mod shortened;
mod split;
mod timestamp;
mod topic;

use std::sync::Arc;

use bytes::Bytes;

pub use content::{canonical_form, content_hash};
pub use error::BodyError;
pub use fields::{MAX_NAME_BYTES, known_names};
pub use id::{EventId, ParseEventIdError};
pub use outcome::Outcome;
pub use shortened::shortened;
pub use split::{
    Batch, DEFAULT_MAX_EVENTS_PER_BODY, LargeError, LargeLimits, MAX_PIECE_BYTES, NewEvent, Outline, Portions,
    SourceKind, SplitSettings, Splitter, Stored, conversation_key,
};
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

impl Event {
    /// Whether its body was erased: none is accepted without one.
    pub fn is_erased(&self) -> bool {
        self.body.is_empty()
    }
}
