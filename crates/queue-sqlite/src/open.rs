//! Starting: from what the last run left on disk to a working queue.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use queue::{Attempts, ConsumerId};
use rusqlite::Connection;

use crate::consumer::{Consumer, Cursor};
use crate::failure::{Failed, Place};

const READING: &str = "reading the destinations";

/// Makes the data directory, and makes its name durable.
pub(crate) fn make_dir(dir: &Path) -> Result<(), Failed> {
    let failed = |error: std::io::Error| {
        Failed::Disk(format!(
            "{}: {error}; name a data directory that the user who runs Aftercall can write to",
            dir.display()
        ))
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
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
    let mut select = connection.prepare("SELECT id, name, watermark, delivered FROM destinations").place(READING)?;
    let rows = select
        .query_map([], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok((row.get::<_, u16>(0)?, row.get::<_, String>(1)?, number(2)?, number(3)?))
        })
        .place(READING)?;
    let mut consumers = Vec::new();
    for row in rows {
        let (id, name, watermark, delivered) = row.place(READING)?;
        let cursor = load_cursor(connection, id, &name, watermark)?;
        let consumer = Consumer::new(ConsumerId(id), Arc::from(name), cursor, delivered);
        let mut retries = load_retries(connection, id)?;
        {
            let mut state = consumer.state.lock();
            // Of a route that is gone, a row may be left of what is settled.
            retries.retain(|seq, _| !state.cursor.is_settled(*seq));
            state.stored_retries = retries;
        }
        let sql = "SELECT count(*) FROM dead_letters WHERE destination = ?1";
        let dead: i64 = connection.query_row(sql, [id], |row| row.get(0)).place(READING)?;
        consumer.dead_letters.store(dead.unsigned_abs(), Ordering::Relaxed);
        consumers.push(Arc::new(consumer));
    }
    Ok(consumers)
}

fn load_cursor(connection: &Connection, id: u16, name: &str, watermark: u64) -> Result<Cursor, Failed> {
    let mut cursor = Cursor::at(watermark);
    let mut select = connection
        .prepare("SELECT chunk, settled FROM cursor_chunks WHERE destination = ?1 ORDER BY chunk")
        .place(READING)?;
    let mut rows = select.query([id]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let (chunk, settled): (i64, Vec<u8>) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        cursor.restore(chunk.unsigned_abs(), &settled).map_err(|error| {
            Failed::Damaged(format!(
                "the cursor of destination `{name}`, chunk {chunk}: {error}; run `aftercall check`"
            ))
        })?;
    }
    Ok(cursor)
}

fn load_retries(connection: &Connection, id: u16) -> Result<HashMap<u64, (Timestamp, Attempts)>, Failed> {
    let sql = "SELECT seq, due, made, charged, first, last FROM retries WHERE destination = ?1";
    let mut select = connection.prepare(sql).place(READING)?;
    let rows = select
        .query_map([id], |row| {
            let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
            let attempts = Attempts { made: row.get(2)?, charged: row.get(3)?, first: time(4)?, last: time(5)? };
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), (time(1)?.unwrap_or_default(), attempts)))
        })
        .place(READING)?;
    rows.collect::<Result<_, _>>().place(READING)
}
