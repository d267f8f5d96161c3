//! The fields of a body that say what it is, read in one pass: those that Genesys uses, in every shape it uses them,
//! and those that a source's settings point to.
//!
//! An event's business fields can sit in four places ([`Seat`]): in an EventBridge envelope under `detail.eventBody`
//! or flat under `detail`, in a bare notification under `eventBody`, and in a webhook body at the top.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::json::{Fault, Found, Kind, Lookup, Pointer, Raw, Scanner};
use crate::topic;

/// Longest text that is taken for a topic or a conversation. Genesys' are below 100 bytes; they are kept with every
/// event and in memory, so a sender must not be able to make them large. A longer one does not count as one.
pub const MAX_NAME_BYTES: usize = 512;

/// A field at the top of a body.
#[derive(Clone, Copy)]
enum Top {
    DetailType,
    TopicName,
    EventType,
    Topic,
    Event,
    Type,
    Data,
    RequestPayload,
}

/// In the order of [`Top`].
const TOP: [&str; 8] =
    ["/detail-type", "/topicName", "/eventType", "/topic", "/event", "/type", "/data", "/requestPayload"];

/// Where the business fields of an event sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    EventBody,
    Detail,
    Notification,
    Body,
    Data,
}

/// In the order of [`Seat`].
const SEATS: [&str; 5] = ["/detail/eventBody", "/detail", "/eventBody", "", "/data"];

/// A business field, relative to its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The seat itself.
    All,
    WebhookEventId,
    Id,
    EventTime,
    Conversation,
    ConversationObject,
    Participant,
    Session,
}

/// In the order of [`Field`].
const FIELDS: [&str; 8] =
    ["", "/webhookEventId", "/id", "/eventTime", "/conversationId", "/conversation/id", "/participantId", "/sessionId"];

/// Where a conversation is looked for, in this order.
const CONVERSATION_SEATS: [Seat; 5] = [Seat::Body, Seat::Data, Seat::EventBody, Seat::Detail, Seat::Notification];

/// Where a conversation and a topic are looked for in any body, as JSON pointers; each with which of the two it is.
pub fn known_names() -> impl Iterator<Item = (&'static str, String)> {
    let fields = [Field::Conversation, Field::ConversationObject].map(|field| FIELDS[field as usize]);
    let conversations =
        SEATS.iter().flat_map(move |seat| fields.map(|field| ("conversation", format!("{seat}{field}"))));
    let topics = TOP.iter().take(Top::Data as usize).map(|top| ("topic", (*top).to_owned()));
    conversations.chain(topics)
}

/// Pointers of a source's settings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extra<'p> {
    pub(crate) event_id: &'p [Pointer],
    pub(crate) conversation: &'p [Pointer],
    pub(crate) topic: &'p [Pointer],
    pub(crate) batch: Option<&'p Pointer>,
}

/// Reads [`Fields`].
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    lookup: Lookup,
    event_id: usize,
    conversation: usize,
    topic: usize,
    batch: usize,
    end: usize,
}

/// Reads what Genesys uses and nothing else.
pub(crate) static PLAIN_READER: LazyLock<Reader> = LazyLock::new(|| Reader::new(Extra::default()));

impl Reader {
    pub(crate) fn new(extra: Extra<'_>) -> Self {
        let seats = SEATS.iter().flat_map(|seat| FIELDS.iter().map(move |field| format!("{seat}{field}")));
        // Every built-in pointer is well-formed, which a test makes sure of.
        let known = TOP.iter().map(ToString::to_string).chain(seats).filter_map(|pointer| pointer.parse().ok());
        let known: Vec<Pointer> = known.collect();
        let lists = [extra.event_id, extra.conversation, extra.topic];
        let event_id = known.len();
        let conversation = event_id + extra.event_id.len();
        let topic = conversation + extra.conversation.len();
        let batch = topic + extra.topic.len();
        Self {
            lookup: Lookup::new(known.iter().chain(lists.into_iter().flatten()).chain(extra.batch)),
            event_id,
            conversation,
            topic,
            batch,
            end: batch + usize::from(extra.batch.is_some()),
        }
    }

    /// Reads a text that must be one value.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Result<Fields<'a, '_>, Fault> {
        self.lookup.find_in(text).map(|(value, found)| Fields { reader: self, value, found })
    }

    /// Takes the scanner's next value and reads it.
    pub(crate) fn take<'a>(&self, scanner: &mut Scanner<'a>) -> Result<Fields<'a, '_>, Fault> {
        self.lookup.take(scanner).map(|(value, found)| Fields { reader: self, value, found })
    }
}

/// What was read of one body, or of one item of a batch.
pub(crate) struct Fields<'a, 'r> {
    reader: &'r Reader,
    value: Raw<'a>,
    found: Found<'a>,
}

/// What Genesys published: an EventBridge envelope, or by itself what EventBridge would have in `detail`.
pub(crate) struct Published<'a> {
    /// The topic's template.
    pub(crate) topic: Cow<'a, str>,
    /// `detail`, or the whole notification.
    pub(crate) whole: Raw<'a>,
    /// Where the business fields sit.
    pub(crate) seat: Seat,
    /// That seat.
    pub(crate) business: Raw<'a>,
}

impl<'a> Fields<'a, '_> {
    /// The value they were read from.
    pub(crate) fn value(&self) -> Raw<'a> {
        self.value
    }

    /// A business field in one place.
    pub(crate) fn business(&self, seat: Seat, field: Field) -> Option<Raw<'a>> {
        self.found.get(TOP.len() + seat as usize * FIELDS.len() + field as usize)
    }

    /// A business field as a name.
    pub(crate) fn business_name(&self, seat: Seat, field: Field) -> Option<Cow<'a, str>> {
        self.business(seat, field)?.name()
    }

    /// What Genesys published, if that is what the body is; a webhook's own body is not.
    pub(crate) fn published(&self) -> Option<Published<'a>> {
        let object = |seat| self.business(seat, Field::All).filter(|value| value.kind() == Kind::Object);
        let string = |top| self.top(top).filter(|value| value.kind() == Kind::String).and_then(Raw::name);
        if let (Some(topic), Some(detail)) = (string(Top::DetailType), object(Seat::Detail)) {
            return Some(match object(Seat::EventBody) {
                Some(business) => Published { topic, whole: detail, seat: Seat::EventBody, business },
                None => Published { topic, whole: detail, seat: Seat::Detail, business: detail },
            });
        }
        let (name, business) = (string(Top::TopicName)?, object(Seat::Notification)?);
        let topic = topic::template(&name).into();
        Some(Published { topic, whole: self.value, seat: Seat::Notification, business })
    }

    /// The first name that the settings' pointers to event ids lead to.
    pub(crate) fn event_id(&self) -> Option<Cow<'a, str>> {
        (self.reader.event_id..self.reader.conversation).find_map(|at| self.found.get(at)?.name())
    }

    /// The conversation: where the settings say, else where Genesys has it.
    pub(crate) fn conversation(&self) -> Option<Cow<'a, str>> {
        let from_settings =
            (self.reader.conversation..self.reader.topic).find_map(|at| short_name(self.found.get(at)?));
        from_settings.or_else(|| {
            CONVERSATION_SEATS.iter().find_map(|&seat| {
                let by_id = self.business(seat, Field::Conversation).and_then(short_name);
                by_id.or_else(|| short_name(self.business(seat, Field::ConversationObject)?))
            })
        })
    }

    /// The topic: where the settings say, else `detail-type`, else the template of `topicName`, else the event type
    /// that a webhook gives.
    pub(crate) fn topic(&self) -> Option<Cow<'a, str>> {
        let from_settings = (self.reader.topic..self.reader.batch).find_map(|at| short_name(self.found.get(at)?));
        from_settings
            .or_else(|| self.short_string(Top::DetailType))
            .or_else(|| self.short_string(Top::TopicName).map(|name| topic::template(&name).into()))
            .or_else(|| {
                [Top::EventType, Top::Topic, Top::Event, Top::Type].into_iter().find_map(|top| self.short_string(top))
            })
    }

    /// What the settings' pointer to a batch leads to.
    pub(crate) fn batch(&self) -> Option<Raw<'a>> {
        (self.reader.batch..self.reader.end).find_map(|at| self.found.get(at))
    }

    /// `data` at the top.
    pub(crate) fn data(&self) -> Option<Raw<'a>> {
        self.top(Top::Data)
    }

    /// What a Lambda destination wraps: `requestPayload`, unless the body is an event itself.
    pub(crate) fn request_payload(&self) -> Option<Raw<'a>> {
        self.top(Top::RequestPayload).filter(|_| self.top(Top::DetailType).is_none())
    }

    fn top(&self, top: Top) -> Option<Raw<'a>> {
        self.found.get(top as usize)
    }

    fn short_string(&self, top: Top) -> Option<Cow<'a, str>> {
        self.top(top).filter(|value| value.kind() == Kind::String).and_then(short_name)
    }
}

fn short_name(value: Raw<'_>) -> Option<Cow<'_, str>> {
    value.name().filter(|name| name.len() <= MAX_NAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_their_enums() {
        assert_eq!(TOP[Top::DetailType as usize], "/detail-type");
        assert_eq!(TOP[Top::RequestPayload as usize], "/requestPayload");
        assert_eq!(SEATS[Seat::EventBody as usize], "/detail/eventBody");
        assert_eq!(SEATS[Seat::Data as usize], "/data");
        assert_eq!(FIELDS[Field::All as usize], "");
        assert_eq!(FIELDS[Field::EventTime as usize], "/eventTime");
        assert_eq!(FIELDS[Field::Session as usize], "/sessionId");
    }

    #[test]
    fn every_pointer_of_the_tables_is_one() {
        assert_eq!(PLAIN_READER.end, TOP.len() + SEATS.len() * FIELDS.len());
    }
}
