//! Settling leases, inside a transaction.

use std::sync::Arc;

use event::Timestamp;
use queue::{Attempts, By, ConsumerId, DeadLetter, DeadLetterId, Failure, Outcome, QueueError, Seq, Settle, trail};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::{Done, Writer};
use crate::consumer::{Advance, Consumer, conversation_key};
use crate::dead_letters::{self, NewDeadLetter};
use crate::failure::{Failed, Place};
use crate::inbox::Reply;
use crate::log;
use crate::rows::{RETRIES, maybe, text};
use crate::shared::Shared;
use crate::trail::Trail;

/// The settlements of one call. Kept whole until their transaction is durable, however often that is tried.
pub(super) struct Settling {
    settlements: Vec<Settle>,
    now: Timestamp,
    reply: Reply<()>,
    /// Which settlements were still held by their lease, found out at the first try.
    held: Option<Vec<Option<Arc<Consumer>>>>,
    /// The dead letters that it makes, for the conversations that may have to wait for them.
    died: Vec<(Arc<Consumer>, Died)>,
}

/// An event with a conversation that became a dead letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Died {
    conversation: u64,
    seq: u64,
    first: u64,
}

impl Died {
    pub(super) fn new(conversation: u64, seq: u64, first: u64) -> Self {
        Self { conversation, seq, first }
    }

    /// It is durable: what comes behind it may have to wait.
    pub(super) fn mark(self, consumer: &Consumer) {
        consumer.state.lock().window.mark(self.conversation, self.seq, self.first, true);
    }
}

impl Settling {
    pub(super) fn new(settlements: Vec<Settle>, now: Timestamp, reply: Reply<()>) -> Self {
        Self { settlements, now, reply, held: None, died: Vec::new() }
    }

    /// Checks each lease once, and keeps it from ending while its settlement is on its way.
    pub(super) fn hold(&mut self, shared: &Shared) {
        if self.held.is_some() {
            return;
        }
        let begin = |settle: &Settle| {
            let consumer = shared.consumer(settle.token.consumer).ok()?;
            let held = consumer.state.lock().window.begin_settle(settle.token);
            held.then_some(consumer)
        };
        self.held = Some(self.settlements.iter().map(begin).collect());
    }

    /// What was answered to a delivery whose event was erased meanwhile is not kept, and it is not tried again.
    fn forget_erased(&mut self, connection: &Connection) -> Result<(), Failed> {
        for settle in &mut self.settlements {
            if matches!(settle.outcome, Outcome::Retry { .. } | Outcome::Dead { .. })
                && log::is_erased(connection, settle.token.seq.0)?
            {
                settle.outcome = Outcome::Done;
            }
        }
        Ok(())
    }

    fn held(&self) -> impl Iterator<Item = (&Settle, &Arc<Consumer>)> {
        let held = self.held.as_deref().unwrap_or_default();
        self.settlements.iter().zip(held).filter_map(|(settle, consumer)| Some((settle, consumer.as_ref()?)))
    }

    /// The settlements are durable: lets the conversations go on.
    pub(super) fn finish(self) {
        self.died.iter().for_each(|(consumer, died)| died.mark(consumer));
        for (settle, consumer) in self.held() {
            let advance = match &settle.outcome {
                Outcome::Done | Outcome::Delivered(_) | Outcome::PutAside(_) | Outcome::Dead { .. } => Advance::Next,
                Outcome::Retry { at, attempts, .. } => Advance::Retry(*at, *attempts),
                Outcome::Release => Advance::Again,
            };
            consumer.state.lock().window.finish_settle(settle.token.seq.0, advance);
            consumer.changed.notify_one();
        }
        let _ = self.reply.send(Ok(()));
    }

    pub(super) fn refuse(self, error: &QueueError) {
        let _ = self.reply.send(Err(error.clone()));
    }
}

impl Writer {
    /// Drops dead letters; whoever asked is in `done` afterwards.
    pub(super) fn discard(
        &mut self,
        ids: &[DeadLetterId],
        by: &By,
        reply: Reply<Vec<DeadLetter>>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let mut gone = Vec::new();
        let discarded = ids.iter().try_for_each(|id| {
            let letter = dead_letters::discard(&self.connection, *id, self.counters.floor)?;
            if let Some(letter) = letter {
                self.trail.push(&self.connection, trail::discarded(&letter, by))?;
                gone.push(letter);
            }
            Ok(())
        });
        done.discarded.push((reply, gone));
        discarded
    }

    /// Settles; `settling` is in `done` afterwards whatever happens, so that it is told or tried again.
    pub(super) fn settle(&mut self, mut settling: Settling, done: &mut Done) -> Result<(), Failed> {
        settling.hold(&self.shared);
        if let Err(failed) = settling.forget_erased(&self.connection) {
            done.settled.push(settling);
            return Err(failed);
        }
        let (connection, trail) = (&self.connection, &mut self.trail);
        let mut died = Vec::new();
        let settled = settling.held().try_for_each(|(settle, consumer)| {
            let dead = settle_one(connection, trail, settle, consumer, settling.now)?;
            died.extend(dead.map(|dead| (Arc::clone(consumer), dead)));
            Ok(())
        });
        settling.died = died;
        done.settled.push(settling);
        settled
    }
}

/// Settles one; returns what others may have to wait for, if it became a dead letter.
fn settle_one(
    connection: &Connection,
    trail: &mut Trail,
    settle: &Settle,
    consumer: &Consumer,
    now: Timestamp,
) -> Result<Option<Died>, Failed> {
    let (id, seq) = (settle.token.consumer, settle.token.seq.0);
    if let Some(entry) = trail::attempted(settle.token.seq, &consumer.name, &settle.outcome, now) {
        trail.push(connection, entry)?;
    }
    match &settle.outcome {
        Outcome::Release => Ok(None),
        Outcome::Retry { at, attempts, failure } => {
            store_retry(connection, id, seq, *at, attempts, failure).map(|()| None)
        }
        Outcome::Done | Outcome::Delivered(_) | Outcome::PutAside(_) => {
            let aside = matches!(settle.outcome, Outcome::PutAside(_));
            remove_retry(connection, consumer, id, seq)?;
            let mut state = consumer.state.lock();
            if !state.cursor.is_settled(seq) {
                state.cursor.settle(seq);
                state.delivered += u64::from(!aside);
                state.put_aside += u64::from(aside);
            }
            state.delivered_dirty = true;
            state.put_aside_dirty |= aside;
            Ok(None)
        }
        Outcome::Dead { attempts, failure } => {
            remove_retry(connection, consumer, id, seq)?;
            let died = bury(connection, trail, consumer, seq, attempts, failure, now)?;
            let mut state = consumer.state.lock();
            if !state.cursor.is_settled(seq) {
                state.cursor.settle(seq);
                // In the same moment, so that nobody sees a delivery that is neither unsettled nor dead.
                consumer.count_dead(1);
            }
            state.delivered_dirty = true;
            Ok(died)
        }
    }
}

/// Makes a dead letter of a delivery; returns what others may have to wait for.
pub(super) fn bury(
    connection: &Connection,
    trail: &mut Trail,
    consumer: &Consumer,
    seq: u64,
    attempts: &Attempts,
    failure: &Failure,
    now: Timestamp,
) -> Result<Option<Died>, Failed> {
    let stored = match log::read_one(connection, seq)? {
        Some(Ok(stored)) => Some(stored),
        // Damaged or missing: what is known is kept, and the failure says what happened.
        Some(Err(_)) | None => None,
    };
    let event = stored.as_ref().map(|stored| &stored.event);
    let letter = NewDeadLetter::of_delivery(consumer.id, seq, event, *attempts, failure, now);
    let id = dead_letters::insert(connection, &letter)?;
    trail.push(connection, trail::died(id, Seq(seq), &consumer.name, failure, now))?;
    let conversation = event.and_then(|event| event.conversation.as_deref()).map(conversation_key);
    Ok(conversation.zip(stored.as_ref()).map(|(conversation, stored)| Died {
        conversation,
        seq,
        first: stored.first_seq().0,
    }))
}

pub(super) fn store_retry(
    connection: &Connection,
    id: ConsumerId,
    seq: u64,
    due: Timestamp,
    attempts: &Attempts,
    failure: &Failure,
) -> Result<(), Failed> {
    let sql = "INSERT OR REPLACE INTO retries (destination, seq, due, made, charged, first, last, failure, crc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let failure = dead_letters::failure_json(failure);
    let row = [
        ValueRef::Integer(id.0.into()),
        ValueRef::Integer(log::place(seq)),
        ValueRef::Integer(due.as_millis()),
        ValueRef::Integer(attempts.made.into()),
        ValueRef::Integer(attempts.charged.into()),
        maybe(attempts.first.map(Timestamp::as_millis)),
        maybe(attempts.last.map(Timestamp::as_millis)),
        text(&failure),
    ];
    RETRIES.execute(connection, sql, &row, "storing a retry")
}

/// Removes the row of a delivery that had failed before; most never did.
fn remove_retry(connection: &Connection, consumer: &Consumer, id: ConsumerId, seq: u64) -> Result<(), Failed> {
    if !consumer.state.lock().window.has_retried(seq) {
        return Ok(());
    }
    let mut delete = connection
        .prepare_cached("DELETE FROM retries WHERE destination = ?1 AND seq = ?2")
        .place("removing a retry")?;
    delete.execute(params![id.0, log::place(seq)]).place("removing a retry")?;
    Ok(())
}
