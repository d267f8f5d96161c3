//! Taking over what another queue has, inside a transaction: each event with its identity, its place in every cursor, its
//! retries and its dead letters. A crash leaves all of it or nothing.

use std::sync::Arc;

use audit::Digest;
use queue::{
    Again, ConsumerId, DeadLetter, Failure, FailureClass, Left, Moved, MovedAgain, QueueError, Routes, Seq, Stage,
    Stored, TakenOver, Why, body_hash, trail,
};

use super::settle::{Died, store_retry};
use super::{Done, Writer};
use crate::consumer::{Committed, Consumer, Cursor, conversation_key};
use crate::dead_letters::{self, NewDeadLetter};
use crate::dedupe::Entry;
use crate::edits;
use crate::failure::Failed;
use crate::inbox::Reply;
use crate::options::MAX_COMMIT_BYTES;

/// What one call has taken over, if its transaction commits.
pub(super) struct TakingOver {
    reply: Reply<TakenOver>,
    answer: Result<TakenOver, QueueError>,
    died: Vec<(Arc<Consumer>, Option<Died>)>,
    /// The cursors as they were before.
    cursors: Vec<(Arc<Consumer>, Cursor)>,
    /// Retries that are known in memory already.
    retries: Vec<(Arc<Consumer>, u64)>,
}

impl TakingOver {
    /// It is durable, or was refused.
    pub(super) fn finish(self) {
        for (consumer, died) in &self.died {
            consumer.count_dead(1);
            if let Some(died) = died {
                died.mark(consumer);
            }
        }
        let _ = self.reply.send(self.answer);
    }

    /// The transaction was undone. Places that it settled are free again.
    pub(super) fn refuse(self, error: &QueueError) {
        for (consumer, cursor) in self.cursors {
            consumer.state.lock().cursor = cursor;
        }
        for (consumer, seq) in self.retries {
            consumer.state.lock().stored_retries.remove(&seq);
        }
        let _ = self.reply.send(Err(error.clone()));
    }
}

impl Writer {
    /// Takes over as much as fits one commit; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn take_over(
        &mut self,
        moved: Vec<Moved>,
        reply: Reply<TakenOver>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let consumers: Vec<_> = self.shared.consumers.read().iter().map(Arc::clone).collect();
        let cursors = consumers.iter().map(|of| (Arc::clone(of), of.state.lock().cursor.clone())).collect();
        let answer = Ok(TakenOver::default());
        let mut taking = TakingOver { reply, answer, died: Vec::new(), cursors, retries: Vec::new() };
        let taken = self.take_over_some(moved, &consumers, &mut taking, done);
        let (answer, failed) = match taken {
            Ok(answer) => (answer, None),
            // Told by the caller, which undoes everything.
            Err(failed) => (Err(failed.to_queue_error()), Some(failed)),
        };
        taking.answer = answer;
        done.taken_over.push(taking);
        failed.map_or(Ok(()), Err)
    }

    fn take_over_some(
        &mut self,
        moved: Vec<Moved>,
        consumers: &[Arc<Consumer>],
        taking: &mut TakingOver,
        done: &mut Done,
    ) -> Result<Result<TakenOver, QueueError>, Failed> {
        let is_known = |name: &str| {
            consumers.iter().any(|consumer| &*consumer.name == name && consumer.state.lock().placed.is_some())
        };
        let (mut taken, mut bytes) = (TakenOver::default(), 0);
        for moved in moved.into_iter().take(Moved::EVENTS_MAX) {
            if let Err(refused) = moved.check(is_known) {
                // Those before it are taken over; it is refused when it comes first.
                if taken.looked_at == 0 {
                    return Ok(Err(refused));
                }
                break;
            }
            bytes += moved.bytes();
            if bytes > MAX_COMMIT_BYTES && taken.looked_at > 0 {
                break;
            }
            taken.looked_at += 1;
            if self.dedupe.find(&self.connection, moved.known_by, moved.known_since)?.is_none() {
                self.take_over_one(moved, consumers, taking, done)?;
                taken.new += 1;
            }
        }
        // The start works out identities from the events, and some have names of their own.
        self.write_events(done)?;
        self.catch_up()?;
        taken.last = Seq(self.counters.last_seq);
        Ok(Ok(taken))
    }

    fn take_over_one(
        &mut self,
        moved: Moved,
        consumers: &[Arc<Consumer>],
        taking: &mut TakingOver,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let only = moved.only().and_then(|name| consumers.iter().find(|consumer| consumer.name == *name));
        let only = only.map(|consumer| consumer.id);
        let Moved { known_by, known_since, event, again, left, dead, proof } = moved;
        let seq = self.counters.last_seq + 1;
        let routes = self.shared.routing().map(|routing| routing.router.route(&event)).unwrap_or_default();
        let names = self.shared.names_of(&routes);
        let entry = trail::received(Seq(seq), &event, Digest::of(&event.body), &proof, names);
        self.trail.push(&self.connection, entry)?;
        self.counters.last_seq = seq;
        self.dedupe.add(Entry::new(known_by, seq, known_since, body_hash(&event.body)));
        match again.map(|again| again.why) {
            Some(Why::Redriven) => self.counters.redriven += 1,
            Some(Why::Replayed) => self.counters.replayed += 1,
            None if routes.is_empty() => {
                self.counters.unmatched += 1;
                self.late.unmatched(seq);
            }
            None => {}
        }
        let again = again.zip(only).map(|(MovedAgain { at, why, edited, first }, consumer)| Again {
            consumer,
            at,
            why,
            edited,
            first: first.unwrap_or(Seq(seq)),
        });
        let stored = Stored { again, ..Stored::new(Seq(seq), event) };
        let mut wanted = Routes::new();
        for consumer in consumers {
            let left = left.iter().find(|left| left.destination == consumer.name);
            match left.and_then(|left| Some((left, self.target(consumer.id, &routes)?))) {
                Some((left, target)) => {
                    wanted.push(target);
                    self.tried(consumer, seq, left, taking)?;
                }
                None => {
                    let mut state = consumer.state.lock();
                    state.cursor.settle(seq);
                    // So that this commit stores it.
                    state.delivered_dirty = true;
                }
            }
        }
        for letter in dead {
            self.take_over_dead(&stored, &letter, consumers, taking)?;
        }
        done.committed.push(Committed { stored: Arc::new(stored), routes: wanted });
        Ok(())
    }

    /// The route by which a destination gets an event now.
    fn target(&self, consumer: ConsumerId, routes: &Routes) -> Option<queue::Target> {
        let consumer = self.shared.consumer(consumer).ok()?;
        let placed = consumer.state.lock().placed.clone()?;
        placed.find(routes)
    }

    /// Notes what was tried of a delivery.
    fn tried(&self, consumer: &Arc<Consumer>, seq: u64, left: &Left, taking: &mut TakingOver) -> Result<(), Failed> {
        if left.attempts.made == 0 {
            return Ok(());
        }
        // Why it failed stands in the trail of the queue that it comes from.
        let failure = Failure::new(Stage::Deliver, FailureClass::Transient, "it was tried before it was moved");
        store_retry(&self.connection, consumer.id, seq, left.due, &left.attempts, &failure)?;
        consumer.state.lock().stored_retries.insert(seq, (left.due, left.attempts));
        taking.retries.push((Arc::clone(consumer), seq));
        Ok(())
    }

    fn take_over_dead(
        &mut self,
        stored: &Stored,
        letter: &DeadLetter,
        consumers: &[Arc<Consumer>],
        taking: &mut TakingOver,
    ) -> Result<(), Failed> {
        let Some(name) = &letter.destination else { return Ok(()) };
        let Some(consumer) = consumers.iter().find(|consumer| consumer.name == *name) else { return Ok(()) };
        let (seq, event) = (stored.seq.0, &stored.event);
        let new =
            NewDeadLetter::of_delivery(consumer.id, seq, Some(event), letter.attempts, &letter.failure, letter.died);
        let id = dead_letters::insert(&self.connection, &new)?;
        self.trail.push(&self.connection, trail::died(id, stored.seq, name, &letter.failure, letter.died))?;
        if let Some((edit, copy)) = letter.edit.as_ref().and_then(|edit| Some((edit, edit.body.as_ref()?))) {
            edits::store(&self.connection, id, copy, &edit.by)?;
            self.trail.push(&self.connection, trail::edited(id, Some(copy), &edit.by))?;
        }
        let conversation = event.conversation.as_deref().map(conversation_key);
        let died = conversation.map(|conversation| Died::new(conversation, seq, stored.first_seq().0));
        taking.died.push((Arc::clone(consumer), died));
        Ok(())
    }
}
