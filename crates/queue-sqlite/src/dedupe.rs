//! Which identities are known. Owned by the writer thread.
//!
//! Identities of the newest events stand in memory (`fresh`) and, packed, many to a row, in `identity_log`; those of the
//! very last events only in the log of events itself ([`crate::late`]). When
//! there are enough of them they are sealed into a sorted [`run`] on a thread of their own while `fresh` starts anew;
//! a run whose newest identity is older than the window is dropped whole. A restart reads the log of the unsealed
//! ones and the filters of the runs, a few megabytes, and knows what it knew before.

mod entry;
mod run;
mod table;

use std::sync::Arc;
use std::time::Duration;

use event::{EventId, Timestamp};
use queue::{Stored, body_hash};
use rusqlite::{Connection, OptionalExtension, params};

use self::entry::second;
pub(crate) use self::entry::{ENTRY_BYTES, Entry, unpack_all};
use self::run::{RUN_SHIFT, delete_chunks};
pub(crate) use self::run::{Run, Sealed};
pub(crate) use self::table::Table;
use crate::checked;
use crate::failure::{Failed, Place};
use crate::log::{self, place};
use crate::options::MAX_COMMIT_EVENTS;

/// Bytes of the log of identities that one commit removes, once they are sealed.
const GARBAGE_PER_COMMIT: i64 = 64 << 10;
/// Identities that are sealed at once: what a table of 2^19 slots, 17 MiB, holds before it grows, which would hold up a
/// commit for a tenth of a second; less those of the commit in which they get to be so many.
pub(crate) const SEAL_ENTRIES: usize = (1 << 19) / 8 * 7 - MAX_COMMIT_EVENTS_AT_MOST;
/// A commit takes its limit of events, and the rest of the publication that reaches it.
const MAX_COMMIT_EVENTS_AT_MOST: usize = 4 * MAX_COMMIT_EVENTS;
/// Chunks written with one commit while a run is sealed: 32 KiB, so that no commit is held up.
const CHUNKS_PER_COMMIT: usize = 2;

/// The index of known identities.
#[derive(Debug)]
pub(crate) struct Dedupe {
    window_seconds: u32,
    fresh: Table,
    /// Those added by the present transaction, with what they replaced.
    added: Vec<(EventId, Option<Entry>)>,
    /// Those that are not in `identity_log` yet, of this transaction and of those before.
    unwritten: Vec<Entry>,
    /// How many of them are of commits before this transaction.
    committed: usize,
    /// How many of them this transaction has written.
    written: usize,
    /// Being sorted, or being written.
    frozen: Option<Arc<Table>>,
    sealed: Option<Sealed>,
    runs: Vec<Run>,
    next_run: i64,
    seal_at: usize,
    /// The log of identities up to here is sealed in runs and can go.
    garbage_through: Option<u64>,
}

impl Dedupe {
    /// Reads back what is known: up to that place from the identities, behind it from the log of events.
    pub(crate) fn load(
        connection: &Connection,
        window_seconds: u32,
        seal_at: usize,
        through: u64,
    ) -> Result<Self, Failed> {
        let runs = Run::load_all(connection)?;
        let next_run = remove_unfinished(connection, &runs)?;
        let garbage_through = runs.iter().map(|run| run.last_seq).max();
        let mut dedupe = Self {
            window_seconds,
            fresh: Table::with_capacity(seal_at + MAX_COMMIT_EVENTS_AT_MOST),
            added: Vec::new(),
            unwritten: Vec::new(),
            committed: 0,
            written: 0,
            frozen: None,
            sealed: None,
            runs,
            next_run,
            seal_at,
            garbage_through,
        };
        dedupe.load_log(connection)?;
        dedupe.work_out(connection, through)?;
        Ok(dedupe)
    }

    /// The identities of the events behind a place. A damaged event has none: it can come again.
    fn work_out(&mut self, connection: &Connection, through: u64) -> Result<(), Failed> {
        log::scan(connection, through + 1, i64::MAX.unsigned_abs(), |seq, stored| {
            if let Ok(Stored { event, again: None, .. }) = stored {
                let entry = Entry::new(event.id, seq, event.received, body_hash(&event.body));
                self.fresh.insert(entry);
                self.unwritten.push(entry);
            }
            true
        })?;
        self.committed = self.unwritten.len();
        Ok(())
    }

    fn load_log(&mut self, connection: &Connection) -> Result<(), Failed> {
        const READING: &str = "reading the log of identities";
        let sql = "SELECT first_seq, entries FROM identity_log WHERE first_seq > ?1 ORDER BY first_seq";
        let mut select = connection.prepare(sql).place(READING)?;
        let mut rows = select.query([place(self.garbage_through.unwrap_or(0))]).place(READING)?;
        while let Some(row) = rows.next().place(READING)? {
            let seq: i64 = row.get(0).place(READING)?;
            let blob = row.get_ref(1).place(READING)?.as_blob().map_err(rusqlite::Error::from).place(READING)?;
            let Some(entries) = checked::open(seq, blob) else {
                return Err(Failed::Damaged(format!(
                    "{READING}: the row of event {seq} is damaged; run `aftercall check`"
                )));
            };
            for entry in unpack_all(entries) {
                self.fresh.insert(entry);
            }
        }
        Ok(())
    }

    /// What is known of an identity within the window before `now`.
    pub(crate) fn find(&self, connection: &Connection, id: EventId, now: Timestamp) -> Result<Option<Entry>, Failed> {
        let newest = match self.fresh.get(id).or_else(|| self.frozen.as_ref()?.get(id)) {
            Some(entry) => Some(*entry),
            None => self.find_sealed(connection, id)?,
        };
        Ok(newest.filter(|entry| second(now).saturating_sub(entry.second()) < self.window_seconds))
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
        let replaced = self.fresh.insert(entry);
        self.added.push((entry.id(), replaced));
        self.unwritten.push(entry);
    }

    /// Whether the table is to be sealed behind this transaction. What is not in the log of identities by then puts that
    /// off: the log is cut where a run ends.
    pub(crate) fn is_full(&self) -> bool {
        self.fresh.len() >= self.seal_at
    }

    /// Stores a slice of the run that is being sealed or of the log that it replaces.
    pub(crate) fn write_slice(&mut self, connection: &Connection) -> Result<(), Failed> {
        let Some(sealed) = &mut self.sealed else {
            return self.remove_garbage(connection);
        };
        sealed.write_chunks(connection, CHUNKS_PER_COMMIT)?;
        if sealed.is_written() {
            sealed.write_run(connection)?;
        }
        Ok(())
    }

    /// Stores what is not in the log of identities yet.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), Failed> {
        let entries = &self.unwritten[self.written..];
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let mut packed = Vec::with_capacity((entries.len() + 1) * ENTRY_BYTES);
        entries.iter().for_each(|entry| packed.extend_from_slice(entry.as_bytes()));
        checked::seal(place(first.seq()), &mut packed);
        let sql = "INSERT OR REPLACE INTO identity_log (first_seq, entries) VALUES (?1, ?2)";
        let mut insert = connection.prepare_cached(sql).place("storing identities")?;
        insert.execute(params![place(first.seq()), packed]).place("storing identities")?;
        self.written = self.unwritten.len();
        Ok(())
    }

    /// Removes a slice of the log of identities that are sealed: all at once would hold up a commit.
    fn remove_garbage(&mut self, connection: &Connection) -> Result<(), Failed> {
        const REMOVING: &str = "removing sealed identities from their log";
        let Some(through) = self.garbage_through else {
            return Ok(());
        };
        let sql = "SELECT first_seq, length(entries) FROM identity_log WHERE first_seq <= ?1 ORDER BY first_seq";
        let mut select = connection.prepare_cached(sql).place(REMOVING)?;
        let mut rows = select.query([place(through)]).place(REMOVING)?;
        let (mut last, mut bytes) = (None, 0);
        while bytes < GARBAGE_PER_COMMIT
            && let Some(row) = rows.next().place(REMOVING)?
        {
            last = Some(row.get::<_, i64>(0).place(REMOVING)?);
            bytes += row.get::<_, i64>(1).place(REMOVING)?;
        }
        drop(rows);
        let Some(last) = last else {
            self.garbage_through = None;
            return Ok(());
        };
        let mut delete = connection.prepare_cached("DELETE FROM identity_log WHERE first_seq <= ?1").place(REMOVING)?;
        delete.execute([last]).place(REMOVING)?;
        Ok(())
    }

    /// The transaction is durable. Returns a table to sort, when it is time to seal one.
    pub(crate) fn committed(&mut self) -> Option<(i64, Arc<Table>)> {
        self.added.clear();
        self.unwritten.drain(..self.written);
        self.written = 0;
        self.committed = self.unwritten.len();
        if self.sealed.as_ref().is_some_and(Sealed::is_written) {
            self.runs.extend(self.sealed.take().map(Sealed::into_run));
            self.garbage_through = self.runs.last().map(|run| run.last_seq);
            self.frozen = None;
        }
        if !self.is_full() || self.frozen.is_some() || !self.unwritten.is_empty() {
            return None;
        }
        let full = Arc::new(std::mem::replace(
            &mut self.fresh,
            Table::with_capacity(self.seal_at + MAX_COMMIT_EVENTS_AT_MOST),
        ));
        self.frozen = Some(Arc::clone(&full));
        self.next_run += 1;
        Some((self.next_run - 1, full))
    }

    /// The transaction was undone: forgets what it added. `written` chunks are written again later.
    pub(crate) fn rolled_back(&mut self) {
        for (id, replaced) in self.added.drain(..).rev() {
            match replaced {
                Some(entry) => drop(self.fresh.insert(entry)),
                None => self.fresh.remove(id),
            }
        }
        self.unwritten.truncate(self.committed);
        self.written = 0;
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

    /// Whether something is left to write that nobody waits for.
    pub(crate) fn is_sealing(&self) -> bool {
        self.sealed.is_some() || self.garbage_through.is_some()
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
    Sealed::new(number, table.sorted())
}

/// Removes chunks of runs that never got their row; returns the number for the next run.
fn remove_unfinished(connection: &Connection, runs: &[Run]) -> Result<i64, Failed> {
    let next = runs.last().map_or(1, |run| run.number + 1);
    // Runs before an unfinished one may have been dropped, so its number can be any above the last.
    delete_chunks(connection, next, i64::MAX >> RUN_SHIFT)?;
    Ok(next)
}

/// The last event whose identity is stored, as far as it can be read.
pub(crate) fn last_written(connection: &Connection) -> Result<u64, Failed> {
    const READING: &str = "reading the last identities";
    let sealed = Run::load_all(connection).unwrap_or_default().iter().map(|run| run.last_seq).max().unwrap_or(0);
    let sql = "SELECT first_seq, entries FROM identity_log ORDER BY first_seq DESC";
    let mut select = connection.prepare(sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let (key, blob): (i64, Vec<u8>) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        if let Some(last) = checked::open(key, &blob).and_then(|entries| unpack_all(entries).map(|one| one.seq()).max())
        {
            return Ok(last.max(sealed));
        }
    }
    Ok(sealed)
}

/// Adds the checksums that format 2 brought.
pub(crate) fn add_checksums(connection: &Connection) -> Result<(), Failed> {
    seal_blobs(connection, "identity_log", "first_seq")?;
    seal_blobs(connection, "identity_chunks", "chunk")?;
    Run::add_checksums(connection)
}

fn seal_blobs(connection: &Connection, table: &str, key: &str) -> Result<(), Failed> {
    const DOING: &str = "adding checksums to identities";
    let next = format!("SELECT {key}, entries FROM {table} WHERE {key} > ?1 ORDER BY {key} LIMIT 1");
    let mut next = connection.prepare(&next).place(DOING)?;
    let mut update = connection.prepare(&format!("UPDATE {table} SET entries = ?2 WHERE {key} = ?1")).place(DOING)?;
    let mut last = i64::MIN;
    let mut read = |last: i64| {
        let row = next.query_row([last], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        row.optional().place(DOING)
    };
    while let Some((key, mut entries)) = read(last)? {
        checked::seal(key, &mut entries);
        update.execute(params![key, entries]).place(DOING)?;
        last = key;
    }
    Ok(())
}
