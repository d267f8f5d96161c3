//! The event that says where a transcript is. It goes through the routes like every other, so each destination can have it.
//!
//! Its id is made of conversation, communication, recording and content. So the same transcript published again, after a
//! crash or by another event of its conversation, is a duplicate; one that has changed is another event.

use std::sync::Arc;

use event::{EventId, NewEvent, Timestamp};
use queue::{Content, Publication};
use serde::Serialize;

use crate::record::Record;

/// The source that update events come in by.
pub const SOURCE: &str = "transcripts";
/// Their topic.
pub const TOPIC: &str = "transcript.stored";
/// What has proved them.
const PROOF: &str = "aftercall itself";

/// An update event, as it is written. The names are those of Genesys' events where those have one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event_type: &'a str,
    timestamp: String,
    conversation_id: &'a str,
    session_id: &'a str,
    communication_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    transcript_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    bytes: u64,
    sha256: &'a str,
}

/// The publication of a transcript's update event.
pub(crate) fn publication(record: &Record, now: Timestamp) -> Result<Publication, serde_json::Error> {
    let body = Body {
        event_type: TOPIC,
        timestamp: written(record.stored_at),
        conversation_id: &record.conversation_id,
        session_id: &record.communication_id,
        communication_id: &record.communication_id,
        recording_id: record.recording_id.as_deref(),
        media_type: record.media_type.as_deref(),
        transcript_uri: &record.transcript_uri,
        content_type: record.content_type.as_deref(),
        bytes: record.bytes,
        sha256: &record.sha256,
    };
    let event = NewEvent {
        id: id(record),
        topic: Arc::from(TOPIC),
        conversation: Some(Arc::from(record.conversation_id.as_str())),
        body: serde_json::to_vec(&body)?.into(),
    };
    Ok(Publication {
        source: Arc::from(SOURCE),
        received: now,
        proof: Arc::from(PROOF),
        events: vec![event],
        // The identity has the content in it; what else differs is when it was fetched.
        content: Content::Plain(|_| [0; 16]),
    })
}

fn id(record: &Record) -> EventId {
    let parts = [
        record.conversation_id.as_bytes(),
        record.communication_id.as_bytes(),
        record.recording_id.as_deref().unwrap_or_default().as_bytes(),
        record.sha256.as_bytes(),
    ];
    EventId::from_identity("transcript", parts)
}

fn written(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use event::{Event, Outcome};

    use super::*;

    fn record() -> Record {
        let mut record = Record::new("c-1", "m-1", Some("r-1"), Timestamp::from_millis(1_700_000_000_123));
        (record.bytes, record.sha256, record.media_type) = (5, "ab".into(), Some("voice".into()));
        record.transcript_uri = "s3://b/transcripts/c-1/m-1/r-1.json".into();
        record
    }

    fn published(record: &Record) -> NewEvent {
        publication(record, Timestamp::from_millis(9)).unwrap().events.remove(0)
    }

    #[test]
    fn its_outcome_says_where_the_transcript_is() {
        let new = published(&record());
        let event = Event {
            id: new.id,
            source: Arc::from(SOURCE),
            topic: new.topic,
            conversation: new.conversation,
            received: Timestamp::from_millis(9),
            conflict_of: None,
            body: new.body,
        };
        let outcome = Outcome::of(&event);
        assert_eq!(outcome.transcript_uri.as_deref(), Some("s3://b/transcripts/c-1/m-1/r-1.json"));
        assert_eq!((outcome.conversation_id, outcome.session_id.as_deref()), (Some("c-1"), Some("m-1")));
        assert_eq!((outcome.media_type.as_deref(), outcome.topic), (Some("VOICE"), Some(TOPIC)));
        assert_eq!(outcome.occurred_at, Some(Timestamp::from_millis(1_700_000_000_123)));
        assert!(outcome.unrecognised.is_empty(), "{:?}", outcome.unrecognised);
    }

    #[test]
    fn the_same_transcript_is_the_same_event_and_a_changed_one_another() {
        let (one, mut later, mut changed, mut other) = (record(), record(), record(), record());
        later.stored_at = Timestamp::from_millis(1_800_000_000_000);
        changed.sha256 = "cd".into();
        other.recording_id = None;
        let id = |record: &Record| published(record).id;
        assert_eq!(id(&one), id(&later));
        assert!(id(&one) != id(&changed) && id(&one) != id(&other));
    }
}
