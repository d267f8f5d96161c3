//! Splitting: how the body of a request becomes events, all of them or none.
//!
//! | source | body | events |
//! |---|---|---|
//! | any | a JSON object | one |
//! | webhook | an array | one for each item |
//! | webhook | an object with an array of at least one item in `data`, or where `batch` points | one for each item |
//! | eventbridge | an array of envelopes | one for each |
//! | eventbridge | `{"requestPayload": …}`, alone or in an array | what it holds: one envelope, or an array of them |
//!
//! An event by itself keeps the whole body as it was received, byte order mark and whitespace included, so that its
//! signature can be checked again. An item keeps exactly its own bytes and nothing of what is around it; what it lacks
//! in conversation and topic it takes over from the body that it came in, not into its bytes but into the event.
//! A body is split once: an item's own `data` stays as it is. No bytes are copied.
//!
//! `[]` holds no events and is accepted. `{"data": []}` is an event by itself, about nothing.
//!
//! An item of a webhook's batch that states no identity of its own ([`crate::identity`]) is identified by its place in
//! the batch, and the batch by its id or else its content. So a batch that is sent again is recognised item by item,
//! equal items of one batch are all kept, and so are equal items of different batches. The items of an EventBridge
//! array are identified each by itself, because EventBridge puts them together as it likes.
//!
//! A body that is too large for memory is split as a stream ([`large`]).

mod around;
mod conversations;
mod items;
mod large;
mod stored;

use std::sync::Arc;

use bytes::Bytes;

use crate::fields::{Extra, Fields, Reader};
use crate::json::{self, Fault, Kind, Pointer, Raw, Scanner};
use crate::{BodyError, EventId, identity};
use items::{Items, Parent, Wrapping};

pub use conversations::conversation_key;
pub use large::{LargeError, LargeLimits, MAX_PIECE_BYTES, Outline, Portions};
pub use stored::Stored;

/// Most events of one body by default: what fits into the largest body (10 MiB) at 1 KiB each.
pub const DEFAULT_MAX_EVENTS_PER_BODY: usize = 10_000;

/// How a source's bodies are to be read.
#[derive(Debug, Clone)]
pub struct SplitSettings {
    /// What sends them.
    pub kind: SourceKind,
    /// Where events have an id, in order of preference, before the places that are known of Genesys.
    pub event_id: Vec<Pointer>,
    /// Where events have a conversation, likewise.
    pub conversation: Vec<Pointer>,
    /// Where events have a topic, likewise.
    pub topic: Vec<Pointer>,
    /// What of a webhook body is a batch.
    pub batch: Batch,
    /// Most events of one body.
    pub max_events_per_body: usize,
}

impl SplitSettings {
    /// The usual settings for a kind of source.
    pub const fn new(kind: SourceKind) -> Self {
        Self {
            kind,
            event_id: Vec::new(),
            conversation: Vec::new(),
            topic: Vec::new(),
            batch: Batch::Auto,
            max_events_per_body: DEFAULT_MAX_EVENTS_PER_BODY,
        }
    }
}

/// What sends the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Webhooks: an event or a batch of events.
    Webhook,
    /// EventBridge: envelopes.
    EventBridge,
}

/// What of a webhook body is a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Batch {
    /// The body if it is an array, and an array in `data`.
    #[default]
    Auto,
    /// The body if it is an array, and an array at this pointer.
    At(Pointer),
    /// Nothing: each body is one event.
    Never,
}

/// One event of a body, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id, made from its identity.
    pub id: EventId,
    /// What kind of event it is; empty when the body does not say.
    pub topic: Arc<str>,
    /// The conversation it belongs to.
    pub conversation: Option<Arc<str>>,
    /// Its bytes, a part of the body.
    pub body: Bytes,
}

/// Makes events out of the bodies of one source.
#[derive(Debug, Clone)]
pub struct Splitter {
    kind: SourceKind,
    batch: Batch,
    max_events: usize,
    /// First items of a batch that settings point into.
    pointed: usize,
    reader: Reader,
}

impl Splitter {
    /// Prepares the settings.
    pub fn new(settings: &SplitSettings) -> Self {
        let batch = match &settings.batch {
            Batch::At(pointer) => Some(pointer),
            Batch::Auto | Batch::Never => None,
        };
        let reader = Reader::new(Extra {
            event_id: &settings.event_id,
            conversation: &settings.conversation,
            topic: &settings.topic,
            batch,
        });
        let pointers = [&settings.event_id, &settings.conversation, &settings.topic].into_iter().flatten();
        let pointed = Self::pointed_items(&settings.batch, pointers);
        let (kind, batch, max_events) = (settings.kind, settings.batch.clone(), settings.max_events_per_body);
        Self { kind, batch, max_events, pointed, reader }
    }

    /// Makes events out of a body: all that it holds, in their order.
    ///
    /// # Errors
    /// If anything in the body cannot become an event; the same body always has the same answer.
    pub fn split(&self, body: &Bytes) -> Result<Vec<NewEvent>, BodyError> {
        let text = json::text(body)?;
        let body = Body { bytes: body, text };
        match Scanner::new(text).peek().map(Kind::of) {
            Some(Kind::Array) => self.array(&body),
            Some(Kind::Object) => self.object(&body),
            _ => Err(self.neither(&body)),
        }
    }

    fn object(&self, body: &Body<'_>) -> Result<Vec<NewEvent>, BodyError> {
        let fields = self.reader.read(body.text).map_err(|fault| body.error(fault))?;
        let mut items = Items::new(self, body);
        match self.kind {
            SourceKind::EventBridge => {
                if let Some(payload) = fields.request_payload() {
                    items.payload(payload)?;
                    return Ok(items.of_batch(&Parent::array(payload.as_str())));
                }
            }
            SourceKind::Webhook => {
                if let Some(batch) = self.batch_in(&fields) {
                    items.array(&mut Scanner::new(batch.as_str()), Wrapping::None)?;
                    if !items.is_empty() {
                        return Ok(items.of_batch(&Parent::object(&fields)));
                    }
                }
            }
        }
        Ok(vec![alone(&fields, body.bytes.clone())])
    }

    fn array(&self, body: &Body<'_>) -> Result<Vec<NewEvent>, BodyError> {
        let mut items = Items::new(self, body);
        let mut scanner = Scanner::new(body.text);
        match self.kind {
            SourceKind::Webhook if self.batch == Batch::Never => return Err(BodyError::NotSplit),
            SourceKind::Webhook => items.array(&mut scanner, Wrapping::None)?,
            SourceKind::EventBridge => items.array(&mut scanner, Wrapping::Payload)?,
        }
        scanner.end().map_err(|fault| body.error(fault))?;
        Ok(items.of_batch(&Parent::array(body.text)))
    }

    fn neither(&self, body: &Body<'_>) -> BodyError {
        match self.reader.read(body.text) {
            Ok(fields) => BodyError::NotAnEvent { found: fields.value().kind() },
            Err(fault) => body.error(fault),
        }
    }

    fn batch_in<'a>(&self, fields: &Fields<'a, '_>) -> Option<Raw<'a>> {
        let batch = match self.batch {
            Batch::Auto => fields.data(),
            Batch::At(_) => fields.batch(),
            Batch::Never => None,
        };
        batch.filter(|batch| batch.kind() == Kind::Array)
    }
}

/// One event that is the whole of its body.
fn alone(fields: &Fields<'_, '_>, body: Bytes) -> NewEvent {
    NewEvent {
        id: identity::alone(fields),
        topic: fields.topic().map(Arc::from).unwrap_or_default(),
        conversation: fields.conversation().map(Arc::from),
        body,
    }
}

/// A body that is being split.
struct Body<'a> {
    bytes: &'a Bytes,
    text: &'a str,
}

impl Body<'_> {
    fn error(&self, fault: Fault) -> BodyError {
        BodyError::at(self.bytes, self.text, fault)
    }
}

#[cfg(test)]
mod large_tests;
#[cfg(test)]
mod tests;
