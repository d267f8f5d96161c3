//! Taking over what another queue has, and telling what is left of what is here.

use std::sync::Arc;

use super::consumer::Phase;
use super::state::{Identity, State};
use crate::{
    Again, ConsumerId, DeadLetter, DeadLetterId, LeftPage, Moved, MovedAgain, QueueError, Seq, Stored, TakenOver, Why,
    body_hash, trail,
};

impl State {
    pub(super) fn left(&self, after: Seq, events: usize, bytes: usize) -> LeftPage {
        let page = self.read_log(after, events, bytes);
        let left = page.events.iter().map(|stored| {
            let of = self.consumers.iter().filter(|consumer| consumer.place.is_some());
            of.filter_map(|consumer| consumer.left(stored.seq)).collect()
        });
        LeftPage { left: left.collect(), page }
    }

    pub(super) fn take_over(&mut self, moved: Vec<Moved>) -> Result<TakenOver, QueueError> {
        let mut taken = TakenOver::default();
        for moved in moved.into_iter().take(Moved::EVENTS_MAX) {
            moved.check(|name| {
                self.consumers.iter().any(|consumer| consumer.place.is_some() && &*consumer.name == name)
            })?;
            taken.looked_at += 1;
            if self.known(moved.known_by, moved.known_since).is_none() {
                self.take_over_one(moved);
                taken.new += 1;
            }
        }
        taken.last = Seq(self.last);
        Ok(taken)
    }

    fn take_over_one(&mut self, moved: Moved) {
        let only = moved.only().and_then(|name| self.consumers.iter().position(|c| c.name == *name));
        let Moved { known_by, known_since, event, again, left, dead, proof } = moved;
        self.last += 1;
        let seq = Seq(self.last);
        let identity = Identity { received: known_since, seq: seq.0, body_hash: body_hash(&event.body) };
        self.identities.insert(known_by, identity);
        let routes = self.topology.as_ref().map(|topology| topology.router.route(&event)).unwrap_or_default();
        let digest = audit::Digest::of(&event.body);
        let names = routes.iter().filter_map(|target| {
            self.consumers.iter().find(|c| c.place == Some(target.consumer)).map(|c| Arc::clone(&c.name))
        });
        self.trail.push(trail::received(seq, &event, digest, &proof, names.collect()));
        match again.map(|again| again.why) {
            Some(Why::Redriven) => self.counts.redriven += 1,
            Some(Why::Replayed) => self.counts.replayed += 1,
            None if routes.is_empty() => self.counts.unmatched += 1,
            None => {}
        }
        let again = again.zip(only).map(|(MovedAgain { at, why, edited, first }, place)| {
            let consumer = ConsumerId(u16::try_from(place).unwrap_or(u16::MAX));
            Again { consumer, at, why, edited, first: first.unwrap_or(seq) }
        });
        let stored = Arc::new(Stored { again, ..Stored::new(seq, event) });
        for left in left {
            let consumer = self.consumers.iter_mut().find(|consumer| consumer.name == left.destination);
            let target = consumer.and_then(|consumer| {
                routes.iter().find(|target| consumer.place == Some(target.consumer)).map(|target| (consumer, target))
            });
            if let Some((consumer, target)) = target {
                consumer.add(&stored, target.route);
                consumer.tried(seq, left.attempts, Phase::Due(left.due));
            }
        }
        dead.into_iter().for_each(|letter| self.take_over_dead(&stored, letter));
        self.log.insert(seq.0, stored);
    }

    fn take_over_dead(&mut self, stored: &Stored, letter: DeadLetter) {
        let (seq, first) = (stored.seq, stored.first_seq());
        let destination = letter.destination.clone().unwrap_or_default();
        let id = DeadLetterId(self.last_dead + 1);
        self.trail.push(trail::died(id, seq, &destination, &letter.failure, letter.died));
        if let Some(edit) = &letter.edit {
            self.trail.push(trail::edited(id, edit.body.as_deref(), &edit.by));
        }
        let consumer = self.consumers.iter_mut().find(|consumer| consumer.name == destination);
        if let Some((consumer, conversation)) = consumer.zip(letter.conversation.clone()) {
            consumer.dead.entry(conversation).or_default().push(first);
        }
        self.add_dead(DeadLetter { seq: Some(seq), ..letter });
        self.firsts.insert(id, first);
    }
}
