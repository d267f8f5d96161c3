//! Conversations that are erased, events that are replayed or edited, deliveries that are put aside; and what the log has
//! in the end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use event::EventId;
use queue::{BehindDead, DeadLetter, DeadLetterId, Stored};

use super::{Delivery, Known, Oracle};
use crate::body::conversation_id;
use crate::plan::TOPICS;

/// What is known of erasures, replays and edits.
#[derive(Default)]
pub(super) struct Operated {
    /// Of conversations: the last place that an erasure may have reached, and the last one that it must have reached.
    erased: BTreeMap<u64, (u64, u64)>,
    /// Events of which something may have been erased.
    perhaps: BTreeSet<EventId>,
    /// How often an event was replayed for a destination.
    replays: BTreeMap<(usize, EventId), u64>,
    /// Pieces that have been begun and not answered may be in the log or not.
    under_way: BTreeMap<(usize, EventId), u64>,
    /// Edited copies, and whose they are.
    copies: BTreeMap<Bytes, (usize, EventId)>,
    /// Dead letters that certainly have this copy.
    edited: BTreeMap<DeadLetterId, Bytes>,
    /// What must stand at a place because it was redriven with a copy.
    copied: BTreeMap<u64, Bytes>,
}

impl Oracle {
    /// Somebody is about to erase a conversation; from now on it may be gone.
    pub(crate) fn erasing(&self, conversation: u64) {
        let mut known = self.known.lock();
        known.operated.erased.entry(conversation).or_default().0 = u64::MAX;
        self.forget_open(&mut known, conversation);
    }

    /// The erasure was answered, or the process has ended meanwhile; the last place in the log now.
    pub(crate) fn erased(&self, conversation: u64, is_answered: bool, last: u64) {
        let mut known = self.known.lock();
        let reached = known.operated.erased.entry(conversation).or_default();
        reached.0 = last;
        if is_answered {
            reached.1 = last;
        }
        let of = |number: &usize| self.plan.events[*number].conversation == Some(conversation);
        let offered = known.offered.iter().filter(|(_, numbers)| numbers.iter().any(of)).map(|(id, _)| *id);
        let offered: Vec<_> = offered.collect();
        known.operated.perhaps.extend(offered);
        self.forget_open(&mut known, conversation);
    }

    /// Nothing of a conversation holds up its next event.
    fn forget_open(&self, known: &mut Known, conversation: u64) {
        let name = conversation_id(conversation);
        known.open.iter_mut().filter(|((_, of), _)| **of == *name).for_each(|(_, open)| open.clear());
    }

    /// Somebody is about to replay these.
    pub(crate) fn replaying(&self, destination: usize, ids: &[EventId]) {
        let mut known = self.known.lock();
        ids.iter().for_each(|id| *known.operated.under_way.entry((destination, *id)).or_default() += 1);
    }

    /// It is known whether these were replayed.
    pub(crate) fn replayed(&self, destination: usize, ids: &[EventId], is_done: bool) {
        let mut known = self.known.lock();
        for id in ids {
            *known.operated.under_way.entry((destination, *id)).or_default() -= 1;
            *known.operated.replays.entry((destination, *id)).or_default() += u64::from(is_done);
        }
    }

    /// Somebody is about to keep an edited copy beside a dead letter.
    pub(crate) fn edits(&self, letter: &DeadLetter, copy: &Bytes) {
        let mut known = self.known.lock();
        let (Some((destination, _)), Some(id)) = (self.delivery_of(letter), letter.event) else { return };
        // Of two events with one identity it is one that is as the letter says.
        let is_it = |number: &&usize| {
            let plan = &self.plan.events[**number];
            let conversation = plan.conversation.map(conversation_id);
            *letter.topic == *TOPICS[plan.topic] && letter.conversation.as_deref() == conversation.as_deref()
        };
        let number = known.offered.get(&id).and_then(|numbers| numbers.iter().filter(is_it).min().copied());
        known.bodies.extend(number.map(|number| (copy.clone(), number)));
        known.operated.copies.insert(copy.clone(), (destination, id));
        known.operated.edited.remove(&letter.id);
    }

    /// The queue has said that the copy is there.
    pub(crate) fn edited(&self, letter: &DeadLetter, copy: &Bytes) {
        self.known.lock().operated.edited.insert(letter.id, copy.clone());
    }

    /// A delivery is kept elsewhere, which is as good as delivered.
    pub(crate) fn put_aside(&self, destination: usize, stored: &Stored) {
        let mut known = self.known.lock();
        let place = stored.seq.0;
        let number = known.whose(&stored.event.body, stored.event.id);
        match number {
            None if !stored.event.is_erased() => known.object(format!("place {place} is put aside with other bytes")),
            Some(number) => self.check_order(&mut known, destination, number, stored),
            None => {}
        }
        let delivery = known.deliveries.entry((destination, place)).or_default();
        let is_settled = std::mem::replace(&mut delivery.taken, true) && delivery.settled;
        if is_settled {
            known.object(format!("place {place} is put aside at destination {destination}, after it was settled"));
        }
    }

    /// Whether a conversation waits for its dead letters there.
    pub(super) fn holds(&self, destination: usize) -> bool {
        self.plan.destinations[destination].behind_dead == BehindDead::Hold
    }

    /// Whether events may wait for this dead letter.
    pub(crate) fn is_held_behind(&self, letter: &DeadLetter) -> bool {
        self.delivery_of(letter).is_some_and(|(destination, _)| self.holds(destination))
    }

    /// What the log has in the end, and for which destination alone it stands there again.
    pub(crate) fn reads(&self, log: &[(Stored, Option<usize>)]) {
        let mut known = self.known.lock();
        let mut replays = BTreeMap::new();
        for (stored, again) in log {
            known.belongs(stored.seq.0, stored.event.id);
            self.read_one(&mut known, stored);
            if let Some(destination) = *again {
                if !stored.event.is_erased() {
                    known.owed.insert((destination, stored.seq.0));
                }
                // A redriven one of those has another place than its first.
                if stored.is_replayed() && stored.first_seq() == stored.seq {
                    *replays.entry((destination, stored.event.id)).or_insert(0) += 1;
                }
            }
        }
        let there: BTreeSet<u64> = log.iter().map(|(stored, _)| stored.seq.0).collect();
        if let Some(place) = known.places.keys().copied().find(|place| !there.contains(place)) {
            known.object(format!("lost: place {place} is not in the log"));
        }
        known.operated.replays.retain(|_, times| *times > 0);
        if known.operated.replays != replays {
            let wanted = &known.operated.replays;
            let missing = wanted.iter().find(|(at, times)| replays.get(at) != Some(times));
            let wrong = missing.or_else(|| replays.iter().find(|(at, _)| !wanted.contains_key(at)));
            let has = wrong.and_then(|(at, _)| replays.get(at));
            let wrong = format!("replayed: wanted {missing:?} times, and the log has {has:?} of {wrong:?}");
            known.object(wrong);
        }
    }

    fn read_one(&self, known: &mut Known, stored: &Stored) {
        let (place, event) = (stored.seq.0, &stored.event);
        let (may, must) = known.erasure_of(event.conversation.as_deref());
        match event.is_erased() {
            true if place > may => known.object(format!("lost: place {place} was erased, and nobody asked for that")),
            true => return,
            false if place <= must => known.object(format!("place {place} was erased, and its body is still there")),
            false => {}
        }
        if known.whose(&event.body, event.id).is_none() {
            known.object(format!("lost: the log has other bytes at place {place}"));
        }
        if known.operated.copied.get(&place).is_some_and(|copy| *copy != event.body) {
            known.object(format!("place {place} was redriven without its edited copy"));
        }
    }
}

impl Known {
    /// The last places that an erasure of a conversation may have, and must have reached.
    fn erasure_of(&self, conversation: Option<&str>) -> (u64, u64) {
        let number = conversation.and_then(|name| name.strip_prefix("c-")?.parse().ok());
        number.and_then(|number: u64| self.operated.erased.get(&number).copied()).unwrap_or_default()
    }

    /// Whether an event may have been erased from this place.
    pub(super) fn may_be_erased(&self, place: u64) -> bool {
        let conversations = self.places.get(&place).and_then(|id| self.conversations.get(id));
        conversations.into_iter().flatten().any(|conversation| self.erasure_of(Some(conversation)).0 >= place)
    }

    /// Whether an event was offered before an erasure that may have reached it.
    pub(super) fn may_be_erased_somewhere(&self, id: &EventId) -> bool {
        self.operated.perhaps.contains(id)
    }

    /// Whether a dead letter is still there although its conversation was erased.
    pub(super) fn outlives_erasure(&self, letter: &DeadLetter) -> bool {
        let (_, must) = self.erasure_of(letter.conversation.as_deref());
        letter.seq.is_some_and(|seq| seq.0 <= must)
    }

    /// What is delivered again is what should be: with its copy if it was edited, and replayed only if somebody did so.
    pub(super) fn check_again(&mut self, destination: usize, stored: &Stored) {
        let (id, place) = (stored.event.id, stored.seq.0);
        let is_edited = stored.again.is_some_and(|again| again.edited);
        let of = self.operated.copies.get(&stored.event.body);
        if is_edited != of.is_some() || of.is_some_and(|of| *of != (destination, id)) {
            self.object(format!("place {place} at destination {destination} has bytes of somebody else's edit"));
        }
        let times = |map: &BTreeMap<_, u64>| map.get(&(destination, id)).copied().unwrap_or(0);
        if stored.is_replayed() && times(&self.operated.replays) + times(&self.operated.under_way) == 0 {
            self.object(format!("place {place} at destination {destination} was replayed, and nobody asked for that"));
        }
    }

    /// A dead letter was redriven to this place: with its copy, if it certainly has one.
    pub(super) fn redriven_to(&mut self, letter: DeadLetterId, place: u64) {
        if let Some(copy) = self.operated.edited.get(&letter).cloned() {
            self.operated.copied.insert(place, copy);
        }
    }

    /// The place of an event in the order of its conversation.
    pub(super) fn first_of(&self, (destination, place): Delivery) -> Delivery {
        (destination, self.firsts.get(&place).copied().unwrap_or(place))
    }
}
