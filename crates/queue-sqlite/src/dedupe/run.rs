//! A sealed run: identities sorted by id, in chunks of one page each, behind a Bloom filter kept in memory.
//!
//! Sealing turns random inserts into one sequential write: a large index of random keys would rewrite a page for
//! almost every event. A run is written in slices over several commits, and counts only when its row in
//! `identity_runs` is committed; until then its identities stay in `identity_log`, so a crash in between loses nothing
//! and leaves only chunks that the next start removes.

use event::EventId;
use fastbloom::BloomFilter;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::entry::{ENTRY_BYTES, Entry, unpack_all};
use crate::checked;
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
    packed: Vec<[u8; ENTRY_BYTES]>,
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
    /// A run of identities that are sorted by id.
    pub(crate) fn new(number: i64, packed: Vec<[u8; ENTRY_BYTES]>) -> Self {
        let mut filter =
            BloomFilter::with_num_bits((packed.len() * FILTER_BITS).max(64)).seed(&0).hashes(FILTER_HASHES);
        let (mut newest, mut last_seq) = (0, 0);
        for packed in &packed {
            let entry = Entry::from_bytes(*packed);
            filter.insert_hash(prefix(entry.id()));
            newest = newest.max(entry.second());
            last_seq = last_seq.max(entry.seq());
        }
        let firsts = packed.iter().step_by(CHUNK_ENTRIES).map(|packed| prefix(Entry::from_bytes(*packed).id()));
        let run = Run { number, entries: packed.len() as u64, newest, last_seq, firsts: firsts.collect(), filter };
        Self { run, packed, written: 0 }
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written * CHUNK_ENTRIES >= self.packed.len()
    }

    /// Writes up to `chunks` more chunks.
    pub(crate) fn write_chunks(&mut self, connection: &Connection, chunks: usize) -> Result<(), Failed> {
        let sql = "INSERT OR REPLACE INTO identity_chunks (chunk, entries) VALUES (?1, ?2)";
        let mut insert = connection.prepare_cached(sql).place("sealing identities")?;
        let todo = self.packed.chunks(CHUNK_ENTRIES).enumerate().skip(self.written).take(chunks);
        for (index, entries) in todo {
            let (key, mut blob) = (chunk_key(self.run.number, index), entries.as_flattened().to_vec());
            checked::seal(key, &mut blob);
            insert.execute(params![key, blob]).place("sealing identities")?;
            self.written = index + 1;
        }
        Ok(())
    }

    /// Writes the run's own row, which makes it count.
    pub(crate) fn write_run(&self, connection: &Connection) -> Result<(), Failed> {
        let Run { number, entries, newest, last_seq, firsts, filter } = &self.run;
        // The checksum stands at the end of the filter, and is over the whole row.
        let (firsts, mut filter_bytes) = (words_to_bytes(firsts), words_to_bytes(filter.as_slice()));
        let row = RowCheck { entries: *entries, newest: *newest, last_seq: *last_seq, hashes: filter.num_hashes() };
        checked::seal(row.key(*number, &firsts), &mut filter_bytes);
        connection
            .execute(
                "INSERT INTO identity_runs (run, entries, newest, last_seq, firsts, hashes, filter)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![number, place(*entries), newest, place(*last_seq), firsts, filter.num_hashes(), filter_bytes],
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
            let number: i64 = row.get(0).place(READING)?;
            let run = Self::decode(number, row).place(READING)?;
            runs.push(run.ok_or_else(|| {
                Failed::Damaged(format!("{READING}: run {number} is damaged; run `aftercall check`"))
            })?);
        }
        Ok(runs)
    }

    /// Adds the checksum that format 2 brought.
    pub(super) fn add_checksums(connection: &Connection) -> Result<(), Failed> {
        const DOING: &str = "adding checksums to runs of identities";
        let sql = "SELECT run, entries, newest, last_seq, firsts, hashes, filter FROM identity_runs";
        let mut select = connection.prepare(sql).place(DOING)?;
        let read = |row: &Row<'_>| {
            let number: i64 = row.get(0)?;
            let (key, mut filter) = (RowCheck::read(row)?.key(number, row.get_ref(4)?.as_blob()?), row.get(6)?);
            checked::seal(key, &mut filter);
            Ok((number, filter))
        };
        let sealed: Vec<(i64, Vec<u8>)> = select.query_map([], read).and_then(Iterator::collect).place(DOING)?;
        for (number, filter) in sealed {
            let sql = "UPDATE identity_runs SET filter = ?2 WHERE run = ?1";
            connection.execute(sql, params![number, filter]).place(DOING)?;
        }
        Ok(())
    }

    /// Reads a run's row; `None` if it is not what was stored.
    fn decode(number: i64, row: &Row<'_>) -> Result<Option<Self>, rusqlite::Error> {
        let check = RowCheck::read(row)?;
        let firsts = row.get_ref(4)?.as_blob()?;
        let Some(filter) = checked::open(check.key(number, firsts), row.get_ref(6)?.as_blob()?) else {
            return Ok(None);
        };
        let RowCheck { entries, newest, last_seq, hashes } = check;
        let filter = BloomFilter::from_vec(bytes_to_words(filter)).seed(&0).hashes(hashes);
        Ok(Some(Self { number, entries, newest, last_seq, firsts: bytes_to_words(firsts), filter }))
    }
}

/// The plain columns of a run's row, as far as they enter its checksum.
struct RowCheck {
    entries: u64,
    newest: u32,
    last_seq: u64,
    hashes: u32,
}

impl RowCheck {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            entries: row.get::<_, i64>(1)?.unsigned_abs(),
            newest: row.get(2)?,
            last_seq: row.get::<_, i64>(3)?.unsigned_abs(),
            hashes: row.get(5)?,
        })
    }

    fn key(&self, number: i64, firsts: &[u8]) -> i64 {
        let mut key = crc32fast::Hasher::new();
        for number in [self.entries, self.newest.into(), self.last_seq, self.hashes.into()] {
            key.update(&number.to_le_bytes());
        }
        key.update(firsts);
        number << 32 | i64::from(key.finalize())
    }
}

fn find_in_chunk(connection: &Connection, key: i64, id: EventId) -> Result<Option<Entry>, Failed> {
    let mut select = connection
        .prepare_cached("SELECT entries FROM identity_chunks WHERE chunk = ?1")
        .place("looking an identity up")?;
    let found = select
        .query_row([key], |row| {
            let blob = row.get_ref(0)?.as_blob()?;
            Ok(checked::open(key, blob).map(|entries| unpack_all(entries).find(|entry| entry.has_id(id))))
        })
        .optional()
        .place("looking an identity up")?;
    let problem = match found {
        Some(Some(entry)) => return Ok(entry),
        Some(None) => "is damaged",
        None => "is missing",
    };
    Err(Failed::Damaged(format!("looking an identity up: chunk {key} {problem}; run `aftercall check`")))
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
