//! What a delivery becomes as an entry of a request. Pure.

use aws_sdk_eventbridge::primitives::{DateTime, DateTimeFormat};

use super::options::{BYTES_MAX, DETAIL_TYPE_MAX, Form, SOURCE_MAX, TIME_BYTES};
use crate::{OutgoingDelivery, SendError};

/// The detail type of an event whose template came out empty: EventBridge wants one.
const NO_DETAIL_TYPE: &str = "event";

/// An entry that fits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) source: String,
    pub(super) detail_type: String,
    pub(super) detail: String,
    pub(super) time: Option<DateTime>,
    pub(super) resources: Vec<String>,
}

impl Entry {
    /// Makes it.
    ///
    /// # Errors
    /// For good: what of it EventBridge does not take.
    pub(super) fn new(delivery: &OutgoingDelivery, form: &Form) -> Result<Self, SendError> {
        let refuse = |problem: String| SendError::permanent(format!("it cannot be put on a bus: {problem}"));
        let detail = std::str::from_utf8(&delivery.payload).map_err(|_| refuse("the payload is no text".to_owned()))?;
        let is_object = detail.trim_ascii_start().starts_with('{');
        if !is_object {
            return Err(refuse("the payload is no JSON object; let its mapping make one".to_owned()));
        }
        let source = form.source.fill(delivery).map_err(|problem| refuse(format!("its `event_source`: {problem}")))?;
        if source.is_empty() || source.chars().count() > SOURCE_MAX || source.starts_with("aws.") {
            return Err(refuse(format!(
                "its `event_source` is `{}`; it has 1 to {SOURCE_MAX} characters and does not begin with `aws.`",
                event::shortened(&source, SOURCE_MAX)
            )));
        }
        let made =
            form.detail_type.fill(delivery).map_err(|problem| refuse(format!("its `detail_type`: {problem}")))?;
        let detail_type = if made.is_empty() { NO_DETAIL_TYPE.to_owned() } else { made };
        if detail_type.chars().count() > DETAIL_TYPE_MAX {
            return Err(refuse(format!(
                "its `detail_type` has more than {DETAIL_TYPE_MAX} characters; use a shorter one"
            )));
        }
        let time = match &form.time {
            None => None,
            Some(pointer) => {
                let text =
                    pointer.scalar(&delivery.payload).map_err(|problem| refuse(format!("its `time`: {problem}")))?;
                let time = DateTime::from_str(&text, DateTimeFormat::DateTimeWithOffset).map_err(|_| {
                    refuse(format!("its `time` is `{}`; it must be as in RFC 3339", event::shortened(&text, 64)))
                })?;
                Some(time)
            }
        };
        let resources = form.resources.iter().map(|one| one.fill(delivery)).collect::<Result<Vec<_>, _>>();
        let resources = resources.map_err(|problem| refuse(format!("its `resources`: {problem}")))?;
        let entry = Self { source, detail_type, detail: detail.to_owned(), time, resources };
        let bytes = entry.bytes();
        if bytes > BYTES_MAX {
            return Err(refuse(format!(
                "it has {bytes} bytes and EventBridge takes {BYTES_MAX}; let its mapping leave something out, or send it \
                 to an object store"
            )));
        }
        Ok(entry)
    }

    /// Bytes as EventBridge counts them: 14 for a time, and the UTF-8 of source, detail type, detail and resources.
    pub(super) fn bytes(&self) -> usize {
        let time = self.time.map_or(0, |_| TIME_BYTES);
        let resources: usize = self.resources.iter().map(String::len).sum();
        time + self.source.len() + self.detail_type.len() + self.detail.len() + resources
    }
}
