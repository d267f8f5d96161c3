//! Attempts as they begin and end, and their settlements.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{EventId, Timestamp};
use queue::{DeadLetter, FailureClass, Options, Stage, Stored};

use super::{Delivery, Known, Oracle, Progress};
use crate::plan::TOPICS;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    /// The destination said that it has it.
    Taken,
    /// The mapping had nothing to deliver.
    Nothing,
    /// A failure that passes. Whether the destination has it all the same is told.
    Failed { has_it: bool },
    /// A failure for good.
    Refused,
}

/// A settlement that has been begun, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Done,
    Dead(FailureClass),
    /// To be tried again.
    Again,
}

/// An attempt as it begins.
pub(crate) struct Attempt<'a> {
    pub(crate) destination: usize,
    pub(crate) stored: &'a Stored,
}

impl Oracle {
    /// An attempt begins; the number of the event that it is of, if the oracle knows it.
    pub(crate) fn begins(&self, attempt: &Attempt<'_>) -> Option<usize> {
        let Attempt { destination, stored } = *attempt;
        let (place, event) = (stored.seq.0, &stored.event);
        let mut known = self.known.lock();
        known.counts.attempts += 1;
        known.belongs(place, event.id);
        let Some(number) = known.whose(&event.body, event.id) else {
            known.object(format!("an attempt of {} at place {place}, which nobody sent with these bytes", event.id));
            return None;
        };
        let plan = &self.plan.events[number];
        let conversation = plan.conversation.map(crate::body::conversation_id);
        if *event.topic != *TOPICS[plan.topic] || event.conversation.as_deref() != conversation.as_deref() {
            known.object(format!("event {number} arrives with another topic or conversation: {event:?}"));
        }
        if !self.plan.destinations[destination].topics.contains(&plan.topic) {
            known.object(format!("event {number} is not for destination {destination}"));
        }
        let delivery = known.deliveries.entry((destination, place)).or_default();
        if delivery.settled {
            known.object(format!("event {number} at place {place} is attempted again, after it was settled"));
        } else if delivery.answered {
            known
                .object(format!("event {number} at place {place} is attempted again by the process that delivered it"));
        }
        known.check_again(destination, stored);
        self.check_order(&mut known, destination, number, stored);
        Some(number)
    }

    /// What begins keeps the order of its conversation.
    pub(super) fn check_order(&self, known: &mut Known, destination: usize, number: usize, stored: &Stored) {
        let first = stored.first_seq().0;
        known.firsts.insert(stored.seq.0, first);
        // What stands in the log again comes behind all others and is in nobody's way, unless those wait for it.
        let ordered = stored.again.is_none() || self.holds(destination) && !stored.is_replayed();
        if let Some(conversation) = self.conversation_at(destination, number).filter(|_| ordered) {
            known.begins_in_order(first, number, &conversation);
        }
    }

    /// The number of the event with these bytes.
    pub(crate) fn number_of(&self, body: &[u8]) -> Option<usize> {
        let number = self.known.lock().bodies.get(body).copied();
        if number.is_none() {
            self.object("bytes that nobody sent have reached a destination".to_owned());
        }
        number
    }

    /// An attempt has reached the destination; dropping what is returned says that it is not there any more.
    pub(crate) fn reaches(self: &Arc<Self>, destination: usize) -> Reached {
        let mut known = self.known.lock();
        let limit = self.plan.destinations[destination].concurrency;
        known.destinations[destination].in_flight += 1;
        let in_flight = known.destinations[destination].in_flight;
        if in_flight > limit {
            known.object(format!("{in_flight} attempts at destination {destination}, which takes {limit}"));
        }
        Reached { oracle: self.clone(), destination }
    }

    pub(crate) fn ended(&self, at: Delivery, result: Result) {
        let mut known = self.known.lock();
        let step = known.next_step();
        let succeeded = known.destinations[at.0].succeeded;
        if result == Result::Taken {
            known.destinations[at.0].succeeded = step;
        }
        let has_it = matches!(result, Result::Taken | Result::Nothing | Result::Failed { has_it: true });
        known.counts.taken += u64::from(has_it);
        let delivery = known.deliveries.entry(at).or_default();
        delivery.last = Some(result);
        delivery.taken |= has_it;
        delivery.answered |= matches!(result, Result::Taken | Result::Nothing);
        if matches!(result, Result::Failed { .. }) {
            // Success may have come before or while this attempt was under way; the product asks for the former.
            delivery.charged += u32::from(delivery.failed.is_some_and(|failed| succeeded > failed));
            delivery.failed = Some(step);
        }
    }

    /// A settlement is on its way to the queue; from now on it may be durable.
    pub(crate) fn settles(&self, at: Delivery, asked: Asked) {
        let mut known = self.known.lock();
        let budget = self.plan.destinations[at.0].attempts;
        let erased = known.may_be_erased(at.1);
        let delivery = known.deliveries.entry(at).or_default();
        let objection = match asked {
            Asked::Again => return,
            Asked::Done if delivery.taken || erased => None,
            Asked::Done => Some("is done, and the destination does not have it".to_owned()),
            Asked::Dead(FailureClass::Transient) => {
                let charged = delivery.charged;
                (charged < budget).then(|| format!("dies of its budget of {budget} with {charged} charged attempts"))
            }
            Asked::Dead(_) if delivery.last == Some(Result::Refused) => None,
            Asked::Dead(class) => Some(format!("dies of a {class} failure, after {:?}", delivery.last)),
        };
        delivery.settling = true;
        if let Some(objection) = objection {
            let place = at.1;
            known.object(format!("place {place} at destination {}: {objection}", at.0));
        }
        if asked == Asked::Done || !self.holds(at.0) {
            self.close_first(&mut known, at);
        }
    }

    /// Nothing of this delivery holds up the next one of its conversation.
    pub(super) fn close_first(&self, known: &mut Known, at: Delivery) {
        let first = if self.holds(at.0) { known.first_of(at) } else { at };
        let conversation = self.conversation_of(known, first);
        known.close(first, conversation.as_ref());
    }

    /// The queue has said that a settlement as done or dead is durable.
    pub(crate) fn settled(&self, at: Delivery) {
        self.known.lock().deliveries.entry(at).or_default().settled = true;
    }

    /// Dead letters as the queue lists them. Those that nobody settled are of retention.
    pub(crate) fn sees(&self, letters: &[DeadLetter]) {
        let mut known = self.known.lock();
        for letter in letters.iter().filter(|letter| letter.failure.stage == Stage::Queue) {
            let (Some(name), Some(place)) = (&letter.destination, letter.seq) else { continue };
            let Some(destination) = self.plan.destinations.iter().position(|plan| *plan.name == **name) else {
                continue;
            };
            let at = (destination, place.0);
            let conversation = self.conversation_of(&known, at);
            known.close(at, conversation.as_ref());
            let since = known.received(place.0);
            let delivery = known.deliveries.entry(at).or_default();
            let new = !std::mem::replace(&mut delivery.expired, true);
            let old = since.is_none_or(|since| since.until(self.clock.latest()) >= Options::RETENTION);
            if new && !old {
                known.object(format!("place {place:?} died at destination {destination} before retention: {letter:?}"));
            }
        }
    }

    /// The process is gone, and with it its attempts.
    pub(crate) fn crashed(&self) {
        let mut known = self.known.lock();
        known.destinations.iter_mut().for_each(|destination| destination.in_flight = 0);
        known.deliveries.values_mut().for_each(|delivery| delivery.answered = false);
    }

    pub(super) fn conversation_of(&self, known: &Known, (destination, place): Delivery) -> Option<(usize, Arc<str>)> {
        let numbers = known.offered.get(known.places.get(&place)?)?;
        // All that may have this id are of one conversation, or it is a conflict, of which only one has this place.
        let mut conversations = numbers.iter().filter_map(|&number| self.conversation_at(destination, number));
        conversations.find(|conversation| known.open.get(conversation).is_some_and(|open| open.contains(&place)))
    }
}

impl Known {
    /// The number of the event with these bytes, if it was offered under this id.
    pub(super) fn whose(&self, body: &Bytes, id: EventId) -> Option<usize> {
        let number = *self.bodies.get(body)?;
        self.offered.get(&id)?.contains(&number).then_some(number)
    }

    fn begins_in_order(&mut self, place: u64, number: usize, conversation: &(usize, Arc<str>)) {
        let latest = self.latest_begun.entry(conversation.clone()).or_default();
        let before = std::mem::replace(latest, place.max(*latest));
        if before > place {
            self.object(format!("event {number} at place {place} is attempted after place {before}: {conversation:?}"));
        }
        let first = self.open.get(conversation).and_then(|open| open.first().copied());
        if let Some(first) = first.filter(|first| *first < place) {
            self.object(format!("event {number} at place {place} is attempted before place {first} is over"));
        }
    }

    fn received(&self, place: u64) -> Option<Timestamp> {
        let received = self.accepted.get(self.places.get(&place)?)?;
        received.last().copied().map(|received| received.minus(Duration::from_secs(1)))
    }

    pub(super) fn progress(&self, at: Delivery) -> Option<&Progress> {
        self.deliveries.get(&at)
    }
}

/// An attempt that is at a destination.
pub(crate) struct Reached {
    oracle: Arc<Oracle>,
    destination: usize,
}

impl Drop for Reached {
    fn drop(&mut self) {
        let mut known = self.oracle.known.lock();
        let in_flight = &mut known.destinations[self.destination].in_flight;
        // After a crash those of the dead process are counted no more.
        *in_flight = in_flight.saturating_sub(1);
    }
}
