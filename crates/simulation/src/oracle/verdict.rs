//! Dead letters that somebody deals with, and the verdict at the end.

use std::collections::BTreeSet;

use event::EventId;
use queue::{DeadLetter, DeadLetterId, RedriveOutcome};

use super::{Delivery, Known, Oracle};

impl Oracle {
    /// Somebody is about to redrive these, or to discard them.
    pub(crate) fn reviews(&self, letters: &[DeadLetter], discarding: bool) {
        let mut known = self.known.lock();
        for letter in letters {
            let Some(at) = self.delivery_of(letter) else { continue };
            let delivery = known.deliveries.entry(at).or_default();
            delivery.redriving |= !discarding;
            delivery.discarded |= discarding;
            if discarding {
                self.close_first(&mut known, at);
            }
        }
    }

    /// The queue has said where redriven events stand now.
    pub(crate) fn redriven(&self, letters: &[DeadLetter], outcomes: &[RedriveOutcome]) {
        let mut known = self.known.lock();
        for outcome in outcomes {
            let letter = letters.iter().find(|letter| letter.id == outcome.id);
            let (Some(letter), Ok(place)) = (letter, &outcome.result) else { continue };
            let (Some(at), Some(id)) = (self.delivery_of(letter), letter.event) else { continue };
            known.counts.redriven += 1;
            known.deliveries.entry(at).or_default().redriven = true;
            if place.0 <= known.last_place {
                let last = known.last_place;
                known.object(format!("a redriven event has place {}, and {last} was given before", place.0));
            }
            known.last_place = place.0;
            known.belongs(place.0, id);
            known.redriven_to(outcome.id, place.0);
            known.owed.insert((at.0, place.0));
        }
    }

    /// The destination of a dead letter, with the numbers of the events that it may be of.
    pub(crate) fn numbers_in(&self, letter: &DeadLetter) -> Vec<(usize, usize)> {
        let known = self.known.lock();
        let destination = self.delivery_of(letter).map(|(destination, _)| destination);
        let numbers = letter.event.and_then(|id| known.offered.get(&id));
        let mut numbers: Vec<usize> = numbers.into_iter().flatten().copied().collect();
        numbers.sort_unstable();
        destination.into_iter().flat_map(|at| numbers.iter().map(move |number| (at, *number))).collect()
    }

    pub(super) fn delivery_of(&self, letter: &DeadLetter) -> Option<Delivery> {
        let name = letter.destination.as_deref()?;
        let destination = self.plan.destinations.iter().position(|plan| plan.name == name)?;
        Some((destination, letter.seq?.0))
    }

    /// Everything has drained, and these are the dead letters that are left.
    pub(crate) fn judge(&self, letters: &[DeadLetter]) {
        let mut known = self.known.lock();
        let dead: BTreeSet<Delivery> = letters.iter().filter_map(|letter| self.delivery_of(letter)).collect();
        if dead.len() != letters.iter().filter(|letter| letter.seq.is_some()).count() {
            known.object("a delivery has died twice".to_owned());
        }
        let owed: Vec<Delivery> = known.owed.iter().copied().collect();
        for at in owed {
            if !known.is_over(at, &dead) && !known.may_be_erased(at.1) {
                let (destination, place) = at;
                let id = known.places.get(&place).copied();
                known.object(format!(
                    "lost: {id:?} at place {place} was acknowledged, and destination {destination} neither has it nor \
                     has a dead letter of it"
                ));
            }
        }
        let somewhere: Vec<(usize, EventId)> = known.owed_somewhere.iter().copied().collect();
        for (destination, id) in somewhere {
            let places = known.places.iter().filter(|(_, owner)| **owner == id).map(|(place, _)| *place);
            let mut places =
                places.chain(letters.iter().filter(|l| l.event == Some(id)).filter_map(|l| Some(l.seq?.0)));
            let erased = known.may_be_erased_somewhere(&id);
            if !places.any(|place| known.is_over((destination, place), &dead)) && !erased {
                known.object(format!("lost: {id} was called known, and destination {destination} never got it"));
            }
        }
        if let Some(letter) = letters.iter().find(|letter| known.outlives_erasure(letter)) {
            let what = format!("dead letter {:?} is still there after its conversation was erased", letter.id);
            known.object(what);
        }
        let kept: BTreeSet<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
        if let Some(id) = known.unreadable.difference(&kept).next().copied() {
            known.object(format!("lost: the unreadable body of dead letter {id:?}"));
        }
    }
}

impl Known {
    /// Delivered, dead, discarded, or in the log again.
    fn is_over(&self, at: Delivery, dead: &BTreeSet<Delivery>) -> bool {
        let Some(delivery) = self.progress(at) else { return dead.contains(&at) };
        let gone_on = || {
            let id = self.places.get(&at.1);
            let mut later = self.places.range(at.1 + 1..).filter(|(_, owner)| Some(*owner) == id);
            later.any(|(place, _)| self.is_over((at.0, *place), dead))
        };
        delivery.taken
            || delivery.discarded
            || dead.contains(&at)
            || delivery.redriven
            // Begun, and never answered.
            || delivery.redriving && (gone_on() || dead.iter().any(|again| again.0 == at.0 && again.1 > at.1))
    }
}
