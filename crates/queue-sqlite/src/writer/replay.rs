//! Replaying, inside a transaction: the events of a piece go to the end of the log, for their destination alone, and the
//! row of the replay says that it has come so far. A crash leaves both or neither.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use queue::{Again, ConsumerId, QueueError, Replay, ReplayPiece, Seq, Stored, Why, trail};

use super::{Done, Writer};
use crate::consumer::{Committed, Consumer};
use crate::failure::Failed;
use crate::inbox::Reply;
use crate::replays;

/// What one call has replayed, if its transaction commits.
pub(super) struct Replaying {
    reply: Reply<Replay>,
    answer: Result<Replay, QueueError>,
    /// What it has taken off the count of what was put aside.
    passed: Option<(Arc<Consumer>, u64)>,
}

impl Replaying {
    /// It is durable, or was refused.
    pub(super) fn finish(self) {
        let _ = self.reply.send(self.answer);
    }

    pub(super) fn refuse(self, error: &QueueError) {
        if let Some((consumer, passed)) = self.passed {
            consumer.state.lock().put_aside += passed;
        }
        let _ = self.reply.send(Err(error.clone()));
    }
}

impl Writer {
    /// Replays a piece; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn replay(
        &mut self,
        piece: ReplayPiece,
        now: Timestamp,
        reply: Reply<Replay>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let mut passed = None;
        let replayed = self.replay_piece(piece, now, done, &mut passed);
        let (answer, failed) = match replayed {
            Ok(answer) => (answer, None),
            // Told by the caller, which undoes everything.
            Err(failed) => (Err(failed.to_queue_error()), Some(failed)),
        };
        done.replayed.push(Replaying { reply, answer, passed });
        failed.map_or(Ok(()), Err)
    }

    fn replay_piece(
        &mut self,
        piece: ReplayPiece,
        now: Timestamp,
        done: &mut Done,
        passed: &mut Option<(Arc<Consumer>, u64)>,
    ) -> Result<Result<Replay, QueueError>, Failed> {
        let known = match replays::find(&self.connection, &piece.id)? {
            Some(Err(refused)) if piece.from.is_some() => return Ok(Err(refused)),
            found => found.and_then(Result::ok),
        };
        let mut replay = match piece.begin(known.as_ref(), self.shared.erasures.load(Ordering::Acquire), now) {
            Ok(replay) => replay,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(consumer) = self.configured(&piece.destination) else {
            return Ok(Err(ReplayPiece::no_destination(&piece.destination)));
        };
        let name = Arc::from(piece.id.as_str());
        for event in piece.events {
            let Some(routes) = self.routes_to(consumer, &event) else {
                replay.not_routed += 1;
                continue;
            };
            self.counters.last_seq += 1;
            self.counters.replayed += 1;
            replay.queued += 1;
            let first = Seq(self.counters.last_seq);
            let entry = trail::replayed(first, &event, &piece.destination, &name, now);
            self.trail.push(&self.connection, entry)?;
            let again = Some(Again { consumer, at: now, why: Why::Replayed, edited: false, first });
            let stored = Stored { again, ..Stored::new(first, event) };
            done.committed.push(Committed { stored: Arc::new(stored), routes });
        }
        if piece.put_aside > 0 {
            *passed = self.pass(consumer, piece.put_aside);
        }
        replays::store(&self.connection, &replay)?;
        Ok(Ok(replay))
    }

    /// Takes so many off the count of what was put aside, as far as there are so many.
    fn pass(&self, id: ConsumerId, count: u64) -> Option<(Arc<Consumer>, u64)> {
        let consumer = self.shared.consumer(id).ok()?;
        let passed = {
            let mut state = consumer.state.lock();
            let passed = count.min(state.put_aside);
            state.put_aside -= passed;
            (state.put_aside_dirty, state.delivered_dirty) = (true, true);
            passed
        };
        Some((consumer, passed))
    }

    /// The destination of this name, if the present configuration has it.
    fn configured(&self, name: &str) -> Option<ConsumerId> {
        let consumers = self.shared.consumers.read();
        let found = consumers.iter().find(|consumer| &*consumer.name == name)?;
        found.state.lock().placed.is_some().then_some(found.id)
    }
}
