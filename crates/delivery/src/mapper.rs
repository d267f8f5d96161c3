//! What makes a destination's payload from an event.

use bytes::Bytes;
use queue::Stored;

/// Makes payloads. Pure and bounded in time: it runs on the task that delivers, between two sends.
pub trait Mapper: Send + Sync {
    /// The payload for an event that `route` chose for this destination; `None` if there is nothing to deliver.
    ///
    /// An error is permanent: the same event and mapping always give the same result. A panic is caught.
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError>;
}

impl<F> Mapper for F
where
    F: Fn(&Stored, u16) -> Result<Option<Bytes>, MapError> + Send + Sync,
{
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError> {
        self(stored, route)
    }
}

/// The payload cannot be made. The text says why, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MapError(pub String);
