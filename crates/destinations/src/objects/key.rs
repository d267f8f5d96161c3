//! The key of an object: a template with values of the delivery in it.
//!
//! A value is one part of a key or a piece of it, whatever is in it: all but letters, digits, `-`, `_` and `.` is
//! percent-encoded, and so are the dots of a value of nothing but dots.

use std::fmt::Write as _;

use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{OpenError, OutgoingDelivery, SendError};

/// What is encoded in a value.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// What stands for a conversation that there is not, and for a topic that is empty. No value becomes it, since `~` is
/// encoded.
const NONE: &str = "~none";
/// Most bytes of a part of a key: file systems take no more.
const MAX_PART_BYTES: usize = 255;
/// Most bytes of a key: S3 takes no more.
const MAX_KEY_BYTES: usize = 1_024;

/// A template that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    EventId,
    ConversationId,
    Source,
    Topic,
}

impl Template {
    /// Understands a template.
    pub(super) fn parse(text: &str) -> Result<Self, OpenError> {
        let refuse = |problem: String| OpenError::option("object", problem);
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| refuse(format!("is `{text}`, in which a `{{` has no `}}`")))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name {
                "event_id" => Piece::EventId,
                "conversation_id" => Piece::ConversationId,
                "source" => Piece::Source,
                "topic" => Piece::Topic,
                other => {
                    let known = "{event_id}, {conversation_id}, {source} and {topic}";
                    return Err(refuse(format!("has `{{{other}}}`, which is not known; there are {known}")));
                }
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self(pieces);
        if !template.0.contains(&Piece::EventId) {
            return Err(refuse("has no {event_id}, so that events would share an object; add it".to_owned()));
        }
        // A value is never empty and never `.` or `..`, so what holds for these holds for all.
        template.fill("e", Some("c"), "s", "t").map_err(|problem| refuse(format!("is `{text}`: {problem}")))?;
        Ok(template)
    }

    /// The key of a delivery.
    pub(super) fn key(&self, delivery: &OutgoingDelivery) -> Result<Path, SendError> {
        let event = delivery.event.to_string();
        self.fill(&event, delivery.conversation.as_deref(), &delivery.source, &delivery.topic)
            .map_err(|problem| SendError::permanent(format!("its object cannot have a key: {problem}")))
    }

    fn fill(&self, event: &str, conversation: Option<&str>, source: &str, topic: &str) -> Result<Path, String> {
        let mut key = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::EventId => push(&mut key, event),
                Piece::ConversationId => push(&mut key, conversation.unwrap_or_default()),
                Piece::Source => push(&mut key, source),
                Piece::Topic => push(&mut key, topic),
            }
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(format!("it is longer than {MAX_KEY_BYTES} bytes; use a shorter template"));
        }
        if key.split('/').any(|part| part.len() > MAX_PART_BYTES) {
            return Err(format!("a part of it is longer than {MAX_PART_BYTES} bytes; leave that value out"));
        }
        if key.starts_with('/') || key.ends_with('/') {
            return Err("it begins or ends with a slash; take that out".to_owned());
        }
        Path::parse(&key).map_err(|error| format!("{error}; write folders and a name, like folder/{{event_id}}.json"))
    }
}

fn push(key: &mut String, value: &str) {
    if value.is_empty() {
        key.push_str(NONE);
    } else if value.bytes().all(|byte| byte == b'.') {
        key.push_str(&"%2E".repeat(value.len()));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(key, "{}", utf8_percent_encode(value, ENCODED));
    }
}
