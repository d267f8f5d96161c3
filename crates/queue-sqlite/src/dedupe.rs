//! Which identities are known. Owned by the writer thread.
//!
//! Identities of the newest events stand in memory (`fresh`) and, packed, one row a commit, in `identity_log`. When
//! there are enough of them they are sealed into a sorted [`run`] on a thread of their own while `fresh` starts anew;
//! a run whose newest identity is older than the window is dropped whole. A restart reads the log of the unsealed
//! ones and the filters of the runs, a few megabytes, and knows what it knew before.

mod entry;
mod run;

use std::sync::Arc;
use std::time::Duration;

use event::{EventId, Timestamp};
use hashbrown::HashMap;
use rusqlite::{Connection, params};

use self::entry::second;
pub(crate) use self::entry::{ENTRY_BYTES, Entry, unpack_all};
use self::run::{RUN_SHIFT, delete_chunks};
pub(crate) use self::run::{Run, Sealed};
use crate::failure::{Failed, Place};
use crate::log::place;

/// Identities that are sealed at once: what fills a table of 2^19 slots, 17 MiB, before it would grow.
pub(crate) const SEAL_ENTRIES: usize = (1 << 19) / 8 * 7;
/// Chunks written with one commit while a run is sealed: 512 KiB, so that no commit is held up.
const CHUNKS_PER_COMMIT: usize = 32;

pub(crate) type Table = HashMap<EventId, Entry>;

/// The index of known identities.
#[derive(Debug)]
pub(crate) struct Dedupe {
    window_seconds: u32,
    fresh: Table,
    /// Those added by the present transaction, with what they replaced.
    added: Vec<(EventId, Option<Entry>)>,
    /// Being sorted, or being written.
    frozen: Option<Arc<Table>>,
    sealed: Option<Sealed>,
    runs: Vec<Run>,
    next_run: i64,
    seal_at: usize,
}

impl Dedupe {
    /// Reads back what is known.
    pub(crate) fn load(connection: &Connection, window_seconds: u32, seal_at: usize) -> Result<Self, Failed> {
        let runs = Run::load_all(connection)?;
        let next_run = remove_unfinished(connection, &runs)?;
        let mut dedupe = Self {
            window_seconds,
            fresh: Table::with_capacity(seal_at),
            added: Vec::new(),
            frozen: None,
            sealed: None,
            runs,
            next_run,
            seal_at,
        };
        dedupe.load_log(connection)?;
        Ok(dedupe)
    }

    fn load_log(&mut self, connection: &Connection) -> Result<(), Failed> {
        const READING: &str = "reading the log of identities";
        let mut select =
            connection.prepare("SELECT first_seq, entries FROM identity_log ORDER BY first_seq").place(READING)?;
        let mut rows = select.query([]).place(READING)?;
        while let Some(row) = rows.next().place(READING)? {
            let blob = row.get_ref(1).place(READING)?.as_blob().map_err(rusqlite::Error::from).place(READING)?;
            if !blob.len().is_multiple_of(ENTRY_BYTES) {
                let seq: i64 = row.get(0).place(READING)?;
                return Err(Failed::Damaged(format!(
                    "{READING}: the row of event {seq} is torn; run `aftercall check`"
                )));
            }
            self.fresh.extend(unpack_all(blob).map(|entry| (entry.id, entry)));
        }
        Ok(())
    }

    /// What is known of an identity within the window before `now`.
    pub(crate) fn find(&self, connection: &Connection, id: EventId, now: Timestamp) -> Result<Option<Entry>, Failed> {
        let newest = match self.fresh.get(&id).or_else(|| self.frozen.as_ref()?.get(&id)) {
            Some(entry) => Some(*entry),
            None => self.find_sealed(connection, id)?,
        };
        Ok(newest.filter(|entry| second(now).saturating_sub(entry.second) < self.window_seconds))
    }

    fn find_sealed(&self, connection: &Connection, id: EventId) -> Result<Option<Entry>, Failed> {
        for run in self.runs.iter().rev() {
            if let Some(entry) = run.find(connection, id)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Adds an identity; it counts at once, and for good when the transaction commits.
    pub(crate) fn add(&mut self, entry: Entry) {
        let replaced = self.fresh.insert(entry.id, entry);
        self.added.push((entry.id, replaced));
    }

    /// Stores what the present transaction added, and a slice of the run that is being sealed.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), Failed> {
        if !self.added.is_empty() {
            self.write_added(connection)?;
        }
        let Some(sealed) = &mut self.sealed else {
            return Ok(());
        };
        sealed.write_chunks(connection, CHUNKS_PER_COMMIT)?;
        if sealed.is_written() {
            sealed.write_run(connection)?;
            connection
                .execute("DELETE FROM identity_log WHERE first_seq <= ?1", [place(sealed.last_seq())])
                .place("sealing identities")?;
        }
        Ok(())
    }

    fn write_added(&self, connection: &Connection) -> Result<(), Failed> {
        let mut packed = Vec::with_capacity(self.added.len() * ENTRY_BYTES);
        let entries = self.added.iter().filter_map(|(id, _)| self.fresh.get(id));
        entries.for_each(|entry| entry.pack(&mut packed));
        let first = self.added.iter().filter_map(|(id, _)| self.fresh.get(id)).map(|entry| entry.seq).min();
        let sql = "INSERT INTO identity_log (first_seq, entries) VALUES (?1, ?2)";
        let mut insert = connection.prepare_cached(sql).place("storing identities")?;
        insert.execute(params![place(first.unwrap_or(0)), packed]).place("storing identities")?;
        Ok(())
    }

    /// The transaction is durable. Returns a table to sort, when it is time to seal one.
    pub(crate) fn committed(&mut self) -> Option<(i64, Arc<Table>)> {
        self.added.clear();
        if self.sealed.as_ref().is_some_and(Sealed::is_written) {
            self.runs.extend(self.sealed.take().map(Sealed::into_run));
            self.frozen = None;
        }
        if self.fresh.len() < self.seal_at || self.frozen.is_some() {
            return None;
        }
        let full = Arc::new(std::mem::replace(&mut self.fresh, Table::with_capacity(self.seal_at)));
        self.frozen = Some(Arc::clone(&full));
        self.next_run += 1;
        Some((self.next_run - 1, full))
    }

    /// The transaction was undone: forgets what it added. `written` chunks are written again later.
    pub(crate) fn rolled_back(&mut self) {
        for (id, replaced) in self.added.drain(..).rev() {
            match replaced {
                Some(entry) => self.fresh.insert(id, entry),
                None => self.fresh.remove(&id),
            };
        }
        if let Some(sealed) = &mut self.sealed {
            sealed.written = 0;
        }
    }

    /// Takes over a sorted run to write it.
    pub(crate) fn seal(&mut self, sealed: Sealed) {
        self.sealed = Some(sealed);
    }

    /// For how long an identity is known.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.into())
    }

    /// Whether a run is waiting to be written.
    pub(crate) fn is_sealing(&self) -> bool {
        self.sealed.is_some()
    }

    /// Drops the oldest run if everything in it is older than the window; returns its number and how many identities
    /// went. The run is forgotten only by [`Self::dropped`], after the commit.
    pub(crate) fn drop_expired(&self, connection: &Connection, now: Timestamp) -> Result<Option<(i64, u64)>, Failed> {
        match self.runs.first() {
            Some(run) if self.is_expired(run, now) => {
                run.delete(connection)?;
                Ok(Some((run.number, run.entries)))
            }
            _ => Ok(None),
        }
    }

    /// The run that [`Self::drop_expired`] deleted is gone for good.
    pub(crate) fn dropped(&mut self, number: i64) {
        self.runs.retain(|run| run.number != number);
    }

    fn is_expired(&self, run: &Run, now: Timestamp) -> bool {
        second(now).saturating_sub(run.newest) >= self.window_seconds
    }

    /// How many identities are known.
    pub(crate) fn len(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |table| table.len());
        self.runs.iter().map(|run| run.entries).sum::<u64>() + (self.fresh.len() + frozen) as u64
    }
}

/// Sorts a full table into a run. Slow: not for the writer thread.
pub(crate) fn sort(number: i64, table: &Table) -> Sealed {
    Sealed::new(number, table.values().copied().collect())
}

/// Removes chunks of runs that never got their row; returns the number for the next run.
fn remove_unfinished(connection: &Connection, runs: &[Run]) -> Result<i64, Failed> {
    let next = runs.last().map_or(1, |run| run.number + 1);
    // Runs before an unfinished one may have been dropped, so its number can be any above the last.
    delete_chunks(connection, next, i64::MAX >> RUN_SHIFT)?;
    Ok(next)
}
