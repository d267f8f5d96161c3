//! The writer thread: the only one that changes the database. Each turn of its loop is one transaction, one sync, and
//! then the answers to everyone whose work was in it.
//!
//! What a crash leaves behind: the last commit, whole. Nothing is answered before its commit is synced.
//!
//! When a transaction fails for want of room, publishers are told so, while settlements are kept and go into the next
//! transaction, so that a full disk does not make finished deliveries happen twice. A failed sync stops the queue.

mod configure;
mod publish;
mod settle;
mod upkeep;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::{Maintained, QueueError};
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use self::publish::Appended;
use self::settle::Settling;
use crate::checkpoint::Checkpointer;
use crate::consumer::{Committed, Consumer};
use crate::dedupe::{self, Dedupe};
use crate::failure::{Failed, Place};
use crate::inbox::{Op, Reply};
use crate::log;
use crate::options::{CHECKPOINT_HARD_PAGES, CURSOR_FLUSH_COMMITS, FULL_PAUSE, IDLE_FLUSH};
use crate::shared::Shared;

/// The writer's state between transactions.
pub(crate) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    dedupe: Dedupe,
    /// As of the last commit.
    counters: Counters,
    retention: Duration,
    checkpointer: Checkpointer,
    /// Settlements whose transaction was undone.
    unsettled: VecDeque<Settling>,
    commits: u64,
    /// A cursor has moved that is not stored yet.
    cursors_dirty: bool,
}

/// The numbers of the `state` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) last_seq: u64,
    /// The first place whose event may still be in the log.
    pub(crate) floor: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) unmatched: u64,
}

/// What one transaction has done, to be told once it is durable.
#[derive(Default)]
struct Done {
    published: Vec<(Reply<Vec<queue::Published>>, Vec<queue::Published>)>,
    committed: Vec<Committed>,
    settled: Vec<Settling>,
    rejected: Vec<(Reply<queue::DeadLetterId>, queue::DeadLetterId, u64)>,
    maintained: Vec<(Reply<Maintained>, upkeep::Upkeep)>,
    /// Places that were found damaged, with the destination they were read for.
    damaged: Vec<(Arc<Consumer>, u64)>,
}

impl Writer {
    pub(crate) fn new(
        mut connection: Connection,
        shared: Arc<Shared>,
        dedupe: Dedupe,
        counters: Counters,
        retention: Duration,
        checkpointer: Checkpointer,
    ) -> Result<Self, Failed> {
        let pages = checkpointer.pages();
        let hook = move |_: &mut Wal, count: i32| {
            pages.store(count.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).place("watching the write-ahead log")?;
        let unsettled = VecDeque::new();
        let writer = Self {
            connection,
            shared,
            dedupe,
            counters,
            retention,
            checkpointer,
            unsettled,
            commits: 0,
            cursors_dirty: false,
        };
        writer.show_counts();
        Ok(writer)
    }

    /// Works until the queue is closed.
    pub(crate) fn run(mut self) {
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
        if self.shared.poison().is_some() {
            None
        } else if !self.unsettled.is_empty() {
            Some(FULL_PAUSE)
        } else if self.dedupe.is_sealing() {
            Some(Duration::ZERO)
        } else {
            self.cursors_dirty.then_some(IDLE_FLUSH)
        }
    }

    /// One transaction for all of `ops`, and the answers.
    fn turn(&mut self, ops: Vec<Op>) {
        let mut failed_publishers = Vec::new();
        let ops = self.outside_transaction(ops);
        if let Some(error) = self.shared.poison() {
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
                Op::Configure { consumers, reply } => {
                    let configured = self.configure(&consumers).map_err(|failed| self.shared.note(&failed));
                    let _ = reply.send(configured);
                }
                Op::Find { id, reply } => {
                    let _ = reply.send(self.find(id).map_err(|failed| self.shared.note(&failed)));
                }
                Op::Sealed(sealed) => self.dedupe.seal(*sealed),
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
        let worked = self.work(&mut todo, done);
        left.extend(todo);
        worked?;
        self.store_cursors(idle)?;
        self.dedupe.write(&self.connection)?;
        self.connection.execute_batch("COMMIT").place("committing")
    }

    fn begin(&self) -> Result<(), Failed> {
        self.connection.execute_batch("BEGIN IMMEDIATE").place("beginning a transaction")
    }

    fn work(&mut self, todo: &mut VecDeque<Op>, done: &mut Done) -> Result<(), Failed> {
        let before = self.counters;
        while let Some(settling) = self.unsettled.pop_front() {
            self.settle(settling, done)?;
        }
        while let Some(op) = todo.pop_front() {
            match op {
                Op::Publish(publish) => self.publish(publish, done)?,
                Op::Settle { settlements, now, reply } => self.settle(Settling::new(settlements, now, reply), done)?,
                Op::Reject { rejection, reply } => self.reject(&rejection, reply, done)?,
                Op::Maintain { now, reply } => self.maintain(now, reply, done)?,
                Op::Damaged { consumer, damages, now } => self.bury_damaged(consumer, &damages, now, done)?,
                other => other.refuse(&QueueError::Invalid("this is not done in a transaction".to_owned())),
            }
        }
        // The last place can be read from the log itself, so appending alone does not rewrite this row.
        if (Counters { last_seq: before.last_seq, ..self.counters }) != before {
            self.store_counters()?;
        }
        Ok(())
    }

    /// The transaction is durable: tells everyone.
    fn tell(&mut self, done: Done) {
        self.commits += 1;
        self.shared.last.store(self.counters.last_seq, Ordering::Release);
        self.show_counts();
        for (reply, answers) in done.published {
            let _ = reply.send(Ok(answers));
        }
        if let Some((number, table)) = self.dedupe.committed() {
            let shared = Arc::clone(&self.shared);
            std::thread::spawn(move || {
                let sealed = dedupe::sort(number, &table);
                // Fails only when the queue is closed; the identities are still in their log then.
                let _ = shared.inbox.submit(Op::Sealed(Box::new(sealed)));
            });
        }
        self.tell_consumers(&done.committed);
        done.settled.into_iter().for_each(Settling::finish);
        for (reply, id, new) in done.rejected {
            self.shared.counts.dead_letters.fetch_add(new, Ordering::Relaxed);
            let _ = reply.send(Ok(id));
        }
        for (consumer, seq) in done.damaged {
            consumer.count_dead(1);
            consumer.state.lock().cursor.settle(seq);
            self.shared.counts.damaged.fetch_add(1, Ordering::Relaxed);
        }
        for (reply, upkeep) in done.maintained {
            let maintained = self.finish_upkeep(upkeep);
            self.show_counts();
            let _ = reply.send(Ok(maintained));
        }
    }

    fn tell_consumers(&mut self, committed: &[Committed]) {
        if committed.is_empty() {
            return;
        }
        for consumer in self.shared.consumers.read().iter() {
            let mut state = consumer.state.lock();
            let wake = state.append(committed);
            self.cursors_dirty |= state.cursor.is_dirty();
            drop(state);
            if wake {
                consumer.changed.notify_one();
            }
        }
    }

    /// The transaction failed: puts everything back as it was after the last commit.
    fn undo(&mut self, failed: &Failed, before: Counters, done: Done, left: Vec<Op>) {
        let rolled_back = self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        self.dedupe.rolled_back();
        self.counters = before;
        let error = self.shared.note(failed);
        if !rolled_back {
            self.shared
                .set_poisoned(&Failed::Disk(format!("undoing a failed transaction failed too, after: {failed}")));
        }
        if !failed.is_fatal() {
            tracing::warn!(%error, "a commit failed and was undone; publishers are asked to try again");
        }
        self.cursors_dirty = true;
        for consumer in self.shared.consumers.read().iter() {
            let mut state = consumer.state.lock();
            state.cursor.store_again();
            state.delivered_dirty = true;
        }
        self.unsettled.extend(done.settled);
        done.published.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        done.rejected.into_iter().for_each(|(reply, ..)| drop(reply.send(Err(error.clone()))));
        done.maintained.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        for op in left {
            match op {
                Op::Settle { settlements, now, reply } => {
                    self.unsettled.push_back(Settling::new(settlements, now, reply));
                }
                other => other.refuse(&error),
            }
        }
    }

    /// Stores the cursors that have moved: of those that settled something now, or of all once in a while.
    fn store_cursors(&mut self, idle: bool) -> Result<(), Failed> {
        let all = idle || self.commits.is_multiple_of(CURSOR_FLUSH_COMMITS);
        for consumer in self.shared.consumers.read().iter() {
            store_cursor(&self.connection, consumer, all)?;
        }
        if all {
            self.cursors_dirty = false;
        }
        Ok(())
    }

    fn show_counts(&self) {
        let counts = &self.shared.counts;
        counts.duplicates.store(self.counters.duplicates, Ordering::Relaxed);
        counts.conflicts.store(self.counters.conflicts, Ordering::Relaxed);
        counts.unmatched.store(self.counters.unmatched, Ordering::Relaxed);
        counts.floor.store(self.counters.floor, Ordering::Relaxed);
        counts.identities.store(self.dedupe.len(), Ordering::Relaxed);
    }

    /// Lets the checkpointer work; finishes for it when little is left, or when the log has grown too long.
    fn checkpoint(&mut self) {
        let pages = self.checkpointer.poll();
        if !self.checkpointer.take_rest() && pages < CHECKPOINT_HARD_PAGES {
            return;
        }
        match self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE).place("checkpointing") {
            Ok((_, copied)) => self.checkpointer.finished(copied),
            // Room is found again by the same checkpoint later; the log keeps everything until then.
            Err(failed) if !failed.is_fatal() => {
                tracing::warn!(error = %failed, "a checkpoint has to wait")
            }
            Err(failed) => drop(self.shared.set_poisoned(&failed)),
        }
    }

    fn find(&self, id: event::EventId) -> Result<Option<queue::Stored>, Failed> {
        let known = self.dedupe.find(&self.connection, id, event::Timestamp::default())?;
        let found = match known {
            Some(entry) => log::read_one(&self.connection, entry.seq)?,
            None => log::find(&self.connection, id)?,
        };
        match found {
            Some(Err(damage)) => {
                Err(Failed::Damaged(format!("event {}: {}; run `aftercall check`", damage.seq, damage.what)))
            }
            Some(Ok(stored)) => Ok(Some(stored)),
            None => Ok(None),
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

fn store_cursor(connection: &Connection, consumer: &Consumer, all: bool) -> Result<(), Failed> {
    let mut state = consumer.state.lock();
    if !(state.delivered_dirty || all && state.cursor.is_dirty()) {
        return Ok(());
    }
    let id = i64::from(consumer.id.0);
    let mut update = connection
        .prepare_cached("UPDATE destinations SET watermark = ?2, delivered = ?3 WHERE id = ?1")
        .place("storing a cursor")?;
    update
        .execute([id, log::place(state.cursor.watermark()), log::place(state.delivered)])
        .place("storing a cursor")?;
    for (chunk, bytes) in state.cursor.dirty_chunks() {
        let chunk = log::place(chunk);
        match bytes {
            Some(bytes) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO cursor_chunks (destination, chunk, settled) VALUES (?1, ?2, ?3)",
                )
                .and_then(|mut insert| insert.execute(rusqlite::params![id, chunk, bytes])),
            None => connection
                .prepare_cached("DELETE FROM cursor_chunks WHERE destination = ?1 AND chunk = ?2")
                .and_then(|mut delete| delete.execute([id, chunk])),
        }
        .place("storing a cursor")?;
    }
    state.delivered_dirty = false;
    state.cursor.stored();
    Ok(())
}

impl Counters {
    pub(crate) fn load(connection: &Connection) -> Result<Self, Failed> {
        let sql =
            "SELECT max(last_seq, (SELECT coalesce(max(seq), 0) FROM events)), floor, duplicates, conflicts, unmatched
                   FROM state";
        connection
            .query_row(sql, [], |row| {
                let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
                Ok(Self {
                    last_seq: number(0)?,
                    floor: number(1)?,
                    duplicates: number(2)?,
                    conflicts: number(3)?,
                    unmatched: number(4)?,
                })
            })
            .place("reading the counters")
    }
}

impl Writer {
    fn store_counters(&self) -> Result<(), Failed> {
        let Counters { last_seq, floor, duplicates, conflicts, unmatched } = self.counters;
        let mut update = self
            .connection
            .prepare_cached(
                "UPDATE state SET last_seq = ?1, floor = ?2, duplicates = ?3, conflicts = ?4, unmatched = ?5",
            )
            .place("storing the counters")?;
        update
            .execute([last_seq, floor, duplicates, conflicts, unmatched].map(log::place))
            .place("storing the counters")?;
        Ok(())
    }

    fn append(&mut self, appended: Appended, done: &mut Done) -> Result<u64, Failed> {
        let Appended { event, body_hash, routes } = appended;
        let seq = self.counters.last_seq + 1;
        let entry = dedupe::Entry::new(event.id, seq, event.received, body_hash);
        let stored = queue::Stored { seq: queue::Seq(seq), event };
        log::append(&self.connection, &stored)?;
        self.counters.last_seq = seq;
        self.dedupe.add(entry);
        if routes.is_empty() {
            self.counters.unmatched += 1;
            let mut insert =
                self.connection.prepare_cached("INSERT INTO unmatched (seq) VALUES (?1)").place("noting an event")?;
            insert.execute([log::place(seq)]).place("noting an event")?;
        }
        done.committed.push(Committed { stored: Arc::new(stored), routes });
        Ok(seq)
    }
}
