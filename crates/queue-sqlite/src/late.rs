//! What is written late.
//!
//! A commit holds the events and the trail's block about them. Their identities, the list of those that no route has
//! matched, and the counters say nothing that these two do not say, and each of the three costs a commit a page of its own.
//! So they are written once for many events ([`crate::options::LATE_EVENTS`]), before anything else is done than to publish
//! and to settle, and when the writer has nothing to do. The row `state` says up to which event they are written; what is
//! missing behind it is worked out at a start.

use rusqlite::Connection;

use crate::failure::Failed;
use crate::log::{self, place};
use crate::options::LATE_EVENTS;
use crate::trail;

/// The events that no route has matched and whose places are not written yet, and how far everything is written.
#[derive(Debug, Default)]
pub(crate) struct Late {
    unmatched: Vec<i64>,
    /// How many of them are of commits before this transaction.
    committed: usize,
    /// How many of them this transaction has written.
    written: usize,
    /// Up to here everything is written, as of the last commit.
    through: u64,
    /// The same, when this transaction commits.
    reached: u64,
}

impl Late {
    /// Works out what a crash has left unwritten behind this place.
    pub(crate) fn load(connection: &Connection, through: u64, last: u64) -> Result<Self, Failed> {
        let mut unmatched = Vec::new();
        if last > through {
            let noted = log::last_unmatched(connection)?;
            unmatched.extend(trail::unmatched_behind(connection, through.max(noted))?.into_iter().map(place));
            unmatched.sort_unstable();
        }
        Ok(Self { committed: unmatched.len(), unmatched, written: 0, through, reached: through })
    }

    /// No route has matched the event at this place.
    pub(crate) fn unmatched(&mut self, seq: u64) {
        self.unmatched.push(place(seq));
    }

    /// Whether there is something to write when the log ends there.
    pub(crate) fn is_behind(&self, last: u64) -> bool {
        last > self.reached
    }

    /// Whether it is time to.
    pub(crate) fn is_due(&self, last: u64) -> bool {
        last.saturating_sub(self.reached) >= LATE_EVENTS
    }

    /// Writes the places, up to the end of the log.
    pub(crate) fn write(&mut self, connection: &Connection, last: u64) -> Result<(), Failed> {
        log::note_unmatched(connection, &self.unmatched[self.written..])?;
        self.written = self.unmatched.len();
        self.reached = last;
        Ok(())
    }

    /// Up to here everything is written when this transaction commits.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// How many places are not written when this transaction commits.
    pub(crate) fn unwritten(&self) -> u64 {
        (self.unmatched.len() - self.written) as u64
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.unmatched.drain(..self.written);
        self.written = 0;
        self.committed = self.unmatched.len();
        self.through = self.reached;
    }

    /// The transaction was undone.
    pub(crate) fn undone(&mut self) {
        self.unmatched.truncate(self.committed);
        self.written = 0;
        self.reached = self.through;
    }
}
