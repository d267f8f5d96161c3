//! What one queue takes over from another when everything moves: events with what is left to do with them.
//!
//! An event is taken over whole or not at all, in one commit: its place, its identity, the deliveries that are still to be
//! made, and the dead letters of those that failed. It is known by a name ([`Moved::known_by`]), so one that was taken over
//! before is passed over. So a move that is broken off is begun anew and goes on where it was.

use std::sync::Arc;

use event::{Event, EventId, Timestamp};

use crate::{Attempts, DeadLetter, LogPage, QueueError, Seq, Why};

/// A delivery that is still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where to.
    pub destination: Arc<str>,
    /// What was tried.
    pub attempts: Attempts,
    /// When it may be tried again; may be long ago.
    pub due: Timestamp,
}

/// A page of the log, with the deliveries that are left of each of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftPage {
    /// The events.
    pub page: LogPage,
    /// As many as there are events in the page.
    pub left: Vec<Vec<Left>>,
}

/// An event that stands in the log of the other queue, and what is left to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The name by which it is known that it was taken over: its id, which is its identity; or, if it stands there again or
    /// is there for its dead letters only, a name of its own.
    pub known_by: EventId,
    /// When that name was made known first; the dedupe window begins with it.
    pub known_since: Timestamp,
    /// The event.
    pub event: Event,
    /// Set if it stands there again, for the one destination that it is left for or that it has died at.
    pub again: Option<MovedAgain>,
    /// To these destinations and to no others it is to be delivered. Empty if it is settled.
    pub left: Vec<Left>,
    /// Its dead letters, with bodies and edited copies.
    pub dead: Vec<DeadLetter>,
    /// Where it comes from, for the audit trail.
    pub proof: Arc<str>,
}

/// How an event stands in the log again that is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedAgain {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub why: Why,
    /// Its bytes are an edited copy.
    pub edited: bool,
    /// Where it stood first, in the queue that takes it over; nothing if it is not there.
    pub first: Option<Seq>,
}

/// What came of taking over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// So many of the first are there now, those that were before included.
    pub looked_at: usize,
    /// So many of them are new.
    pub new: u64,
    /// The last place of the log now.
    pub last: Seq,
}

/// Of a queue that is no store of its own.
pub(crate) fn cannot() -> QueueError {
    QueueError::Invalid("this queue is moved to no other one".to_owned())
}

impl Moved {
    /// Events that are taken over in one call at most.
    pub const EVENTS_MAX: usize = 500;

    /// Refuses what the queue could not keep.
    ///
    /// # Errors
    /// [`QueueError::Invalid`] for a destination that `is_known` does not know, and for an event that stands there again and
    /// is not of one destination.
    pub fn check(&self, is_known: impl Fn(&str) -> bool) -> Result<(), QueueError> {
        let left = self.left.iter().map(|left| &left.destination);
        let dead = self.dead.iter().filter_map(|letter| letter.destination.as_ref());
        if let Some(unknown) = left.chain(dead).find(|name| !is_known(name)) {
            return Err(QueueError::Invalid(format!(
                "event {} is for the destination `{unknown}`, which the configuration does not have: add it, or discard its \
                 dead letters",
                self.event.id
            )));
        }
        if self.again.is_some() && self.left.len() + self.dead.len() != 1 {
            return Err(QueueError::Invalid(format!(
                "event {} stands there again, and not for one destination",
                self.event.id
            )));
        }
        Ok(())
    }

    /// The destination of an event that stands there again.
    pub fn only(&self) -> Option<&Arc<str>> {
        let dead = self.dead.first().and_then(|letter| letter.destination.as_ref());
        self.again.and(self.left.first().map(|left| &left.destination).or(dead))
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let letter = |letter: &DeadLetter| {
            let edit = letter.edit.as_ref().and_then(|edit| edit.body.as_ref());
            letter.body.as_ref().map_or(0, |body| body.len()) + edit.map_or(0, |body| body.len()) + 1_000
        };
        self.event.body.len() + 300 + self.dead.iter().map(letter).sum::<usize>()
    }
}
