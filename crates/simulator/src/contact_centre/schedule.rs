//! What is going to be emitted, by the simulated time at which it is due.

use std::collections::BTreeMap;

use super::Request;
use super::body::Publication;
use super::conversation::Happening;

/// One thing to emit.
#[derive(Debug)]
pub(super) enum Emission {
    /// An event for the first time.
    Fresh(Happening),
    /// A request once more.
    Again(Box<Resend>),
}

/// A request that comes again.
#[derive(Debug)]
pub(super) struct Resend {
    pub(super) request: Request,
    /// What to publish anew; the same bytes are sent when there is nothing.
    pub(super) again: Option<(Publication, Vec<Happening>)>,
}

/// An emission's place: when it is due, in milliseconds of Unix time, and how many were added before it.
pub(super) type Place = (i64, u64);

/// Emissions in the order in which they are due; those due at the same time in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    waiting: BTreeMap<Place, Emission>,
    added: u64,
}

impl Schedule {
    pub(super) fn add(&mut self, due_ms: i64, emission: Emission) {
        self.waiting.insert((due_ms, self.added), emission);
        self.added += 1;
    }

    /// The next emission and its place.
    pub(super) fn take(&mut self) -> Option<(Place, Emission)> {
        self.waiting.pop_first()
    }

    /// Back to the place where it was, so that emissions due at the same time keep their order.
    pub(super) fn put_back(&mut self, place: Place, emission: Emission) {
        self.waiting.insert(place, emission);
    }
}
