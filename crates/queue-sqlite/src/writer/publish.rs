//! Publishing and rejecting, inside a transaction.

use std::sync::Arc;

use audit::Digest;
use event::{Event, EventId};
use queue::{Content, Published, Rejection, Routes, Seq, Stored, body_hash, conflict_id, trail};
use rusqlite::{OptionalExtension, params};
use smallvec::SmallVec;

use super::{Done, Writer};
use crate::consumer::Committed;
use crate::dead_letters::{self, NewDeadLetter};
use crate::dedupe::Entry;
use crate::failure::{Failed, Place};
use crate::inbox::{Prepared, Publish, Reply};
use crate::log;
use crate::shared::Routing;

/// An event that is about to be appended.
struct Appended {
    event: Event,
    body_hash: u64,
    digest: Digest,
    routes: Routes,
}

impl Writer {
    /// Appends the new events of one publication. On failure the caller undoes the whole transaction; the publisher is
    /// in `done` already, so it is told.
    pub(super) fn publish(&mut self, publish: Publish, done: &mut Done) -> Result<(), Failed> {
        let Publish { proof, events, content, routing, reply } = publish;
        let routing = self.newer_routing(routing);
        let mut answers = Vec::with_capacity(events.len());
        let mut failure = None;
        for mut prepared in events {
            if let Some(newer) = &routing {
                prepared.routes = newer.router.route(&prepared.event);
            }
            match self.publish_one(prepared, &proof, &content, done) {
                Ok(published) => answers.push(published),
                Err(failed) => {
                    failure = Some(failed);
                    break;
                }
            }
        }
        done.published.push((reply, answers));
        failure.map_or(Ok(()), Err)
    }

    /// The present router, if it is not the one that the events were routed with.
    fn newer_routing(&self, used: Option<Arc<Routing>>) -> Option<Arc<Routing>> {
        let present = self.shared.routing()?;
        let same = used.is_some_and(|used| Arc::ptr_eq(&used, &present));
        (!same).then_some(present)
    }

    fn publish_one(
        &mut self,
        prepared: Prepared,
        proof: &Arc<str>,
        content: &Content,
        done: &mut Done,
    ) -> Result<Published, Failed> {
        let Prepared { mut event, body_hash, digest, routes } = prepared;
        let id = event.id;
        let Some(first) = self.dedupe.find(&self.connection, id, event.received)? else {
            let seq = self.append(Appended { event, body_hash, digest, routes }, proof, done)?;
            return Ok(Published::Accepted { id, seq: Seq(seq) });
        };
        if first.has_body(body_hash) {
            return self.duplicate(id, &event, proof);
        }
        let new_content = content.of(&event.body);
        if self.has_content(first, new_content, content, done)? {
            return self.duplicate(id, &event, proof);
        }
        let conflict = conflict_id(id, new_content);
        if self.dedupe.find(&self.connection, conflict, event.received)?.is_some() {
            return self.duplicate(conflict, &event, proof);
        }
        event.id = conflict;
        event.conflict_of = Some(id);
        let seq = self.append(Appended { event, body_hash, digest, routes }, proof, done)?;
        self.counters.conflicts += 1;
        Ok(Published::Conflict { id: conflict, of: id, seq: Seq(seq) })
    }

    fn duplicate(&mut self, id: EventId, event: &Event, proof: &Arc<str>) -> Result<Published, Failed> {
        self.counters.duplicates += 1;
        self.trail.push(&self.connection, trail::duplicate(id, &event.source, proof, event.received))?;
        Ok(Published::Duplicate { id })
    }

    /// Appends an event, and makes its identity known. [`Writer::write_events`] puts it into the log.
    fn append(&mut self, appended: Appended, proof: &Arc<str>, done: &mut Done) -> Result<u64, Failed> {
        let Appended { event, body_hash, digest, routes } = appended;
        let seq = self.counters.last_seq + 1;
        let entry = Entry::new(event.id, seq, event.received, body_hash);
        let destinations = self.shared.names_of(&routes);
        self.trail.push(&self.connection, trail::received(Seq(seq), &event, digest, proof, destinations))?;
        let stored = Stored::new(Seq(seq), event);
        self.counters.last_seq = seq;
        self.dedupe.add(entry);
        if routes.is_empty() {
            self.counters.unmatched += 1;
            self.late.unmatched(seq);
        }
        done.committed.push(Committed { stored: Arc::new(stored), routes });
        Ok(seq)
    }

    /// Writes the events to the log that were appended since the last time: several with one statement.
    pub(super) fn write_events(&self, done: &mut Done) -> Result<(), Failed> {
        for some in done.committed[done.written..].chunks(log::APPEND_EVENTS) {
            let events: SmallVec<[&Stored; log::APPEND_EVENTS]> = some.iter().map(|one| &*one.stored).collect();
            log::append(&self.connection, &events)?;
        }
        done.written = done.committed.len();
        Ok(())
    }

    /// Whether a known event has this content. One that is erased or no longer in the log is taken to have it.
    fn has_content(&self, first: Entry, wanted: [u8; 16], content: &Content, done: &mut Done) -> Result<bool, Failed> {
        // The first may have come with the same commit.
        self.write_events(done)?;
        Ok(match log::read_one(&self.connection, first.seq())? {
            Some(Ok(stored)) => stored.event.is_erased() || content.of(&stored.event.body) == wanted,
            Some(Err(_)) => false,
            None => true,
        })
    }

    /// The place of the newest event with an id, as far as dedupe knows it.
    pub(super) fn find(&self, id: event::EventId) -> Result<Option<u64>, Failed> {
        let known = self.dedupe.find(&self.connection, id, event::Timestamp::default())?;
        Ok(known.map(|entry| entry.seq()))
    }

    pub(super) fn reject(
        &mut self,
        rejection: &Rejection,
        reply: Reply<queue::DeadLetterId>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        match self.reject_one(rejection) {
            Ok((id, new)) => {
                done.rejected.push((reply, id, new));
                Ok(())
            }
            Err(failed) => {
                // Undone by the caller, which answers whoever is in `done`.
                done.rejected.push((reply, queue::DeadLetterId(0), 0));
                Err(failed)
            }
        }
    }

    fn reject_one(&mut self, rejection: &Rejection) -> Result<(queue::DeadLetterId, u64), Failed> {
        let hash = i64::from_ne_bytes(body_hash(&rejection.body).to_ne_bytes());
        let since = rejection.received.minus(self.dedupe.window()).as_millis();
        let known = self
            .connection
            .prepare_cached("SELECT id FROM dead_letters WHERE body_hash = ?1 AND died > ?2 AND body = ?3 LIMIT 1")
            .and_then(|mut select| {
                select.query_row(params![hash, since, &*rejection.body], |row| row.get::<_, i64>(0)).optional()
            })
            .place("looking for a rejected body")?;
        if let Some(id) = known {
            return Ok((queue::DeadLetterId(id.unsigned_abs()), 0));
        }
        let letter = NewDeadLetter::rejected(rejection, hash);
        let id = dead_letters::insert(&self.connection, &letter)?;
        self.trail.push(&self.connection, trail::rejected(id, rejection))?;
        Ok((id, 1))
    }
}
