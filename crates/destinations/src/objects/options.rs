//! What can be set on an `objects` destination.

use std::time::Duration;

use storage::Location;

/// Default key: a conversation's outcomes are in a folder of its own.
pub const DEFAULT_KEY: &str = "outcomes/{conversation_id}/{event_id}.json";
/// Default time for one attempt; delivery's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the objects go.
    pub location: Location,
    /// The template of an object's key.
    pub key: String,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Options {
    /// The defaults, for a place.
    pub fn new(location: Location) -> Self {
        Self { location, key: DEFAULT_KEY.to_owned(), timeout: DEFAULT_TIMEOUT }
    }
}
