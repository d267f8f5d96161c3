//! Texts in which placeholders stand for values of a delivery. Pure.

use crate::OutgoingDelivery;
use crate::http::pointer::Pointer;

/// A text that was understood.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    EventId,
    Conversation,
    Source,
    Topic,
    Pointer(Pointer),
}

impl Template {
    /// Understands a text, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("has `{text}`, in which a `{{` has no `}}`"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name {
                "event_id" => Piece::EventId,
                "conversation" => Piece::Conversation,
                "source" => Piece::Source,
                "topic" => Piece::Topic,
                pointer if pointer.starts_with('/') => Piece::Pointer(
                    Pointer::parse(pointer).map_err(|problem| format!("has `{{{pointer}}}`: {problem}"))?,
                ),
                other => {
                    let known = "{event_id}, {conversation}, {source}, {topic} and JSON pointers like {/data/id}";
                    return Err(format!("has `{{{other}}}`, which is not known; there are {known}"));
                }
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The text of a delivery; of a conversation that there is not, nothing. Fails if the payload lacks a value.
    pub(super) fn fill(&self, delivery: &OutgoingDelivery) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::EventId => filled.push_str(&delivery.event.to_string()),
                Piece::Conversation => filled.push_str(delivery.conversation.as_deref().unwrap_or_default()),
                Piece::Source => filled.push_str(&delivery.source),
                Piece::Topic => filled.push_str(&delivery.topic),
                Piece::Pointer(pointer) => filled.push_str(&pointer.scalar(&delivery.payload)?),
            }
        }
        Ok(filled)
    }
}
