//! The items of a batch, while they are being collected.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use super::conversations::Conversations;
use super::{Body, NewEvent, SourceKind, Splitter};
use crate::fields::Fields;
use crate::json::{Kind, Raw, Scanner};
use crate::{BodyError, EventId, content, identity};

/// Whether an item may be wrapped in `requestPayload`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    None,
    Payload,
}

/// The events of a body, so far as their items say themselves.
pub(super) struct Items<'a> {
    splitter: &'a Splitter,
    body: &'a Body<'a>,
    /// What is noted of events that are only checked; without it they are made.
    checked: Option<&'a mut Conversations>,
    collected: Collected,
    /// Items so far, also if they are only checked.
    count: usize,
}

/// What has been collected of a batch, so far as its items say themselves.
pub(super) struct Collected {
    items: Vec<Item>,
    /// Events of the same batch that came before.
    first: usize,
}

struct Item {
    id: Option<EventId>,
    topic: Option<Arc<str>>,
    conversation: Option<Arc<str>>,
    body: Bytes,
}

/// What items take over from the batch that they are in.
pub(super) struct Parent<'a> {
    stated: Option<EventId>,
    unstated: Box<dyn Fn() -> EventId + 'a>,
    topic: Option<Arc<str>>,
    conversation: Option<Arc<str>>,
}

impl<'a> Parent<'a> {
    /// A batch with something around it.
    pub(super) fn object(fields: &'a Fields<'_, '_>) -> Self {
        Self {
            stated: identity::stated(fields),
            unstated: Box::new(|| identity::from_content(content::of(fields))),
            topic: fields.topic().map(Arc::from),
            conversation: fields.conversation().map(Arc::from),
        }
    }

    /// A batch with nothing around it.
    pub(super) fn array(text: &'a str) -> Self {
        let unstated = Box::new(|| identity::from_content(content::whole(Raw::new(text.trim()))));
        Self { stated: None, unstated, topic: None, conversation: None }
    }

    /// A large batch, of which only this was kept.
    pub(super) fn of_large(
        stated: Option<EventId>,
        unstated: impl Fn() -> EventId + 'a,
        topic: Option<Arc<str>>,
        conversation: Option<Arc<str>>,
    ) -> Self {
        Self { stated, unstated: Box::new(unstated), topic, conversation }
    }

    fn id(&self) -> EventId {
        self.stated.unwrap_or_else(&self.unstated)
    }
}

impl<'a> Items<'a> {
    pub(super) fn new(splitter: &'a Splitter, body: &'a Body<'a>) -> Self {
        Self::going_on(splitter, body, 0, None)
    }

    /// With so many events of the same batch before. With `checked` they are not made.
    pub(super) fn going_on(
        splitter: &'a Splitter,
        body: &'a Body<'a>,
        first: usize,
        checked: Option<&'a mut Conversations>,
    ) -> Self {
        Self { splitter, body, checked, collected: Collected { items: Vec::new(), first }, count: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn collected(self) -> Collected {
        self.collected
    }

    /// The events, with what they take over from `parent`.
    pub(super) fn of_batch(self, parent: &Parent<'_>) -> Vec<NewEvent> {
        self.collected.of_batch(parent)
    }

    /// Takes the scanner's next value, which is an array.
    pub(super) fn array(&mut self, scanner: &mut Scanner<'_>, wrapping: Wrapping) -> Result<(), BodyError> {
        let mut more = scanner.enter_array();
        let mut index = 0;
        while more {
            self.has_room()?;
            let fields = self.splitter.reader.take(scanner).map_err(|fault| self.body.error(fault))?;
            self.item(index, &fields, wrapping)?;
            more = scanner.next_element().map_err(|fault| self.body.error(fault))?;
            index += 1;
        }
        Ok(())
    }

    /// An item that was taken from elsewhere.
    pub(super) fn in_turn(
        &mut self,
        index: usize,
        fields: &Fields<'_, '_>,
        wrapping: Wrapping,
    ) -> Result<(), BodyError> {
        self.has_room()?;
        self.item(index, fields, wrapping)
    }

    fn has_room(&self) -> Result<(), BodyError> {
        let max = self.splitter.max_events;
        if self.collected.first + self.count < max { Ok(()) } else { Err(BodyError::TooManyEvents { max }) }
    }

    fn item(&mut self, index: usize, fields: &Fields<'_, '_>, wrapping: Wrapping) -> Result<(), BodyError> {
        let found = fields.value().kind();
        if found != Kind::Object {
            return Err(BodyError::ItemNotAnEvent { index, found });
        }
        let payload = fields.request_payload().filter(|_| wrapping == Wrapping::Payload);
        if let Some(payload) = payload {
            return self.payload(payload);
        }
        self.count += 1;
        if let Some(checked) = &mut self.checked {
            checked.add(fields.conversation().as_deref());
            return Ok(());
        }
        let id = match self.splitter.kind {
            SourceKind::EventBridge => Some(identity::alone(fields)),
            SourceKind::Webhook => identity::in_any_batch(fields),
        };
        let slice = self.body.bytes.slice_ref(fields.value().as_str().as_bytes());
        self.push(fields, id, slice);
        Ok(())
    }

    /// What `requestPayload` holds. Inside it, nothing is unwrapped again.
    pub(super) fn payload(&mut self, payload: Raw<'_>) -> Result<(), BodyError> {
        match payload.kind() {
            Kind::Array => self.array(&mut Scanner::new(payload.as_str()), Wrapping::None),
            Kind::Object => {
                let fields = self.splitter.reader.read(payload.as_str()).map_err(|fault| self.body.error(fault))?;
                self.item(0, &fields, Wrapping::None)
            }
            found => Err(BodyError::PayloadNotAnEvent { found }),
        }
    }

    fn push(&mut self, fields: &Fields<'_, '_>, id: Option<EventId>, body: Bytes) {
        let last = self.collected.items.last();
        let topic = fields.topic().map(|topic| shared(topic, last.and_then(|item| item.topic.as_ref())));
        let conversation =
            fields.conversation().map(|name| shared(name, last.and_then(|item| item.conversation.as_ref())));
        self.collected.items.push(Item { id, topic, conversation, body });
    }
}

impl Collected {
    /// The events, with what they take over from `parent`.
    pub(super) fn of_batch(self, parent: &Parent<'_>) -> Vec<NewEvent> {
        let batch = OnceCell::new();
        let event = |(index, item): (usize, Item)| {
            // An item that repeats the id of its batch has none of its own.
            let own = item.id.filter(|&id| Some(id) != parent.stated);
            let by_place = || identity::by_place(*batch.get_or_init(|| parent.id()), index);
            NewEvent {
                id: own.unwrap_or_else(by_place),
                topic: item.topic.or_else(|| parent.topic.clone()).unwrap_or_default(),
                conversation: item.conversation.or_else(|| parent.conversation.clone()),
                body: item.body,
            }
        };
        (self.first..).zip(self.items).map(event).collect()
    }
}

/// `name`, sharing the text of the item before where it is the same, as it mostly is.
fn shared(name: Cow<'_, str>, before: Option<&Arc<str>>) -> Arc<str> {
    match before {
        Some(before) if **before == *name => Arc::clone(before),
        _ => Arc::from(name),
    }
}
