//! What makes a destination's payload from an event.

use std::sync::Arc;

use bytes::Bytes;
use queue::Stored;

/// Makes payloads. Pure and bounded in time: it runs on the task that delivers, between two sends.
pub trait Mapper: Send + Sync {
    /// The payload for an event that `route` chose for this destination; `None` if there is nothing to deliver.
    ///
    /// An error is permanent: the same event and mapping always give the same result. A panic is caught.
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError>;

    /// Which mapping this route has: the hash of its text.
    fn version(&self, _route: u16) -> Option<Arc<str>> {
        None
    }

    /// Whether what this route gives is the event's outcome, as it is.
    fn is_outcome(&self, _route: u16) -> bool {
        false
    }

    /// The outcome of an event was delivered without [`Mapper::map`], and something in it was not recognised.
    fn unrecognised(&self, _stored: &Stored) {}
}

impl<F> Mapper for F
where
    F: Fn(&Stored, u16) -> Result<Option<Bytes>, MapError> + Send + Sync,
{
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError> {
        self(stored, route)
    }
}

/// The payload cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MapError {
    /// Why, in one line.
    pub message: String,
    /// What the mapping read last of the event, as a JSON pointer, as far as that is known.
    pub path: Option<String>,
}

impl MapError {
    /// One whose place is not known.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), path: None }
    }
}
