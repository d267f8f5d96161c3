//! Erasing a piece of a conversation, inside a transaction.

use std::sync::atomic::Ordering;

use event::Event;
use queue::{By, DeadLetter, QueueError, Stored, trail};
use rusqlite::params;

use super::{Done, Writer};
use crate::failure::{Failed, Place};
use crate::inbox::Reply;
use crate::shared::Shared;
use crate::{dead_letters, erase, log};

/// What one transaction has erased, if it commits.
pub(super) struct Erasing {
    reply: Reply<()>,
    places: Vec<u64>,
    gone: Vec<DeadLetter>,
}

impl Erasing {
    /// It is durable.
    pub(super) fn finish(self, shared: &Shared) {
        for consumer in shared.consumers.read().iter() {
            let mut state = consumer.state.lock();
            self.places.iter().for_each(|seq| state.window.cool(*seq));
        }
        self.gone.iter().for_each(|letter| shared.forget_dead(letter));
        let _ = self.reply.send(Ok(()));
    }

    pub(super) fn refuse(self, error: &QueueError) {
        let _ = self.reply.send(Err(error.clone()));
    }
}

impl Writer {
    /// Erases; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn erase(
        &mut self,
        piece: erase::Piece,
        by: &By,
        reply: Reply<()>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        // Whoever has read what is erased now, and would replay it, comes behind this.
        self.shared.erasures.fetch_add(1, Ordering::AcqRel);
        let mut gone = Vec::new();
        let erased = erase::overwriting(&self.connection, || self.erase_piece(&piece, by, &mut gone));
        let noted = gone.iter().map(|letter| trail::discarded(letter, by)).chain(erase::entry(&piece, by));
        let noted: Vec<_> = noted.collect();
        done.erased.push(Erasing { reply, places: piece.places, gone });
        erased?;
        noted.into_iter().try_for_each(|entry| self.trail.push(&self.connection, entry))
    }

    fn erase_piece(&self, piece: &erase::Piece, by: &By, gone: &mut Vec<DeadLetter>) -> Result<(), Failed> {
        const ERASING: &str = "erasing a conversation";
        for &id in &piece.letters {
            gone.extend(dead_letters::discard(&self.connection, id, self.counters.floor)?);
        }
        for &seq in &piece.places {
            match log::read_one(&self.connection, seq)? {
                Some(Ok(stored)) => {
                    let Stored { event, .. } = &stored;
                    let event = Event { body: bytes::Bytes::new(), ..event.clone() };
                    log::replace(&self.connection, &Stored { event, ..stored })?;
                }
                // Its checksum does not fit, and must not do so afterwards.
                Some(Err(_)) => {
                    let sql = "UPDATE events SET body = x'' WHERE seq = ?1";
                    self.connection.execute(sql, [log::place(seq)]).map(drop).place(ERASING)?;
                }
                None => {}
            }
            for consumer in self.shared.consumers.read().iter() {
                erase::blank_retries(&self.connection, consumer.id.0, seq)?;
            }
        }
        for block in &piece.blocks {
            let mut update = self
                .connection
                .prepare_cached("UPDATE audit SET entries = ?2 WHERE block = ?1 AND hash = ?3")
                .place(ERASING)?;
            let row = params![log::place(block.number), block.packed, block.hash.as_bytes()];
            update.execute(row).map(drop).place(ERASING)?;
        }
        tracing::info!(places = piece.places.len(), by = &*by.name, "bodies of a conversation were erased");
        Ok(())
    }

    /// Empties the write-ahead log; false if somebody is in the way, or the disk is full.
    pub(super) fn empty_log(&mut self) -> Result<bool, Failed> {
        let wait = |time| self.connection.busy_timeout(time).place("emptying the write-ahead log");
        wait(std::time::Duration::ZERO)?;
        let emptied = crate::schema::empty_log(&self.connection);
        wait(crate::schema::BUSY_TIMEOUT)?;
        match emptied {
            Ok(()) => {
                self.checkpointer.finished(i32::MAX);
                Ok(true)
            }
            Err(failed) if failed.is_fatal() => Err(failed),
            Err(_) => Ok(false),
        }
    }
}
