//! Destinations that take events, many at once, and make their outcomes themselves: what is delivered of each event is its
//! outcome, unchanged. Without it each would be written as JSON, handed over by itself, and read again.

use event::Event;

use crate::{BoxFuture, SendError};

/// Takes outcomes.
pub trait TakesOutcomes: Send + Sync {
    /// Makes one attempt for each of the events; what became of each, in their order. As with
    /// [`crate::Destination::send`], `Ok(Taken)` means that the outcome was taken over for good.
    fn take(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Result<Took, SendError>>>;
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// Its outcome is taken over.
    Taken {
        /// Something in the outcome was not recognised.
        unrecognised: bool,
    },
    /// Its outcome could not be made here. It is to be made by whoever has the event, and sent by itself.
    Unmade,
}
