//! The audit trail in the database: blocks of packed entries, each with the hash that chains it to the one before. What
//! a commit does is noted in the same commit, so neither is ever without the other.

use std::collections::BTreeMap;

use audit::{Block, BlockBuilder, Chain, Digest, Entry, Link, What};
use event::Timestamp;
use queue::{AuditPage, Stored};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::{Failed, Place};
use crate::log::{self, place};
use crate::options::DROP_BLOCKS;

/// There is nothing left of it.
const GONE: &str = "the audit trail is gone: it has no block, although there are events in the log; compare with a backup \
                    and an earlier export";
/// The proof of what was in the log when the trail began.
pub(crate) const BEFORE_TRAIL: &str = "not known: it came before there was an audit trail";
const READING: &str = "reading the audit trail";
const WRITING: &str = "writing the audit trail";

/// The end of the trail, as the writer has it.
#[derive(Debug)]
pub(crate) struct Trail {
    /// The last block that is durable.
    committed: Link,
    /// The last block of the transaction under way.
    head: Link,
    building: BlockBuilder,
}

impl Trail {
    /// Where the trail ends on the disk.
    pub(crate) fn load(connection: &Connection) -> Result<Self, Failed> {
        let last = connection
            .query_row("SELECT block, entries, hash FROM audit ORDER BY block DESC LIMIT 1", [], read)
            .optional()
            .place(READING)?;
        let head = match last {
            Some(block) => Link { number: block.number, hash: block.hash },
            None => begins(connection)?,
        };
        Ok(Self { committed: head, head, building: BlockBuilder::default() })
    }

    /// Begins the trail of a database that had none with the events that are in the log.
    pub(crate) fn begin(connection: &Connection) -> Result<(), Failed> {
        let (mut trail, proof) = (Self::load(connection)?, BEFORE_TRAIL.into());
        let mut written = Ok(());
        log::scan(connection, 0, u64::MAX, |_, stored| {
            // Damaged ones are found when their turn comes.
            if let Ok(Stored { seq, event, again: None }) = stored {
                let entry = queue::trail::received(seq, &event, Digest::of(&event.body), &proof, Vec::new());
                written = trail.push(connection, entry);
            }
            written.is_ok()
        })?;
        written.and_then(|()| trail.write(connection))
    }

    /// Adds an entry to the transaction under way.
    pub(crate) fn push(&mut self, connection: &Connection, entry: Entry) -> Result<(), Failed> {
        self.building.push(entry);
        if self.building.is_full() { self.write(connection) } else { Ok(()) }
    }

    /// Writes what was added.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), Failed> {
        if self.building.is_empty() {
            return Ok(());
        }
        let block = self.building.finish(self.head.number + 1, &self.head.hash);
        self.head = Link { number: block.number, hash: block.hash };
        let mut insert = connection
            .prepare_cached("INSERT OR FAIL INTO audit (block, entries, hash) VALUES (?1, ?2, ?3)")
            .place(WRITING)?;
        let row = params![place(block.number), block.packed, block.hash.as_bytes()];
        insert.execute(row).map(drop).place(WRITING)
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.committed = self.head;
    }

    /// The transaction was undone.
    pub(crate) fn undone(&mut self) {
        self.head = self.committed;
        self.building = BlockBuilder::default();
    }

    /// Drops the oldest blocks if all of their entries are from before `cutoff`, a few at a time; one that cannot be read
    /// goes with them. What is dropped is
    /// noted in the trail itself, or else its new beginning would look like a loss. Returns whether there may be more.
    pub(crate) fn drop_old(
        &mut self,
        connection: &Connection,
        cutoff: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Failed> {
        let begins = begins(connection)?;
        // The last one stays, because the next is chained to it.
        let last = self.committed.number.saturating_sub(1);
        let (mut dropped, mut count) = (None, 0);
        scan(connection, begins.number, |block| {
            if block.number > last || count >= DROP_BLOCKS {
                return false;
            }
            count += 1;
            match block.entries() {
                Ok(entries) if entries.iter().all(|entry| entry.at < cutoff) => {
                    dropped = Some(Link { number: block.number, hash: block.hash });
                    true
                }
                Ok(_) => false,
                // A damaged one is as old as the next that can be read.
                Err(_) => true,
            }
        })?;
        let Some(Link { number, hash }) = dropped else { return Ok(false) };
        connection.execute("DELETE FROM audit WHERE block <= ?1", [place(number)]).place(WRITING)?;
        connection
            .execute(
                "INSERT OR REPLACE INTO audit_start (one, block, hash) VALUES (1, ?1, ?2)",
                params![place(number), hash.as_bytes()],
            )
            .place(WRITING)?;
        self.push(connection, Entry { at: now, what: What::Dropped { block: number, hash } })?;
        Ok(count == DROP_BLOCKS)
    }
}

/// The place before the oldest block that is kept.
pub(crate) fn begins(connection: &Connection) -> Result<Link, Failed> {
    let begins = connection
        .query_row("SELECT block, hash FROM audit_start", [], |row| {
            Ok(Link { number: row.get::<_, i64>(0)?.unsigned_abs(), hash: digest(row, 1)? })
        })
        .optional();
    Ok(begins.place(READING)?.unwrap_or_default())
}

/// Some blocks behind a number.
pub(crate) fn page(connection: &Connection, after: u64, max: usize) -> Result<AuditPage, Failed> {
    // The beginning and the blocks as of the same moment, or retention in between would look like a loss.
    let _read = connection.unchecked_transaction().place(READING)?;
    let begins = begins(connection)?;
    let mut blocks = Vec::new();
    if max > 0 {
        scan(connection, after, |block| {
            blocks.push(block);
            blocks.len() < max
        })?;
        if blocks.is_empty() && after <= begins.number && newest(connection)?.is_some() {
            return Err(Failed::Damaged(GONE.to_owned()));
        }
    }
    Ok(AuditPage { begins, blocks })
}

/// The newest accepted event that is in the log: its place, and when it was received.
fn newest(connection: &Connection) -> Result<Option<(u64, Timestamp)>, Failed> {
    let sql = "SELECT seq, received FROM events WHERE only_for IS NULL ORDER BY seq DESC LIMIT 1";
    let newest = connection
        .query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), Timestamp::from_millis(row.get(1)?))))
        .optional();
    newest.place(READING)
}

/// Checks the chain, and the events that are still there against what the trail says of them. `find` gets what is wrong.
/// Returns how many entries there are.
pub(crate) fn check(connection: &Connection, mut find: impl FnMut(String)) -> Result<u64, Failed> {
    let mut chain = Chain::behind(begins(connection)?);
    let (mut differing, mut erased, mut failed) = (BTreeMap::new(), BTreeMap::<_, Digest>::new(), Ok(()));
    let (mut named, mut oldest) = (0, None);
    scan(connection, 0, |block| {
        if let Err(broken) = chain.next(&block) {
            find(format!("audit trail: {broken}"));
            return true;
        }
        for Entry { what, at } in block.entries().into_iter().flatten() {
            oldest.get_or_insert(at);
            if let What::Received { seq, .. } = what {
                named = named.max(seq);
            }
            match what {
                What::Received { seq, body, .. } => match log::read_one(connection, seq) {
                    Ok(Some(Ok(stored))) if stored.event.is_erased() => {
                        erased.insert(seq, body);
                    }
                    Ok(Some(Ok(stored))) if Digest::of(&stored.event.body) != body => {
                        differing.insert(seq, body);
                    }
                    Ok(_) => {}
                    Err(error) => failed = Err(error),
                },
                What::Erased { places, .. } => erased.retain(|seq, _| !places.contains(seq)),
                _ => {}
            }
        }
        failed.is_ok()
    })?;
    failed?;
    if let Err(broken) = chain.finish() {
        find(format!("audit trail: {broken}"));
    }
    if let Some((seq, received)) = newest(connection)? {
        match oldest {
            None => find(GONE.to_owned()),
            // What retention took out of the trail is older than what is left of it.
            Some(oldest) if seq > named && received >= oldest => {
                find(format!("audit trail: it ends before event {seq}, which is in the log: its last blocks are gone"));
            }
            Some(_) => {}
        }
    }
    differing.append(&mut erased);
    for (seq, body) in differing {
        find(format!("event {seq}: it is not the one that was received, whose body had the SHA-256 {body}"));
    }
    Ok(chain.counts().1)
}

/// The events behind a place that no route had matched when they came; read from the end of the trail. What a damaged block
/// says of them is not known.
pub(crate) fn unmatched_behind(connection: &Connection, through: u64) -> Result<Vec<u64>, Failed> {
    let mut select = connection.prepare("SELECT block, entries, hash FROM audit ORDER BY block DESC").place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    let (mut unmatched, mut before) = (Vec::new(), false);
    while !before && let Some(row) = rows.next().place(READING)? {
        for Entry { what, .. } in read(row).place(READING)?.entries().into_iter().flatten() {
            let What::Received { seq, destinations, .. } = what else { continue };
            before |= seq <= through;
            if seq > through && destinations.is_empty() {
                unmatched.push(seq);
            }
        }
    }
    Ok(unmatched)
}

/// Walks over the blocks behind a number, until `each` returns false.
pub(crate) fn scan(connection: &Connection, after: u64, mut each: impl FnMut(Block) -> bool) -> Result<(), Failed> {
    let sql = "SELECT block, entries, hash FROM audit WHERE block > ?1 ORDER BY block";
    let mut select = connection.prepare_cached(sql).place(READING)?;
    let mut rows = select.query([place(after)]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        if !each(read(row).place(READING)?) {
            break;
        }
    }
    Ok(())
}

/// A row as a block; one of another type or length than we write has a hash that cannot fit.
fn read(row: &Row<'_>) -> Result<Block, rusqlite::Error> {
    let packed = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default().to_vec();
    Ok(Block { number: row.get::<_, i64>(0)?.unsigned_abs(), packed, hash: digest(row, 2)? })
}

fn digest(row: &Row<'_>, column: usize) -> Result<Digest, rusqlite::Error> {
    let bytes = row.get_ref(column)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
    Ok(bytes.try_into().map(Digest::from_bytes).unwrap_or_default())
}
