//! What can be set on an `eventbridge` destination, and the limits of EventBridge.

use std::time::Duration;

use outbound::aws::Access;

use super::template::Template;
use crate::OpenError;
use crate::http::pointer::Pointer;

/// Entries of one request; EventBridge takes no more.
pub(super) const ENTRIES_MAX: usize = 10;
/// Bytes of all entries of a request, and so of one.
pub(super) const BYTES_MAX: usize = 1024 * 1024;
/// Bytes that the time of an entry counts.
pub(super) const TIME_BYTES: usize = 14;
/// Characters of a source.
pub(super) const SOURCE_MAX: usize = 256;
/// Characters of a detail type.
pub(super) const DETAIL_TYPE_MAX: usize = 128;
/// Resources of an entry that can be configured. Each costs room in every event.
const RESOURCES_MAX: usize = 20;
/// Requests under way at once.
pub(super) const LANES: usize = 4;
/// Default time for one attempt; delivery's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be set. Templates may have {event_id}, {conversation}, {source}, {topic} and JSON pointers into the payload.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bus: its name or its ARN.
    pub bus: String,
    /// The template of an event's source.
    pub source: String,
    /// The template of its detail type; what comes out empty is `event`.
    pub detail_type: String,
    /// A JSON pointer to its time in the payload, as RFC 3339; without one EventBridge notes when it came.
    pub time: Option<String>,
    /// The templates of its resources.
    pub resources: Vec<String>,
    /// Where the bus is and who puts.
    pub access: Access,
    /// How long an attempt may take.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bus: "default".to_owned(),
            source: "aftercall".to_owned(),
            detail_type: "{topic}".to_owned(),
            time: None,
            resources: vec!["aftercall:event:{event_id}".to_owned()],
            access: Access::default(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// The same, understood.
pub(super) struct Form {
    pub(super) source: Template,
    pub(super) detail_type: Template,
    pub(super) time: Option<Pointer>,
    pub(super) resources: Vec<Template>,
}

impl Options {
    pub(super) fn form(&self) -> Result<Form, OpenError> {
        if self.bus.is_empty() {
            return Err(OpenError::option(
                "bus",
                "is empty; write the bus's name or ARN, or leave it out for the default",
            ));
        }
        if self.source.starts_with("aws.") {
            return Err(OpenError::option("event_source", "begins with `aws.`, which only AWS may use; write another"));
        }
        if self.source.is_empty() {
            return Err(OpenError::option("event_source", "is empty; write who sends, like \"aftercall\""));
        }
        if self.resources.len() > RESOURCES_MAX {
            return Err(OpenError::option("resources", format!("are more than {RESOURCES_MAX}; leave some out")));
        }
        let template = |key, text: &str| Template::parse(text).map_err(|problem| OpenError::option(key, problem));
        let pointer = |text: &String| Pointer::parse(text).map_err(|problem| OpenError::option("time", problem));
        Ok(Form {
            source: template("event_source", &self.source)?,
            detail_type: template("detail_type", &self.detail_type)?,
            time: self.time.as_ref().map(pointer).transpose()?,
            resources: self.resources.iter().map(|text| template("resources", text)).collect::<Result<_, _>>()?,
        })
    }
}
