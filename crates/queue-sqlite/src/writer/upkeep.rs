//! Upkeep: dropping what is older than retention or the dedupe window, a bounded piece at a time.
//!
//! An event that is still undelivered at the end of its retention becomes a dead letter in the same transaction that
//! would drop it, and a dead letter keeps its event in the log.

use std::sync::Arc;

use event::Timestamp;
use queue::{Attempts, ConsumerId, Failure, FailureClass, Maintained, Stage};
use rusqlite::params;

use super::settle::bury;
use super::{Done, Writer};
use crate::consumer::Consumer;
use crate::failure::{Failed, Place};
use crate::inbox::Reply;
use crate::log::{self, Damage, place};
use crate::options::DROP_EVENTS;

/// What one piece of upkeep has done, if its transaction commits.
#[derive(Default)]
pub(super) struct Upkeep {
    maintained: Maintained,
    now: Timestamp,
    /// Events up to here are gone.
    dropped_through: Option<u64>,
    /// Dead letters made, by destination.
    expired: Vec<(Arc<Consumer>, u64)>,
}

impl Writer {
    pub(super) fn maintain(&mut self, now: Timestamp, reply: Reply<Maintained>, done: &mut Done) -> Result<(), Failed> {
        let mut upkeep = Upkeep { now, ..Upkeep::default() };
        let outcome = self.drop_old(&mut upkeep);
        done.maintained.push((reply, upkeep));
        outcome
    }

    fn drop_old(&mut self, upkeep: &mut Upkeep) -> Result<(), Failed> {
        upkeep.maintained.identities_dropped = self.dedupe.drop_expired(&self.connection, upkeep.now)?;
        let (floor, last) = (self.counters.floor, self.last_expired(upkeep.now)?);
        let last = self.before_first_lease(last, upkeep.now);
        if last >= floor {
            self.expire_deliveries(last, upkeep)?;
            self.drop_events(floor, last, upkeep)?;
            self.counters.floor = last + 1;
            upkeep.dropped_through = Some(last);
        }
        upkeep.maintained.more = upkeep.maintained.identities_dropped > 0 || last + 1 >= floor + DROP_EVENTS;
        Ok(())
    }

    /// The last place of the next piece that is older than retention; below the floor if there is none.
    fn last_expired(&self, now: Timestamp) -> Result<u64, Failed> {
        let cutoff = now.minus(self.retention).as_millis();
        let sql = "SELECT seq, received FROM events WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let mut select = self.connection.prepare_cached(sql).place("looking for old events")?;
        let floor = self.counters.floor;
        let mut rows = select.query([place(floor), place(DROP_EVENTS)]).place("looking for old events")?;
        let mut last = floor - 1;
        while let Some(row) = rows.next().place("looking for old events")? {
            let (seq, received): (i64, i64) = (row.get(0).place("an old event")?, row.get(1).place("an old event")?);
            if received >= cutoff {
                break;
            }
            last = seq.unsigned_abs();
        }
        Ok(last)
    }

    /// Stops before an event that is being delivered right now.
    fn before_first_lease(&self, last: u64, now: Timestamp) -> u64 {
        let consumers = self.shared.consumers.read();
        consumers.iter().fold(last, |last, consumer| {
            let mut state = consumer.state.lock();
            state.window.first_leased(now).map_or(last, |leased| last.min(leased - 1))
        })
    }

    fn expire_deliveries(&self, last: u64, upkeep: &mut Upkeep) -> Result<(), Failed> {
        let Some(routing) = self.shared.routing() else {
            return Ok(());
        };
        for consumer in self.shared.consumers.read().iter() {
            let (unsettled, place_now) = {
                let state = consumer.state.lock();
                let mut unsettled = Vec::new();
                let mut seq = state.cursor.next_unsettled(0);
                while seq <= last {
                    unsettled.push(seq);
                    seq = state.cursor.next_unsettled(seq);
                }
                (unsettled, state.place)
            };
            let Some(number) = place_now else { continue };
            let mut expired = 0;
            for seq in unsettled {
                let wanted = match log::read_one(&self.connection, seq)? {
                    Some(Ok(stored)) => routing.router.route(&stored.event).iter().any(|t| t.consumer == number),
                    Some(Err(_)) => true,
                    None => false,
                };
                if wanted {
                    let attempts = self.stored_attempts(consumer.id, seq)?;
                    bury(&self.connection, consumer.id, seq, &attempts, &Failure::expired(), upkeep.now)?;
                    expired += 1;
                }
            }
            self.connection
                .execute(
                    "DELETE FROM retries WHERE destination = ?1 AND seq <= ?2",
                    params![consumer.id.0, place(last)],
                )
                .place("dropping old retries")?;
            upkeep.maintained.expired += expired;
            upkeep.expired.push((Arc::clone(consumer), expired));
        }
        Ok(())
    }

    fn stored_attempts(&self, id: ConsumerId, seq: u64) -> Result<Attempts, Failed> {
        let sql = "SELECT made, charged, first, last FROM retries WHERE destination = ?1 AND seq = ?2";
        let mut select = self.connection.prepare_cached(sql).place("reading a retry")?;
        let mut rows = select.query(params![id.0, place(seq)]).place("reading a retry")?;
        let Some(row) = rows.next().place("reading a retry")? else {
            return Ok(Attempts::default());
        };
        let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
        let read = || Ok(Attempts { made: row.get(0)?, charged: row.get(1)?, first: time(2)?, last: time(3)? });
        read().place("reading a retry")
    }

    fn drop_events(&self, from: u64, to: u64, upkeep: &mut Upkeep) -> Result<(), Failed> {
        let range = [place(from), place(to)];
        let dropped = self
            .connection
            .execute(
                "DELETE FROM events WHERE seq BETWEEN ?1 AND ?2 AND seq NOT IN
                 (SELECT seq FROM dead_letters WHERE seq BETWEEN ?1 AND ?2)",
                range,
            )
            .place("dropping old events")?;
        self.connection
            .execute("DELETE FROM unmatched WHERE seq BETWEEN ?1 AND ?2", range)
            .place("dropping old events")?;
        upkeep.maintained.events_dropped = dropped as u64;
        Ok(())
    }

    /// The piece is durable: what is in memory follows.
    pub(super) fn finish_upkeep(&mut self, upkeep: Upkeep) -> Maintained {
        if upkeep.maintained.identities_dropped > 0 {
            self.dedupe.dropped(upkeep.now);
        }
        for (consumer, expired) in &upkeep.expired {
            consumer.count_dead(*expired);
        }
        if let Some(last) = upkeep.dropped_through {
            for (consumer, _) in &upkeep.expired {
                let mut state = consumer.state.lock();
                state.window.drop_through(last);
                state.cursor.settle_through(last);
                state.read_to = state.read_to.max(last);
                drop(state);
                consumer.changed.notify_one();
            }
            self.cursors_dirty = true;
        }
        upkeep.maintained
    }

    /// Makes dead letters of places whose events are missing or changed, so that nobody overlooks them.
    pub(super) fn bury_damaged(
        &self,
        id: ConsumerId,
        damages: &[Damage],
        now: Timestamp,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let Ok(consumer) = self.shared.consumer(id) else {
            return Ok(());
        };
        for damage in damages {
            if consumer.state.lock().cursor.is_settled(damage.seq) {
                continue;
            }
            bury(&self.connection, id, damage.seq, &Attempts::default(), &damage.failure(), now)?;
            done.damaged.push((Arc::clone(&consumer), damage.seq));
        }
        Ok(())
    }
}

impl Damage {
    /// As the failure of a delivery.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            stage: Stage::Queue,
            class: FailureClass::Permanent,
            status: None,
            message: format!("event {} is damaged on disk: {}", self.seq, self.what),
            excerpt: None,
            latency_ms: 0,
        }
    }
}
