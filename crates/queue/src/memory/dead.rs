//! Dead letters of the in-memory queue: how they go, and what is known of their conversations.

use std::sync::Arc;

use bytes::Bytes;
use event::Timestamp;

use super::state::{State, listed};
use crate::{
    Again, By, ConsumerId, DeadLetter, DeadLetterId, Edit, Fingerprint, NotRedriven, Order, REVIEWS_MAX,
    RedriveOutcome, Review, ReviewState, Seq, Stored, Why, trail,
};

impl State {
    pub(super) fn remove_dead(&mut self, id: DeadLetterId) -> Option<DeadLetter> {
        let letter = self.dead.remove(&id)?;
        let first = self.firsts.remove(&id);
        let consumer = self.consumers.iter_mut().find(|consumer| Some(&consumer.name) == letter.destination.as_ref());
        if let Some((consumer, conversation)) = consumer.zip(letter.conversation.as_ref())
            && let Some(dead) = consumer.dead.get_mut(conversation)
            && let Some(place) = dead.iter().position(|other| Some(*other) == first)
        {
            dead.remove(place);
        }
        Some(letter)
    }

    /// One with everything that is known of it.
    pub(super) fn dead_letter(&self, id: DeadLetterId, now: Timestamp) -> Option<DeadLetter> {
        let letter = self.dead.get(&id)?.clone();
        let consumer = self.consumers.iter().find(|consumer| Some(&consumer.name) == letter.destination.as_ref());
        let Some((consumer, conversation)) = consumer.zip(letter.conversation.as_ref()) else {
            return Some(letter);
        };
        let first = self.firsts.get(&id);
        let others = consumer.dead.get(conversation).into_iter().flatten();
        let behind_dead = consumer.order == Order::Conversation && others.min() < first;
        Some(DeadLetter { behind_dead, held: consumer.held(conversation, now), ..letter })
    }

    pub(super) fn redrive(&mut self, ids: &[DeadLetterId], by: &By) -> Vec<RedriveOutcome> {
        ids.iter().map(|&id| RedriveOutcome { id, result: self.redrive_one(id, by) }).collect()
    }

    fn redrive_one(&mut self, id: DeadLetterId, by: &By) -> Result<Seq, NotRedriven> {
        let letter = self.dead.get(&id).ok_or(NotRedriven::Missing)?;
        let (Some(destination), Some(event)) = (&letter.destination, letter.to_event()) else {
            return Err(NotRedriven::NoEvent);
        };
        let not_routed = || NotRedriven::NotRouted(destination.to_string());
        let place = self.consumers.iter().position(|consumer| consumer.name == *destination);
        let place = place.ok_or_else(not_routed)?;
        let routes = self.topology.as_ref().map(|topology| topology.router.route(&event)).unwrap_or_default();
        let target = routes.iter().find(|target| self.consumers[place].place == Some(target.consumer));
        let route = target.ok_or_else(not_routed)?.route;
        self.last += 1;
        self.counts.redriven += 1;
        let consumer = ConsumerId(u16::try_from(place).unwrap_or(u16::MAX));
        let edited = letter.altered || letter.edit.is_some();
        let first = self.firsts.get(&id).copied().unwrap_or(Seq(self.last));
        let before = letter.seq.and_then(|seq| self.log.get(&seq.0)).and_then(|stored| stored.again);
        let why = before.map_or(Why::Redriven, |again| again.why);
        let again = Some(Again { consumer, at: by.at, why, edited, first });
        let stored = Arc::new(Stored { again, ..Stored::new(Seq(self.last), event) });
        self.consumers[place].add(&stored, route);
        self.log.insert(self.last, stored);
        if let Some(letter) = self.remove_dead(id) {
            self.trail.push(trail::redriven(&letter, Seq(self.last), by));
        }
        Ok(Seq(self.last))
    }

    pub(super) fn edit(&mut self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> bool {
        let letter = self.dead.get_mut(&id);
        if letter.is_some() {
            self.trail.push(trail::edited(id, copy.as_deref(), &by));
        }
        letter.map(|letter| letter.edit = copy.map(|body| Edit { by, body: Some(body) })).is_some()
    }

    pub(super) fn set_review(&mut self, group: Fingerprint, state: ReviewState, by: By) -> Review {
        let review = Review { group, state, by, seen: DeadLetterId(self.last_dead) };
        self.reviews.retain(|other| other.group != group);
        self.trail.push(trail::reviewed(&review));
        self.reviews.push(review.clone());
        let surplus = self.reviews.len().saturating_sub(REVIEWS_MAX);
        self.reviews.drain(..surplus);
        review
    }

    pub(super) fn reviews(&self) -> Vec<Review> {
        self.reviews.clone()
    }

    pub(super) fn discard(&mut self, ids: &[DeadLetterId], by: &By) -> Vec<DeadLetter> {
        let gone: Vec<_> = ids.iter().filter_map(|&id| self.remove_dead(id)).collect();
        self.trail.extend(gone.iter().map(|letter| trail::discarded(letter, by)));
        gone.iter().map(listed).collect()
    }
}
