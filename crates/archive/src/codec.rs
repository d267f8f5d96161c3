//! An event as a line of NDJSON: everything that is needed to have it back, byte for byte.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use serde::{Deserialize, Serialize};

/// The line. Exactly one of the bodies is there: text is JSON's own, anything else base64.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    seq: u64,
    id: String,
    source: std::borrow::Cow<'a, str>,
    topic: std::borrow::Cow<'a, str>,
    conversation: Option<std::borrow::Cow<'a, str>>,
    received: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflict_of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Appends the line of an event.
pub(crate) fn push_line(text: &mut Vec<u8>, seq: u64, event: &Event) {
    let as_text = std::str::from_utf8(&event.body).ok();
    let line = Line {
        seq,
        id: event.id.to_string(),
        source: (&*event.source).into(),
        topic: (&*event.topic).into(),
        conversation: event.conversation.as_deref().map(Into::into),
        received: event.received.as_millis(),
        conflict_of: event.conflict_of.map(|id| id.to_string()),
        body: as_text.map(Into::into),
        body_base64: as_text.is_none().then(|| STANDARD.encode(&event.body)),
    };
    // A line is made of texts and numbers only, which JSON always can hold.
    let _ = serde_json::to_writer(&mut *text, &line);
    text.push(b'\n');
}

/// The event of a line, and its place in the log; or what is wrong with it.
pub(crate) fn read_line(line: &[u8]) -> Result<(u64, Event), String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let id = |text: &str| text.parse::<EventId>().map_err(|error| error.to_string());
    let body = match (line.body, line.body_base64) {
        (Some(text), None) => Bytes::from(text.into_owned().into_bytes()),
        (None, Some(text)) => Bytes::from(STANDARD.decode(text).map_err(|error| error.to_string())?),
        _ => return Err("it has not exactly one body".to_owned()),
    };
    let event = Event {
        id: id(&line.id)?,
        source: Arc::from(line.source),
        topic: Arc::from(line.topic),
        conversation: line.conversation.map(Arc::from),
        received: Timestamp::from_millis(line.received),
        conflict_of: line.conflict_of.as_deref().map(id).transpose()?,
        body,
    };
    Ok((line.seq, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_byte_for_byte() {
        let bodies: [&[u8]; 4] =
            [b"{\"a\": 1.0, \"b\":\t\"\\u00e4\"}\r\n", "\u{feff}ä\u{0}\u{7f}".as_bytes(), b"\xff\x00\xfe", b""];
        for (number, body) in bodies.into_iter().enumerate() {
            let event = Event {
                id: EventId::from_identity("test", [body]),
                source: Arc::from("genesys \"1\""),
                topic: Arc::from(""),
                conversation: (number % 2 == 0).then(|| Arc::from("c\n1")),
                received: Timestamp::from_millis(-7),
                conflict_of: (number == 1).then(|| EventId::from_identity("other", [body])),
                body: Bytes::copy_from_slice(body),
            };
            let mut text = Vec::new();
            push_line(&mut text, u64::MAX, &event);
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(read_line(&text).unwrap(), (u64::MAX, event));
        }
        assert!(read_line(b"{}").is_err() && read_line(b"").is_err());
    }
}
