//! A sealed run: identities sorted by id, in chunks of one page each, behind a Bloom filter kept in memory.
//!
//! Sealing turns random inserts into one sequential write: a large index of random keys would rewrite a page for
//! almost every event. A run is written in slices over several commits, and counts only when its row in
//! `identity_runs` is committed; until then its identities stay in `identity_log`, so a crash in between loses nothing
//! and leaves only chunks that the next start removes.

use event::EventId;
use fastbloom::BloomFilter;
use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{ENTRY_BYTES, Entry, unpack_all};
use crate::failure::{Failed, Place};
use crate::log::place;

/// Identities of one chunk: 16,000 bytes, which fit one page of 16 KiB.
pub(crate) const CHUNK_ENTRIES: usize = 500;
/// With 12 bits and 6 hashes per identity, about 1 in 300 unknown ones is looked up on disk in vain.
const FILTER_BITS: usize = 12;
const FILTER_HASHES: u32 = 6;
/// Runs are told apart by the upper bits of a chunk's key.
pub(crate) const RUN_SHIFT: u32 = 24;

/// A sealed run, as far as it is in memory: 13.2 bits for each identity.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: i64,
    pub(crate) entries: u64,
    /// Second of receipt of its newest identity.
    pub(crate) newest: u32,
    pub(crate) last_seq: u64,
    /// The first eight bytes of each chunk's first id.
    firsts: Vec<u64>,
    filter: BloomFilter,
}

/// A run that is being written.
#[derive(Debug)]
pub(crate) struct Sealed {
    run: Run,
    packed: Vec<u8>,
    /// Chunks written and committed so far, and with the present transaction.
    pub(crate) written: usize,
}

/// The part of an id that filters and chunk searches use.
pub(crate) fn prefix(id: EventId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

impl Sealed {
    /// Sorts and packs the identities of a run; takes a tenth of a second for half a million.
    pub(crate) fn new(number: i64, mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        let mut filter =
            BloomFilter::with_num_bits((entries.len() * FILTER_BITS).max(64)).seed(&0).hashes(FILTER_HASHES);
        let mut packed = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for entry in &entries {
            filter.insert_hash(prefix(entry.id));
            entry.pack(&mut packed);
        }
        let run = Run {
            number,
            entries: entries.len() as u64,
            newest: entries.iter().map(|entry| entry.second).max().unwrap_or(0),
            last_seq: entries.iter().map(|entry| entry.seq).max().unwrap_or(0),
            firsts: entries.iter().step_by(CHUNK_ENTRIES).map(|entry| prefix(entry.id)).collect(),
            filter,
        };
        Self { run, packed, written: 0 }
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.run.last_seq
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written * CHUNK_ENTRIES * ENTRY_BYTES >= self.packed.len()
    }

    /// Writes up to `chunks` more chunks.
    pub(crate) fn write_chunks(&mut self, connection: &Connection, chunks: usize) -> Result<(), Failed> {
        let sql = "INSERT OR REPLACE INTO identity_chunks (chunk, entries) VALUES (?1, ?2)";
        let mut insert = connection.prepare_cached(sql).place("sealing identities")?;
        let todo = self.packed.chunks(CHUNK_ENTRIES * ENTRY_BYTES).enumerate().skip(self.written).take(chunks);
        for (index, entries) in todo {
            insert.execute(params![chunk_key(self.run.number, index), entries]).place("sealing identities")?;
            self.written = index + 1;
        }
        Ok(())
    }

    /// Writes the run's own row, which makes it count.
    pub(crate) fn write_run(&self, connection: &Connection) -> Result<(), Failed> {
        let Run { number, entries, newest, last_seq, firsts, filter } = &self.run;
        connection
            .execute(
                "INSERT INTO identity_runs (run, entries, newest, last_seq, firsts, hashes, filter)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    number,
                    place(*entries),
                    newest,
                    place(*last_seq),
                    words_to_bytes(firsts),
                    filter.num_hashes(),
                    words_to_bytes(filter.as_slice()),
                ],
            )
            .place("sealing identities")?;
        Ok(())
    }

    pub(crate) fn into_run(self) -> Run {
        self.run
    }
}

impl Run {
    /// Looks an id up: in the filter, and only if that says maybe, in its chunk on disk.
    pub(crate) fn find(&self, connection: &Connection, id: EventId) -> Result<Option<Entry>, Failed> {
        let wanted = prefix(id);
        if !self.filter.contains_hash(wanted) {
            return Ok(None);
        }
        // Ids with the same prefix may straddle two chunks, so the one before the first equal prefix counts too.
        let from = self.firsts.partition_point(|first| *first < wanted).saturating_sub(1);
        let to = self.firsts.partition_point(|first| *first <= wanted);
        for chunk in from..to {
            if let Some(entry) = find_in_chunk(connection, chunk_key(self.number, chunk), id)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Removes the run and its chunks.
    pub(crate) fn delete(&self, connection: &Connection) -> Result<(), Failed> {
        connection.execute("DELETE FROM identity_runs WHERE run = ?1", [self.number]).place("dropping identities")?;
        delete_chunks(connection, self.number, self.number + 1)
    }

    /// Reads all runs back, oldest first, and removes what a crash left of others.
    pub(crate) fn load_all(connection: &Connection) -> Result<Vec<Self>, Failed> {
        const READING: &str = "reading the runs of identities";
        let sql = "SELECT run, entries, newest, last_seq, firsts, hashes, filter FROM identity_runs ORDER BY run";
        let mut select = connection.prepare(sql).place(READING)?;
        let mut rows = select.query([]).place(READING)?;
        let mut runs = Vec::new();
        while let Some(row) = rows.next().place(READING)? {
            let words = |column| row.get::<_, Vec<u8>>(column).map(|bytes| bytes_to_words(&bytes));
            let number: i64 = row.get(0).place(READING)?;
            let filter = words(6).place(READING)?;
            let hashes: u32 = row.get(5).place(READING)?;
            if filter.is_empty() || hashes == 0 {
                return Err(Failed::Damaged(format!("{READING}: run {number} has no filter; run `aftercall check`")));
            }
            runs.push(Self {
                number,
                entries: row.get::<_, i64>(1).place(READING)?.unsigned_abs(),
                newest: row.get(2).place(READING)?,
                last_seq: row.get::<_, i64>(3).place(READING)?.unsigned_abs(),
                firsts: words(4).place(READING)?,
                filter: BloomFilter::from_vec(filter).seed(&0).hashes(hashes),
            });
        }
        Ok(runs)
    }
}

fn find_in_chunk(connection: &Connection, key: i64, id: EventId) -> Result<Option<Entry>, Failed> {
    let mut select = connection
        .prepare_cached("SELECT entries FROM identity_chunks WHERE chunk = ?1")
        .place("looking an identity up")?;
    let found = select
        .query_row([key], |row| {
            let blob = row.get_ref(0)?.as_blob()?;
            Ok(unpack_all(blob).find(|entry| entry.id == id))
        })
        .optional()
        .place("looking an identity up")?;
    found.ok_or_else(|| {
        Failed::Damaged(format!("looking an identity up: chunk {key} is missing; run `aftercall check`"))
    })
}

fn chunk_key(run: i64, chunk: usize) -> i64 {
    (run << RUN_SHIFT) | i64::try_from(chunk).unwrap_or(i64::MAX)
}

/// Removes the chunks of the runs from `from` on, before `to`.
pub(crate) fn delete_chunks(connection: &Connection, from: i64, to: i64) -> Result<(), Failed> {
    let mut delete = connection
        .prepare_cached("DELETE FROM identity_chunks WHERE chunk >= ?1 AND chunk < ?2")
        .place("dropping identities")?;
    delete.execute([chunk_key(from, 0), chunk_key(to, 0)]).place("dropping identities")?;
    Ok(())
}

fn words_to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn bytes_to_words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}
