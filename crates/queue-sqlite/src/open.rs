//! Starting: from what the last run left on disk to a working queue.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use parking_lot::Mutex;
use queue::{Attempts, ConsumerId};
use rusqlite::{Connection, Row};

use crate::checkpoint::Checkpointer;
use crate::consumer::{Consumer, Cursor, conversation_key};
use crate::dedupe::SEAL_ENTRIES;
use crate::failure::{Failed, Place};
use crate::lock::DirLock;
use crate::reader::Readers;
use crate::rows::{CURSOR_CHUNKS, DESTINATIONS, RETRIES, Table};
use crate::shared::Shared;
use crate::writer::{Known, Retention, Writer};
use crate::{Options, SqliteQueue, TellWriter, put_aside, schema, wal};

const READING: &str = "reading the destinations";

impl SqliteQueue {
    /// Opens the queue in a directory, or makes a new one. Blocks while it reads what is there.
    ///
    /// # Errors
    /// When another process has the directory, when it cannot be written to, or when what is there is damaged or was
    /// written by a newer version.
    pub fn open(options: &Options) -> Result<Self, Failed> {
        Self::open_sealing_at(options, SEAL_ENTRIES)
    }

    /// Like [`Self::open`], with identities sealed so many at a time; small runs let tests see many of them.
    #[doc(hidden)]
    pub fn open_sealing_at(options: &Options, seal_at: usize) -> Result<Self, Failed> {
        make_dir(&options.dir)?;
        let lock = DirLock::take(&options.dir)?;
        let torn = wal::check(&options.dir)?;
        let connection = schema::open_writer(&options.dir)?;
        if torn {
            schema::empty_log(&connection)?;
        }
        sync_dir(&options.dir).map_err(|error| Failed::Disk(format!("{}: {error}", options.dir.display())))?;
        let known = Known::load(&connection, options.queue.dedupe_window, seal_at)?;
        let consumers = load_consumers(&connection)?;
        let dead = connection
            .query_row("SELECT count(*) FROM dead_letters WHERE destination IS NULL", [], |row| row.get::<_, i64>(0));
        let readers = Readers::new(options.dir.clone());
        let shared = Arc::new(Shared::new(options.dir.clone(), options.queue.times, readers, consumers)?);
        shared.last.store(known.counters.last_seq, Ordering::Release);
        shared.counts.dead_letters.store(dead.unwrap_or(0).unsigned_abs(), Ordering::Relaxed);
        let checkpointer = Checkpointer::start(&options.dir, TellWriter(Arc::clone(&shared)))?;
        let retention = Retention { events: options.queue.retention, audit: options.audit_retention };
        let writer = Writer::new(connection, Arc::clone(&shared), known, retention, checkpointer)?;
        let thread = std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Failed::Transient(format!("starting the writer: {error}")))?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)), _lock: lock })
    }
}

/// Makes the data directory, for its owner only, and makes its name durable. One that is there keeps its rights: others
/// may have been let in on purpose, and everything secret in it is for its owner only anyway.
pub(crate) fn make_dir(dir: &Path) -> Result<(), Failed> {
    let failed = |error: std::io::Error| {
        Failed::Disk(format!(
            "{}: {error}; name a data directory that the user who runs Aftercall can write to",
            dir.display()
        ))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent).map_err(failed)?;
    }
    Ok(())
}

/// Makes the names in a directory durable; SQLite does that for its logs but not for the database itself.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), std::io::Error> {
    File::open(dir)?.sync_all()
}

/// Every destination that the store knows, with its cursor and waiting retries.
pub(crate) fn load_consumers(connection: &Connection) -> Result<Vec<Arc<Consumer>>, Failed> {
    let sql = format!("SELECT {} FROM destinations", DESTINATIONS.selected(""));
    let mut select = connection.prepare(&sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    let mut consumers = Vec::new();
    [CURSOR_CHUNKS, RETRIES].iter().try_for_each(|table| refuse_strays(connection, table))?;
    while let Some(row) = rows.next().place(READING)? {
        DESTINATIONS.check(row)?;
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs).place(READING);
        let (id, name): (u16, String) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        let (watermark, delivered) = (number(2)?, number(3)?);
        let cursor = load_cursor(connection, id, &name, watermark)?;
        let consumer = Consumer::new(ConsumerId(id), Arc::from(name), cursor, delivered);
        let mut retries = load_retries(connection, id)?;
        {
            let mut state = consumer.state.lock();
            // Of a route that is gone, a row may be left of what is settled.
            retries.retain(|seq, _| !state.cursor.is_settled(*seq));
            state.stored_retries = retries;
        }
        consumer.state.lock().put_aside = put_aside::find(connection, consumer.id)?;
        load_stuck(connection, &consumer)?;
        let sql = "SELECT count(*) FROM dead_letters WHERE destination = ?1";
        let dead: i64 = connection.query_row(sql, [id], |row| row.get(0)).place(READING)?;
        consumer.dead_letters.store(dead.unsigned_abs(), Ordering::Relaxed);
        consumers.push(Arc::new(consumer));
    }
    Ok(consumers)
}

/// What others of a conversation may have to wait for: dead letters, and redriven events that are not settled.
fn load_stuck(connection: &Connection, consumer: &Consumer) -> Result<(), Failed> {
    let mut state = consumer.state.lock();
    let place = |number: i64| number.unsigned_abs();
    let sql = "SELECT seq, conversation, first_seq FROM events WHERE only_for = ?1 ORDER BY seq";
    let mut select = connection.prepare(sql).place(READING)?;
    let mut rows = select.query([consumer.id.0]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let seq = row.get(0).map(place).place(READING)?;
        if state.cursor.is_settled(seq) {
            continue;
        }
        state.known_redriven.insert(seq);
        state.redriven.insert(seq);
        // What cannot be read is found out when it is to be delivered.
        if let Some(conversation) = row.get_ref(1).place(READING)?.as_str_or_null().ok().flatten() {
            let first = row.get::<_, Option<i64>>(2).unwrap_or_default().map_or(seq, place);
            state.window.mark(conversation_key(conversation), seq, first, false);
        }
    }
    let sql = "SELECT l.seq, l.conversation, e.first_seq FROM dead_letters l LEFT JOIN events e ON e.seq = l.seq
               WHERE l.destination = ?1 AND l.seq IS NOT NULL AND l.conversation IS NOT NULL";
    let mut select = connection.prepare(sql).place(READING)?;
    let mut rows = select.query([consumer.id.0]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let seq = row.get(0).map(place).place(READING)?;
        if let Some(conversation) = row.get_ref(1).place(READING)?.as_str_or_null().ok().flatten() {
            let first = row.get::<_, Option<i64>>(2).unwrap_or_default().map_or(seq, place);
            state.window.mark(conversation_key(conversation), seq, first, true);
        }
    }
    Ok(())
}

/// Rows that belong to no destination: their number was changed, since a destination's row is never removed.
fn refuse_strays(connection: &Connection, table: &Table) -> Result<(), Failed> {
    let (columns, name) = (table.selected(""), table.name);
    let sql = format!("SELECT {columns} FROM {name} WHERE destination NOT IN (SELECT id FROM destinations)");
    let mut select = connection.prepare(&sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        table.check(row)?;
    }
    Ok(())
}

fn load_cursor(connection: &Connection, id: u16, name: &str, watermark: u64) -> Result<Cursor, Failed> {
    let mut cursor = Cursor::at(watermark);
    let columns = CURSOR_CHUNKS.selected("");
    let sql = format!("SELECT {columns} FROM cursor_chunks WHERE destination = ?1 ORDER BY chunk");
    let mut select = connection.prepare(&sql).place(READING)?;
    let mut rows = select.query([id]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        CURSOR_CHUNKS.check(row)?;
        let (chunk, settled): (i64, Vec<u8>) = (row.get(1).place(READING)?, row.get(2).place(READING)?);
        cursor.restore(chunk.unsigned_abs(), &settled).map_err(|error| {
            Failed::Damaged(format!(
                "the cursor of destination `{name}`, chunk {chunk}: {error}; run `aftercall check`"
            ))
        })?;
    }
    Ok(cursor)
}

fn load_retries(connection: &Connection, id: u16) -> Result<HashMap<u64, (Timestamp, Attempts)>, Failed> {
    let sql = format!("SELECT {} FROM retries WHERE destination = ?1", RETRIES.selected(""));
    let mut select = connection.prepare(&sql).place(READING)?;
    let mut rows = select.query([id]).place(READING)?;
    let mut retries = HashMap::new();
    while let Some(row) = rows.next().place(READING)? {
        RETRIES.check(row)?;
        let (seq, due, attempts) = decode_retry(row).place(READING)?;
        retries.insert(seq, (due, attempts));
    }
    Ok(retries)
}

/// A row of `retries`: its place, when it is due, what was tried.
fn decode_retry(row: &Row<'_>) -> Result<(u64, Timestamp, Attempts), rusqlite::Error> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let attempts = Attempts { made: row.get(3)?, charged: row.get(4)?, first: time(5)?, last: time(6)? };
    Ok((row.get::<_, i64>(1)?.unsigned_abs(), time(2)?.unwrap_or_default(), attempts))
}
