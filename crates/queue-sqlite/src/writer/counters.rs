//! The numbers of the whole queue: one row, stored when one of them has changed other than by appending.

use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::Writer;
use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::STATE;

const READING: &str = "reading the counters";
const STORING: &str = "storing the counters";

/// The numbers of the `state` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) last_seq: u64,
    /// The first place whose event may still be in the log.
    pub(crate) floor: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) unmatched: u64,
    /// Places of the log that hold an event again.
    pub(crate) redriven: u64,
    /// The same, of replays.
    pub(crate) replayed: u64,
}

impl Counters {
    /// The numbers, and up to which place what is written late is in them and in the tables.
    pub(crate) fn load(connection: &Connection) -> Result<(Self, u64), Failed> {
        let sql = format!("SELECT {}, (SELECT coalesce(max(seq), 0) FROM events) FROM state", STATE.selected(""));
        let mut select = connection.prepare(&sql).place(READING)?;
        let mut rows = select.query([]).place(READING)?;
        let row = rows.next().place(READING)?;
        let row = row.ok_or_else(|| {
            Failed::Damaged(format!("{READING}: the row of `state` is missing; run `aftercall check --repair`"))
        })?;
        STATE.check(row)?;
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs).place(READING);
        let through = number(1)?;
        let counters = Self {
            last_seq: through.max(number(9)?),
            floor: number(2)?,
            duplicates: number(3)?,
            conflicts: number(4)?,
            unmatched: number(5)?,
            redriven: number(6)?,
            replayed: number(7)?,
        };
        Ok((counters, through))
    }

    /// Stores the one row for the first time.
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Failed> {
        let columns = STATE.selected("");
        let sql = format!("INSERT OR REPLACE INTO state ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        STATE.execute(connection, &sql, &self.row(), STORING)
    }

    fn row(&self) -> [ValueRef<'static>; 8] {
        let Self { last_seq, floor, duplicates, conflicts, unmatched, redriven, replayed } = *self;
        [1, last_seq, floor, duplicates, conflicts, unmatched, redriven, replayed]
            .map(|number| ValueRef::Integer(place(number)))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { last_seq: 0, floor: 1, duplicates: 0, conflicts: 0, unmatched: 0, redriven: 0, replayed: 0 }
    }
}

impl Writer {
    /// Writes what is written late, up to the end of the log.
    pub(super) fn catch_up(&mut self) -> Result<(), Failed> {
        if !self.late.is_behind(self.counters.last_seq) {
            return Ok(());
        }
        self.dedupe.write(&self.connection)?;
        self.late.write(&self.connection, self.counters.last_seq)
    }

    /// Stores the numbers as they were when what is written late was written.
    pub(super) fn store_counters(&self) -> Result<(), Failed> {
        let unmatched = self.counters.unmatched.saturating_sub(self.late.unwritten());
        let stored = Counters { last_seq: self.late.reached(), unmatched, ..self.counters };
        let sql = "UPDATE state SET last_seq = ?2, floor = ?3, duplicates = ?4, conflicts = ?5, unmatched = ?6,
                       redriven = ?7, replayed = ?8, crc = ?9
                   WHERE one = ?1";
        STATE.execute(&self.connection, sql, &stored.row(), STORING)
    }

    pub(super) fn show_counts(&self) {
        let counts = &self.shared.counts;
        counts.duplicates.store(self.counters.duplicates, Ordering::Relaxed);
        counts.conflicts.store(self.counters.conflicts, Ordering::Relaxed);
        counts.unmatched.store(self.counters.unmatched, Ordering::Relaxed);
        counts.redriven.store(self.counters.redriven, Ordering::Relaxed);
        counts.replayed.store(self.counters.replayed, Ordering::Relaxed);
        counts.floor.store(self.counters.floor, Ordering::Relaxed);
        counts.identities.store(self.dedupe.len(), Ordering::Relaxed);
    }
}
