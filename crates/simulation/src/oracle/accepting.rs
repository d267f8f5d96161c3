//! What senders offered, and what they were told.

use std::time::Duration;

use bytes::Bytes;
use event::{EventId, NewEvent, Timestamp};
use queue::{DeadLetterId, Options, Published, conflict_id};

use super::{Known, Oracle};

/// The queue counts the age of identities in seconds, and this much is left to it.
const WINDOW_TOLERANCE: Duration = Duration::from_secs(60);

/// One event of a request: its number, its bytes, and what splitting made of it.
pub(crate) type Offered = (usize, Bytes, NewEvent);

impl Oracle {
    /// These events are on their way to the queue; from now on they may be stored.
    pub(crate) fn offered(&self, events: &[Offered]) {
        let mut known = self.known.lock();
        for (number, bytes, split) in events {
            if split.body != bytes {
                known.object(format!("event {number} was cut out of its body with other bytes"));
            }
            known.bodies.insert(bytes.clone(), *number);
            for id in possible_ids(split, bytes) {
                known.offer(id, *number);
                known.conversations.entry(id).or_default().extend(split.conversation.clone());
            }
        }
    }

    /// The queue has said that nothing of these events is stored.
    pub(crate) fn turned_away(&self, events: &[Offered]) {
        let mut known = self.known.lock();
        for (number, bytes, split) in events {
            for id in possible_ids(split, bytes) {
                if !known.believed.contains(&(id, *number))
                    && let Some(numbers) = known.offered.get_mut(&id)
                {
                    numbers.remove(number);
                }
            }
        }
    }

    /// The process has answered for these events, or ended without an answer: they may be stored.
    pub(crate) fn may_be_stored(&self, events: &[Offered]) {
        let mut known = self.known.lock();
        for (number, bytes, split) in events {
            known.believed.extend(possible_ids(split, bytes).map(|id| (id, *number)));
        }
    }

    /// The queue has answered for these events.
    pub(crate) fn answered(&self, events: &[Offered], received: Timestamp, answers: &[Published]) {
        let mut known = self.known.lock();
        if answers.len() != events.len() {
            known.object(format!("{} events have {} answers", events.len(), answers.len()));
        }
        for ((number, _, split), answer) in events.iter().zip(answers) {
            match *answer {
                Published::Accepted { id, seq } => {
                    if id != split.id {
                        known.object(format!("event {number} was accepted under {id} and not {}", split.id));
                    }
                    known.counts.accepted += 1;
                    self.accepted(&mut known, *number, id, seq.0, received);
                }
                Published::Conflict { id, of, seq } => {
                    if of != split.id || known.offered.get(&of).is_none_or(|numbers| numbers.len() < 2) {
                        known.object(format!("event {number} is a conflict with {of}, which nobody has sent"));
                    }
                    known.counts.conflicts += 1;
                    self.accepted(&mut known, *number, id, seq.0, received);
                }
                Published::Duplicate { id } => {
                    known.counts.duplicates += 1;
                    let owed = self.destinations_of(*number).map(|destination| (destination, id));
                    known.owed_somewhere.extend(owed);
                }
            }
        }
    }

    fn accepted(&self, known: &mut Known, number: usize, id: EventId, place: u64, received: Timestamp) {
        if place <= known.last_place {
            known.object(format!("event {number} has place {place}, and {} was given before", known.last_place));
        }
        known.last_place = place;
        known.belongs(place, id);
        let again = known.accepted.entry(id).or_default();
        let latest = self.clock.latest();
        // What the clock once showed to be older may have been forgotten.
        let young = |first: &Timestamp| first.until(latest) + WINDOW_TOLERANCE < Options::DEDUPE_WINDOW;
        let twice = again.last().is_some_and(young);
        again.push(received);
        if twice {
            known.object(format!("event {number} ({id}) was accepted twice within the window"));
        }
        for destination in self.destinations_of(number) {
            let over = known.deliveries.get(&(destination, place)).is_some_and(|d| d.settling || d.expired);
            known.owed.insert((destination, place));
            if let Some(conversation) = self.conversation_at(destination, number).filter(|_| !over) {
                known.open.entry(conversation).or_default().insert(place);
            }
        }
    }

    /// The queue has kept a body that it could not read.
    pub(crate) fn kept_unreadable(&self, id: DeadLetterId) {
        self.known.lock().unreadable.insert(id);
    }
}

/// The id that an event should have, and the one that it has if another with that identity is there.
fn possible_ids(split: &NewEvent, bytes: &Bytes) -> [EventId; 2] {
    [split.id, conflict_id(split.id, event::content_hash(bytes))]
}

impl Known {
    fn offer(&mut self, id: EventId, number: usize) {
        self.offered.entry(id).or_default().insert(number);
    }

    /// A place belongs to one event.
    pub(super) fn belongs(&mut self, place: u64, id: EventId) {
        let owner = *self.places.entry(place).or_insert(id);
        if owner != id {
            self.object(format!("place {place} belongs to {owner} and to {id}"));
        }
    }
}
