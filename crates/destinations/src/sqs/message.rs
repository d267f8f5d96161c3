//! What a delivery becomes as a message. Pure.

use std::borrow::Cow;

use event::EventId;

use super::options::BYTES_MAX;
use crate::{OutgoingDelivery, SendError};

/// Most characters of a message group's name.
const GROUP_MAX: usize = 128;
/// What a text attribute is called by SQS.
const STRING: &str = "String";

/// A message that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) body: String,
    /// Names and texts; none is empty.
    pub(super) attributes: Vec<(&'static str, String)>,
    /// Of a message to a FIFO queue.
    pub(super) fifo: Option<Fifo>,
}

/// What a FIFO queue wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fifo {
    /// Messages of one group stay in order.
    pub(super) group: String,
    /// A second message with it is dropped within five minutes.
    pub(super) deduplication: String,
}

impl Message {
    /// Makes it.
    ///
    /// # Errors
    /// For good, if it is larger than SQS takes.
    pub(super) fn new(delivery: &OutgoingDelivery, fifo: bool) -> Result<Self, SendError> {
        let event = delivery.event.to_string();
        let body = std::str::from_utf8(&delivery.payload)
            .map_err(|_| SendError::permanent("the payload is no text; let its mapping make JSON"))?;
        let body = escaped(body).into_owned();
        if body.is_empty() {
            return Err(SendError::permanent(
                "the payload is empty, which SQS does not take; let its mapping make JSON",
            ));
        }
        let texts = [
            ("event_id", Some(event.as_str())),
            ("topic", Some(&*delivery.topic)),
            ("source", Some(&*delivery.source)),
            ("conversation", delivery.conversation.as_deref()),
        ];
        let attributes =
            texts.into_iter().filter_map(|(name, text)| Some((name, allowed(text?)))).filter(|one| !one.1.is_empty());
        let fifo = fifo.then(|| Fifo {
            group: delivery.conversation.as_deref().map_or_else(|| event.clone(), group),
            deduplication: event.clone(),
        });
        let message = Self { body, attributes: attributes.collect(), fifo };
        let bytes = message.bytes();
        if bytes > BYTES_MAX {
            return Err(SendError::permanent(format!(
                "the message has {bytes} bytes and SQS takes {BYTES_MAX}; let its mapping leave something out, or send \
                 it to an object store"
            )));
        }
        Ok(message)
    }

    /// Bytes as SQS counts them: the body, and of each attribute name, type and value.
    pub(super) fn bytes(&self) -> usize {
        let attribute = |(name, text): &(&str, String)| name.len() + STRING.len() + text.len();
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }
}

/// The group of a conversation: its own name, or one made of it if SQS does not take that.
fn group(conversation: &str) -> String {
    let fits =
        (1..=GROUP_MAX).contains(&conversation.len()) && conversation.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => conversation.to_owned(),
        false => EventId::from_identity("sqs message group", [conversation.as_bytes()]).to_string(),
    }
}

/// JSON without the two characters that SQS refuses and JSON allows, which can stand in its strings only.
fn escaped(json: &str) -> Cow<'_, str> {
    match json.contains(['\u{fffe}', '\u{ffff}']) {
        true => Cow::Owned(json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")),
        false => Cow::Borrowed(json),
    }
}

/// A text without the characters that SQS refuses.
fn allowed(text: &str) -> String {
    let refused =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if refused(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
