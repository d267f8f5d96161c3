//! The key of an object: a template with values of the delivery in it.

use object_store::path::Path;
use storage::key;

use crate::{OpenError, OutgoingDelivery, SendError};

/// A template that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
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

    /// What it is made of.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
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
                Piece::EventId => key::push(&mut key, event),
                Piece::ConversationId => key::push(&mut key, conversation.unwrap_or_default()),
                Piece::Source => key::push(&mut key, source),
                Piece::Topic => key::push(&mut key, topic),
            }
        }
        key::path(&key, "folder/{event_id}.json")
    }
}

/// How a value stands in a key.
pub(super) fn encoded(value: &str) -> String {
    let mut key = String::new();
    key::push(&mut key, value);
    key
}
