//! Redriving dead letters, inside a transaction: the event goes to the end of the log, for its destination alone, and
//! the dead letter goes. A crash leaves either the one or the other.

use std::sync::Arc;

use queue::{
    Again, By, ConsumerId, DeadLetter, DeadLetterId, NotRedriven, QueueError, RedriveOutcome, Routes, Seq, Stored, Why,
    trail,
};

use super::{Done, Writer};
use crate::consumer::Committed;
use crate::failure::Failed;
use crate::inbox::Reply;
use crate::options::MAX_COMMIT_BYTES;
use crate::shared::Shared;
use crate::{dead_letters, edits, log};

/// What one call has redriven, if its transaction commits.
pub(super) struct Redriving {
    reply: Reply<Vec<RedriveOutcome>>,
    outcomes: Vec<RedriveOutcome>,
    gone: Vec<DeadLetter>,
}

impl Redriving {
    /// It is durable.
    pub(super) fn finish(self, shared: &Shared) {
        self.gone.iter().for_each(|letter| shared.forget_dead(letter));
        let _ = self.reply.send(Ok(self.outcomes));
    }

    pub(super) fn refuse(self, error: &QueueError) {
        let _ = self.reply.send(Err(error.clone()));
    }
}

impl Writer {
    /// Redrives; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn redrive(
        &mut self,
        ids: &[DeadLetterId],
        by: &By,
        reply: Reply<Vec<RedriveOutcome>>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let (mut outcomes, mut gone) = (Vec::with_capacity(ids.len()), Vec::new());
        let redriven = self.redrive_some(ids, by, done, &mut outcomes, &mut gone);
        done.redriven.push(Redriving { reply, outcomes, gone });
        redriven
    }

    /// As many as fit one commit; their bodies are in memory until it is done.
    fn redrive_some(
        &mut self,
        ids: &[DeadLetterId],
        by: &By,
        done: &mut Done,
        outcomes: &mut Vec<RedriveOutcome>,
        gone: &mut Vec<DeadLetter>,
    ) -> Result<(), Failed> {
        let mut bytes = 0;
        for &id in ids {
            if bytes >= MAX_COMMIT_BYTES {
                break;
            }
            let result = self.redrive_one(id, by, done, gone)?;
            if result.is_ok() {
                bytes += done.committed.last().map_or(0, |committed| committed.stored.event.body.len());
            }
            outcomes.push(RedriveOutcome { id, result });
        }
        Ok(())
    }

    fn redrive_one(
        &mut self,
        id: DeadLetterId,
        by: &By,
        done: &mut Done,
        gone: &mut Vec<DeadLetter>,
    ) -> Result<Result<Seq, NotRedriven>, Failed> {
        let Some((letter, destination)) = dead_letters::find(&self.connection, id)? else {
            return Ok(Err(NotRedriven::Missing));
        };
        let (Some(destination), Some(Seq(place))) = (destination, letter.seq) else {
            return Ok(Err(NotRedriven::NoEvent));
        };
        let Some(Ok(stored)) = log::read_one(&self.connection, place)? else {
            return Ok(Err(NotRedriven::NoEvent));
        };
        // The letter is about to be erased too.
        if stored.event.is_erased() {
            return Ok(Err(NotRedriven::NoEvent));
        }
        let first = stored.first_seq();
        let Stored { mut event, again, .. } = stored;
        let why = again.map_or(Why::Redriven, |again| again.why);
        let mut edited = again.is_some_and(|again| again.edited);
        if letter.edit.is_some() {
            let Some(copy) = edits::body(&self.connection, id)? else {
                return Ok(Err(NotRedriven::DamagedEdit));
            };
            (event.body, edited) = (copy, true);
        }
        let consumer = ConsumerId(destination);
        let Some(routes) = self.routes_to(consumer, &event) else {
            let name = letter.destination.as_deref().unwrap_or_default().to_owned();
            return Ok(Err(NotRedriven::NotRouted(name)));
        };
        let seq = Seq(self.counters.last_seq + 1);
        let stored =
            Stored { again: Some(Again { consumer, at: by.at, why, edited, first }), ..Stored::new(seq, event) };
        dead_letters::remove(&self.connection, &letter, self.counters.floor)?;
        self.trail.push(&self.connection, trail::redriven(&letter, seq, by))?;
        self.counters.last_seq = seq.0;
        self.counters.redriven += 1;
        done.committed.push(Committed { stored: Arc::new(stored), routes });
        gone.push(letter);
        Ok(Ok(seq))
    }

    /// The way of an event to this destination and no other, if the present routes have one.
    pub(super) fn routes_to(&self, consumer: ConsumerId, event: &event::Event) -> Option<Routes> {
        let placed = self.shared.consumer(consumer).ok()?.state.lock().placed.clone()?;
        let target = placed.find(&placed.routing.router.route(event))?;
        Some(Routes::from_iter([target]))
    }
}
