//! The writer thread: the only one that changes the database. Each turn of its loop is one transaction, one sync, and
//! then the answers to everyone whose work was in it.
//!
//! What a crash leaves behind: the last commit, whole. Nothing is answered before its commit is synced.
//!
//! When a transaction fails for want of room, publishers are told so, while settlements are kept and go into the next
//! transaction, so that a full disk does not make finished deliveries happen twice. A failed sync stops the queue.

mod configure;
mod counters;
mod cursors;
mod damage;
mod erase;
mod farewell;
mod known;
mod moved;
mod publish;
mod redrive;
mod replay;
mod review;
mod settle;
mod sort;
mod undo;
mod upkeep;

use std::collections::VecDeque;
use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;

use queue::{Maintained, QueueError};
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

pub(crate) use self::counters::Counters;
pub(crate) use self::cursors::store_destination;
use self::damage::Burying;
use self::farewell::Farewell;
pub(crate) use self::farewell::ended;
pub(crate) use self::known::Known;
use self::settle::Settling;
use crate::checkpoint::Checkpointer;
use crate::consumer::Committed;
use crate::dedupe::Dedupe;
use crate::failure::{Failed, Place};
use crate::inbox::{Op, Reply};
use crate::late::Late;
use crate::notes;
use crate::options::{FULL_PAUSE, IDLE_FLUSH};
use crate::shared::Shared;
use crate::trail::Trail;

/// The writer's state between transactions.
pub(crate) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    dedupe: Dedupe,
    /// As of the last commit.
    counters: Counters,
    trail: Trail,
    late: Late,
    retention: Retention,
    checkpointer: Checkpointer,
    /// Settlements whose transaction was undone.
    unsettled: VecDeque<Settling>,
    /// Dead letters of damaged places whose transaction was undone.
    unburied: VecDeque<Burying>,
    /// The last transaction was undone; what was kept of it is tried again after a pause.
    failing: bool,
    commits: u64,
    /// A cursor has moved that is not stored yet.
    cursors_dirty: bool,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) events: Duration,
    pub(crate) audit: Duration,
}

/// What one transaction has done, to be told once it is durable.
#[derive(Default)]
struct Done {
    published: Vec<(Reply<Vec<queue::Published>>, Vec<queue::Published>)>,
    committed: Vec<Committed>,
    /// How many of `committed` are written to the log.
    written: usize,
    settled: Vec<Settling>,
    rejected: Vec<(Reply<queue::DeadLetterId>, queue::DeadLetterId, u64)>,
    maintained: Vec<(Reply<Maintained>, upkeep::Upkeep)>,
    redriven: Vec<redrive::Redriving>,
    replayed: Vec<replay::Replaying>,
    taken_over: Vec<moved::TakingOver>,
    discarded: Vec<(Reply<Vec<queue::DeadLetter>>, Vec<queue::DeadLetter>)>,
    reviewed: review::Reviewed,
    erased: Vec<erase::Erasing>,
    buried: Vec<Burying>,
    noted: Vec<Reply<()>>,
}

impl Writer {
    pub(crate) fn new(
        mut connection: Connection,
        shared: Arc<Shared>,
        known: Known,
        retention: Retention,
        checkpointer: Checkpointer,
    ) -> Result<Self, Failed> {
        let Known { dedupe, trail, late, counters } = known;
        let pages = checkpointer.pages();
        let hook = move |_: &mut Wal, count: i32| {
            pages.store(count.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).place("watching the write-ahead log")?;
        let writer = Self {
            connection,
            shared,
            dedupe,
            counters,
            trail,
            late,
            retention,
            checkpointer,
            unsettled: VecDeque::new(),
            unburied: VecDeque::new(),
            failing: false,
            commits: 0,
            cursors_dirty: false,
        };
        writer.show_counts();
        Ok(writer)
    }

    /// Works until the queue is closed.
    pub(crate) fn run(mut self) {
        let _farewell = Farewell(Arc::clone(&self.shared));
        loop {
            let mut ops = self.shared.inbox.take(self.patience());
            let close = match ops.last() {
                Some(Op::Close { .. }) => ops.pop(),
                _ => None,
            };
            self.turn(ops);
            if let Some(Op::Close { reply }) = close {
                let closed = self.close();
                let _ = reply.send(closed);
                return;
            }
        }
    }

    /// How long to wait for work before doing what is left over.
    fn patience(&self) -> Option<Duration> {
        if self.failing {
            Some(FULL_PAUSE)
        } else if self.shared.poison().is_some() {
            None
        } else if self.dedupe.is_sealing() {
            Some(Duration::ZERO)
        } else {
            (self.cursors_dirty || self.late.is_behind(self.counters.last_seq)).then_some(IDLE_FLUSH)
        }
    }

    /// One transaction for all of `ops`, and the answers.
    ///
    /// While commits fail there are two: what is owed comes first and by itself. It needs little room, or makes some,
    /// and a publication that needs more would undo it again and again.
    fn turn(&mut self, ops: Vec<Op>) {
        if !self.failing {
            return self.commit(ops);
        }
        let is_new = |op: &Op| {
            let needs_room = matches!(op, Op::Publish(_) | Op::Reject { .. } | Op::Edit { .. } | Op::TakeOver { .. });
            needs_room || matches!(op, Op::Erase { .. })
        };
        let (new, owed): (Vec<_>, Vec<_>) = ops.into_iter().partition(is_new);
        self.commit(owed);
        if !new.is_empty() {
            self.commit(new);
        }
    }

    fn commit(&mut self, ops: Vec<Op>) {
        let mut failed_publishers = Vec::new();
        let ops = self.outside_transaction(ops);
        if let Some(error) = self.shared.poison() {
            self.failing = false;
            self.unsettled.drain(..).for_each(|settling| settling.refuse(&error));
            ops.into_iter().for_each(|op| op.refuse(&error));
            return;
        }
        let idle = ops.is_empty();
        let before = self.counters;
        let mut done = Done::default();
        let outcome = self.transact(ops, idle, &mut done, &mut failed_publishers);
        match outcome {
            Ok(()) => self.tell(done),
            Err(failed) => self.undo(&failed, before, done, failed_publishers),
        }
        self.checkpoint();
    }

    /// Does the ops that need no transaction; returns the others.
    fn outside_transaction(&mut self, ops: Vec<Op>) -> Vec<Op> {
        let mut rest = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Configure { topology, reply } => {
                    let configured = self.configure(topology).map_err(|failed| self.shared.note(&failed));
                    let _ = reply.send(configured);
                }
                Op::Find { id, reply } => {
                    let _ = reply.send(self.find(id).map_err(|failed| self.shared.note(&failed)));
                }
                Op::Sealed(sealed) => self.dedupe.seal(*sealed),
                Op::EmptyLog { reply } => {
                    let _ = reply.send(self.empty_log().map_err(|failed| self.shared.note(&failed)));
                }
                Op::FinishCheckpoint => self.checkpointer.rest_is_small(),
                Op::Poison(reason) => drop(self.shared.set_poisoned(&Failed::Disk(reason))),
                other => rest.push(other),
            }
        }
        rest
    }

    fn transact(&mut self, ops: Vec<Op>, idle: bool, done: &mut Done, left: &mut Vec<Op>) -> Result<(), Failed> {
        if let Err(failed) = self.begin() {
            left.extend(ops);
            return Err(failed);
        }
        // Whatever fails, nobody who is still in `todo` may go without an answer.
        let mut todo = VecDeque::from(ops);
        let worked = self.work(&mut todo, idle, done);
        left.extend(todo);
        worked?;
        self.store_cursors(idle)?;
        self.trail.write(&self.connection)?;
        self.dedupe.write_slice(&self.connection)?;
        self.connection.execute_batch("COMMIT").place("committing")
    }

    /// Adds entries to the audit trail; whoever asked is in `done` afterwards.
    fn note(&mut self, entries: Vec<audit::Entry>, reply: Reply<()>, done: &mut Done) -> Result<(), Failed> {
        done.noted.push(reply);
        entries.into_iter().try_for_each(|entry| self.trail.push(&self.connection, entry))
    }

    fn begin(&self) -> Result<(), Failed> {
        self.connection.execute_batch("BEGIN IMMEDIATE").place("beginning a transaction")
    }

    fn work(&mut self, todo: &mut VecDeque<Op>, idle: bool, done: &mut Done) -> Result<(), Failed> {
        let (before, reached) = (self.counters, self.late.reached());
        while let Some(settling) = self.unsettled.pop_front() {
            self.settle(settling, done)?;
        }
        while let Some(burying) = self.unburied.pop_front() {
            self.bury_damaged(burying, done)?;
        }
        while let Some(next) = todo.front() {
            if !matches!(next, Op::Publish(_)) {
                // Whatever else is done may look for them in the log.
                self.write_events(done)?;
            }
            if !matches!(next, Op::Publish(_) | Op::Settle { .. }) {
                // And in the lists.
                self.catch_up()?;
            }
            let Some(op) = todo.pop_front() else { break };
            match op {
                Op::Publish(publish) => self.publish(publish, done)?,
                Op::Settle { settlements, now, reply } => self.settle(Settling::new(settlements, now, reply), done)?,
                Op::Reject { rejection, reply } => self.reject(&rejection, reply, done)?,
                Op::Redrive { ids, by, reply } => self.redrive(&ids, &by, reply, done)?,
                Op::Discard { ids, by, reply } => self.discard(&ids, &by, reply, done)?,
                Op::Edit { id, copy, by, reply } => self.edit(id, copy.as_deref(), &by, reply, done)?,
                Op::Erase { piece, by, reply } => self.erase(*piece, &by, reply, done)?,
                Op::Review { review, reply } => self.review(review, reply, done)?,
                Op::Replay { piece, now, reply } => self.replay(*piece, now, reply, done)?,
                Op::TakeOver { moved, reply } => self.take_over(moved, reply, done)?,
                Op::Maintain { now, index, reply } => self.maintain(now, &index, reply, done)?,
                Op::Note { entries, reply } => self.note(entries, reply, done)?,
                Op::Remember { consumer, note, reply } => {
                    done.noted.push(reply);
                    notes::store(&self.connection, consumer, note.as_deref())?;
                }
                Op::Damaged { consumer, damages, now } => {
                    if let Some(burying) = Burying::new(&self.shared, consumer, damages, now) {
                        self.bury_damaged(burying, done)?;
                    }
                }
                other => other.refuse(&QueueError::Invalid("this is not done in a transaction".to_owned())),
            }
        }
        self.write_events(done)?;
        // Without room, what is owed comes first.
        let due = !self.failing && (self.late.is_due(self.counters.last_seq) || self.dedupe.is_full());
        if idle || due {
            self.catch_up()?;
        }
        // What is written late does not rewrite this row.
        let (last_seq, unmatched) = (before.last_seq, before.unmatched);
        if (Counters { last_seq, unmatched, ..self.counters }) != before || self.late.reached() != reached {
            self.store_counters()?;
        }
        Ok(())
    }

    /// The transaction is durable: tells everyone.
    fn tell(&mut self, done: Done) {
        self.commits += 1;
        self.trail.committed();
        self.late.committed();
        if std::mem::take(&mut self.failing) {
            tracing::info!("commits work again");
        }
        self.shared.last.store(self.counters.last_seq, Ordering::Release);
        self.show_counts();
        for (reply, answers) in done.published {
            let _ = reply.send(Ok(answers));
        }
        if let Some((number, table)) = self.dedupe.committed() {
            self.sort(number, table);
        }
        self.tell_consumers(&done.committed);
        done.settled.into_iter().for_each(Settling::finish);
        for (reply, id, new) in done.rejected {
            self.shared.counts.dead_letters.fetch_add(new, Ordering::Relaxed);
            let _ = reply.send(Ok(id));
        }
        done.redriven.into_iter().for_each(|redriving| redriving.finish(&self.shared));
        done.replayed.into_iter().for_each(replay::Replaying::finish);
        done.taken_over.into_iter().for_each(moved::TakingOver::finish);
        for (reply, letters) in done.discarded {
            letters.iter().for_each(|letter| self.shared.forget_dead(letter));
            let _ = reply.send(Ok(letters));
        }
        done.reviewed.finish();
        done.erased.into_iter().for_each(|erasing| erasing.finish(&self.shared));
        done.buried.into_iter().for_each(|burying| burying.finish(&self.shared));
        done.noted.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
        self.tell_maintainers(done.maintained);
    }

    fn tell_consumers(&mut self, committed: &[Committed]) {
        if committed.is_empty() {
            return;
        }
        for consumer in self.shared.consumers.read().iter() {
            let mut state = consumer.state.lock();
            let wake = state.append(consumer.id, committed);
            self.cursors_dirty |= state.cursor.is_dirty();
            drop(state);
            if wake {
                consumer.changed.notify_one();
            }
        }
    }

    /// Lets the checkpointer work; finishes for it when little is left, or when the log has grown too long.
    fn checkpoint(&mut self) {
        if !self.checkpointer.poll() {
            return;
        }
        match self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE).place("checkpointing") {
            Ok((_, copied)) => self.checkpointer.finished(copied),
            // The log keeps everything until the same checkpoint is tried again.
            Err(failed) if !failed.is_fatal() => {
                tracing::warn!(error = %failed, "a checkpoint has to wait");
                self.checkpointer.put_off();
            }
            Err(failed) => drop(self.shared.set_poisoned(&failed)),
        }
    }

    fn close(mut self) -> Result<(), QueueError> {
        if let Some(error) = self.shared.poison() {
            return Err(error);
        }
        self.turn(Vec::new());
        self.checkpointer.stop();
        // Copies everything into the database and empties the write-ahead log, so that the next start is quick.
        let _ = self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE);
        let error = QueueError::Closed;
        self.unsettled.drain(..).for_each(|settling| settling.refuse(&error));
        self.shared.poison().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
