//! Upkeep: dropping what is older than retention or the dedupe window, a bounded piece at a time.
//!
//! An event that is still undelivered at the end of its retention becomes a dead letter in the same transaction that
//! would drop it, and a dead letter keeps its event in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use queue::{Attempts, ConsumerId, Failure, Maintained};
use rusqlite::params;

use super::settle::{Died, bury};
use super::{Done, Writer};
use crate::consumer::{Consumer, Placed};
use crate::failure::{Failed, Place};
use crate::inbox::Reply;
use crate::log::{self, place};
use crate::options::DROP_EVENTS;
use crate::trail_index;

/// What one piece of upkeep has done, if its transaction commits.
#[derive(Default)]
pub(super) struct Upkeep {
    maintained: Maintained,
    now: Timestamp,
    /// Events up to here are gone.
    dropped_through: Option<u64>,
    /// The run of identities that is gone.
    dropped_run: Option<i64>,
    /// Dead letters made, by destination.
    expired: Vec<(Arc<Consumer>, Vec<Option<Died>>)>,
}

impl Writer {
    /// Does one piece of upkeep. No old event can be leased from here until [`Self::open_windows`].
    pub(super) fn maintain(
        &mut self,
        now: Timestamp,
        index: &[trail_index::Run],
        reply: Reply<Maintained>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let mut upkeep = Upkeep { now, ..Upkeep::default() };
        let outcome = self.drop_old(&mut upkeep).and_then(|()| trail_index::store(&self.connection, index));
        upkeep.maintained.more |= trail_index::may_be_more(index);
        done.maintained.push((reply, upkeep));
        outcome
    }

    fn drop_old(&mut self, upkeep: &mut Upkeep) -> Result<(), Failed> {
        if let Some((run, identities)) = self.dedupe.drop_expired(&self.connection, upkeep.now)? {
            upkeep.dropped_run = Some(run);
            upkeep.maintained.identities_dropped = identities;
        }
        let cutoff = upkeep.now.minus(self.retention.audit);
        let more = self.trail.drop_old(&self.connection, cutoff, upkeep.now)?;
        upkeep.maintained.more = more;
        if self.shared.routing().is_none() {
            // Who still wants an event is not known before the first configuration.
            upkeep.maintained.more |= upkeep.dropped_run.is_some();
            return Ok(());
        }
        let keep_from = self.shared.keep_from.load(Ordering::Acquire);
        let (floor, last) = (self.counters.floor, self.last_expired(upkeep.now)?.min(keep_from - 1));
        let last = if last >= floor { self.close_windows(last, upkeep.now) } else { last };
        if last >= floor {
            self.expire_deliveries(last, upkeep)?;
            self.drop_events(floor, last, upkeep)?;
            self.counters.floor = last + 1;
            upkeep.dropped_through = Some(last);
        }
        upkeep.maintained.more |= upkeep.dropped_run.is_some() || last + 1 >= floor + DROP_EVENTS;
        Ok(())
    }

    /// The last place of the next piece that is older than retention; below the floor if there is none.
    fn last_expired(&self, now: Timestamp) -> Result<u64, Failed> {
        let cutoff = now.minus(self.retention.events).as_millis();
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

    /// Keeps every destination from leasing what is about to go; stops before an event that is being delivered.
    fn close_windows(&self, last: u64, now: Timestamp) -> u64 {
        let (consumers, times) = (self.shared.consumers.read(), self.shared.times);
        consumers.iter().fold(last, |last, consumer| consumer.state.lock().window.close_through(last, now, times))
    }

    /// Lets destinations lease again, whether the upkeep is durable or undone.
    pub(super) fn open_windows(&self) {
        self.shared.consumers.read().iter().for_each(|consumer| consumer.state.lock().window.open());
        self.shared.wake_all();
    }

    fn expire_deliveries(&mut self, last: u64, upkeep: &mut Upkeep) -> Result<(), Failed> {
        let consumers = self.shared.consumers.read().clone();
        for consumer in &consumers {
            let (unsettled, placed) = {
                let state = consumer.state.lock();
                let mut unsettled = Vec::new();
                // What is below the floor went while this destination was left out.
                let mut seq = state.cursor.next_unsettled(self.counters.floor - 1);
                while seq <= last {
                    unsettled.push(seq);
                    seq = state.cursor.next_unsettled(seq);
                }
                (unsettled, state.placed.clone())
            };
            let mut expired = Vec::new();
            for seq in unsettled {
                let attempts = self.stored_attempts(consumer.id, seq)?;
                if self.is_wanted(consumer.id, seq, placed.as_ref(), attempts.is_some())? {
                    let attempts = attempts.unwrap_or_default();
                    let failure = Failure::expired();
                    let (connection, trail) = (&self.connection, &mut self.trail);
                    expired.push(bury(connection, trail, consumer, seq, &attempts, &failure, upkeep.now)?);
                }
            }
            self.connection
                .execute(
                    "DELETE FROM retries WHERE destination = ?1 AND seq <= ?2",
                    params![consumer.id.0, place(last)],
                )
                .place("dropping old retries")?;
            upkeep.maintained.expired += expired.len() as u64;
            upkeep.expired.push((Arc::clone(consumer), expired));
        }
        Ok(())
    }

    /// Whether an unsettled event is for this destination. Of one that is left out of the configuration only those are
    /// known that have been tried.
    fn is_wanted(&self, id: ConsumerId, seq: u64, placed: Option<&Placed>, tried: bool) -> Result<bool, Failed> {
        let Some(placed) = placed else {
            return Ok(tried);
        };
        Ok(match log::read_one(&self.connection, seq)? {
            Some(Ok(stored)) => placed.route(id, &stored).is_some(),
            // Damaged or missing: nobody can say, so nobody may overlook it.
            Some(Err(_)) | None => true,
        })
    }

    fn stored_attempts(&self, id: ConsumerId, seq: u64) -> Result<Option<Attempts>, Failed> {
        let sql = "SELECT made, charged, first, last FROM retries WHERE destination = ?1 AND seq = ?2";
        let mut select = self.connection.prepare_cached(sql).place("reading a retry")?;
        let mut rows = select.query(params![id.0, place(seq)]).place("reading a retry")?;
        let Some(row) = rows.next().place("reading a retry")? else {
            return Ok(None);
        };
        let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
        let read = || Ok(Attempts { made: row.get(0)?, charged: row.get(1)?, first: time(2)?, last: time(3)? });
        read().map(Some).place("reading a retry")
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

    /// Answers whoever asked for upkeep that is durable now.
    pub(super) fn tell_maintainers(&mut self, maintained: Vec<(Reply<Maintained>, Upkeep)>) {
        if maintained.is_empty() {
            return;
        }
        let told: Vec<_> = maintained.into_iter().map(|(reply, upkeep)| (reply, self.finish_upkeep(upkeep))).collect();
        self.open_windows();
        self.show_counts();
        for (reply, maintained) in told {
            let _ = reply.send(Ok(maintained));
        }
    }

    /// The piece is durable: what is in memory follows.
    fn finish_upkeep(&mut self, upkeep: Upkeep) -> Maintained {
        if let Some(run) = upkeep.dropped_run {
            self.dedupe.dropped(run);
        }
        for (consumer, expired) in &upkeep.expired {
            consumer.count_dead(expired.len() as u64);
            expired.iter().flatten().for_each(|died| died.mark(consumer));
        }
        if let Some(last) = upkeep.dropped_through {
            self.shared.consumers.read().iter().for_each(|consumer| consumer.state.lock().drop_through(last));
            self.cursors_dirty = true;
        }
        upkeep.maintained
    }
}
