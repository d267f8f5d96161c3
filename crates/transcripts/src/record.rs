//! What is known of a transcript that was stored: a small object beside it.

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// What the name of a record has more than that of its object.
pub(crate) const RECORD: &str = ".record";
/// Version of what is in it.
const VERSION: u32 = 1;

/// A transcript that was stored, and told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TranscriptRecord))]
pub struct Record {
    /// Version of the record.
    version: u32,
    /// The conversation.
    pub conversation_id: String,
    /// The communication; events call it the session.
    pub communication_id: String,
    /// The recording, if the platform names it.
    pub recording_id: Option<String>,
    /// `voice`, `chat`, …, if the platform says so.
    pub media_type: Option<String>,
    /// The media type of the text, such as `application/json`.
    pub content_type: Option<String>,
    /// Where it is.
    pub transcript_uri: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of what was stored, in hexadecimal digits.
    pub sha256: String,
    /// When the platform was asked for it.
    pub stored_at: Timestamp,
}

/// A record, and whether its object is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TranscriptFound))]
pub struct Found {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// Whether an object of that size is there.
    pub present: bool,
}

impl Record {
    pub(crate) fn new(conversation: &str, communication: &str, recording: Option<&str>, stored_at: Timestamp) -> Self {
        Self {
            version: VERSION,
            conversation_id: conversation.to_owned(),
            communication_id: communication.to_owned(),
            recording_id: recording.map(str::to_owned),
            media_type: None,
            content_type: None,
            transcript_uri: String::new(),
            bytes: 0,
            sha256: String::new(),
            stored_at,
        }
    }

    /// Reads it back. One that cannot be read is as none: its transcript is fetched again.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("it has format {}, and this program reads {VERSION}", record.version));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1 writes it; it must be readable for ever.
    const FIXTURE: &str = r#"{"version":1,"conversation_id":"c-1","communication_id":"m-1","recording_id":null,
        "media_type":"voice","content_type":"application/json","transcript_uri":"s3://b/transcripts/c-1/m-1/~none.json",
        "bytes":5,"sha256":"ab","stored_at":1700000000000}"#;

    #[test]
    fn records_of_before_are_read_and_those_of_later_are_not() {
        let record = Record::read(FIXTURE.as_bytes()).unwrap();
        assert_eq!((record.bytes, record.stored_at.as_millis()), (5, 1_700_000_000_000));
        let again = Record::read(&serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(again, record);
        let error = Record::read(FIXTURE.replace("\"version\":1", "\"version\":2").as_bytes()).unwrap_err();
        assert!(error.contains("format 2"), "{error}");
        assert!(Record::read(b"{").is_err());
    }
}
