//! The numbers of the whole queue: one row, stored when one of them has changed other than by appending.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::Writer;
use crate::failure::{Failed, Place};
use crate::log::place;

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
    pub(super) fn store_counters(&self) -> Result<(), Failed> {
        let Counters { last_seq, floor, duplicates, conflicts, unmatched } = self.counters;
        let mut update = self
            .connection
            .prepare_cached(
                "UPDATE state SET last_seq = ?1, floor = ?2, duplicates = ?3, conflicts = ?4, unmatched = ?5",
            )
            .place("storing the counters")?;
        update.execute([last_seq, floor, duplicates, conflicts, unmatched].map(place)).place("storing the counters")?;
        Ok(())
    }

    pub(super) fn show_counts(&self) {
        let counts = &self.shared.counts;
        counts.duplicates.store(self.counters.duplicates, Ordering::Relaxed);
        counts.conflicts.store(self.counters.conflicts, Ordering::Relaxed);
        counts.unmatched.store(self.counters.unmatched, Ordering::Relaxed);
        counts.floor.store(self.counters.floor, Ordering::Relaxed);
        counts.identities.store(self.dedupe.len(), Ordering::Relaxed);
    }
}
